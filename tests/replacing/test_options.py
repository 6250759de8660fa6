"""What a user may say of a replacement, and what is refused before anything is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import PlanError, RoleError
from replacing.replaced_models import batches, pictures, resnet, run


@pytest.mark.parametrize("ridge", [0, float("nan"), float("inf"), -1.0, True, "much"])
def test_a_ridge_is_a_finite_number_above_zero(ridge: Any) -> None:
    """Without one, directions in which the inputs do not vary have no weight at all: the map would hold no numbers."""
    with pytest.raises(PlanError, match=rf'^adapter at "layer2.0": ridge={ridge!r} is no finite number above 0\.$'):
        ik.bypass(resnet(), "layer2.0", as_="adapter", data=batches(), options={"ridge": ridge})


@pytest.mark.parametrize("axis", [0, 2, 1.0, True])
def test_an_axis_is_one_of_two_whole_numbers(axis: Any) -> None:
    with pytest.raises(PlanError, match=rf"axis={axis} is not 1 or -1\.$"):
        ik.bypass(resnet(), "layer2.0", as_="shortcut", inputs=pictures(), options={"axis": axis})


@pytest.mark.parametrize("as_", ["shortcut", "adapter"])
def test_a_stride_that_leads_elsewhere_is_refused_for_what_it_is(as_: str) -> None:
    with pytest.raises(RoleError) as refusal:
        ik.bypass(resnet(), "layer2.0", as_=as_, data=batches(), options={"stride": 3})
    assert str(refusal.value) == (
        f'"layer2.0" takes 2x8x16x16 and returns 2x12x8x8: the {as_} asked for makes 2x12x6x6 of it. Leave stride and '
        "axis out, then they are found."
    )
    with pytest.raises(RoleError, match=r"^stride='2x2x2' is for 3 dimensions; this layer has 2 beside its examples"):
        ik.bypass(resnet(), "layer2.0", as_=as_, data=batches(), options={"stride": "2x2x2"})


@pytest.mark.parametrize("options", ["average", 5, [("down", "average")]])
def test_options_are_a_dict(options: Any) -> None:
    with pytest.raises(PlanError, match=r"^options=.* is no dict of options, such as \{\"down\": \"average\"\}\.$"):
        ik.bypass(resnet(), "layer2.0", as_="shortcut", inputs=pictures(), options=options)


@pytest.mark.parametrize("as_", ["mean", "adapter"])
def test_a_scan_puts_a_replacement_in_the_place_of_each_layer(as_: str, tmp_path: Path) -> None:
    """Its rows name the tensors without holding them; the message says how to make them again."""
    model, data, file = resnet(), batches(), tmp_path / "scan.jsonl"
    places = ["layer2.0", "layer3.0"]
    found = ik.scan(model, data, at=places, as_=as_, to=file)
    assert [row.places for row in found.rows] == [("layer2.0",), ("layer3.0",)]
    assert ik.scan(model, data, at=places, as_=as_, to=file, resume=True) == found == ik.ScanResult.read(file)
    with pytest.raises(PlanError) as refusal:
        ik.apply(model, ik.Plan.from_json(found.rows[0].plan), inputs=data[0])
    assert str(refusal.value).endswith(
        f'ik.Plan.read(path); or make it again: ik.bypass(model, "layer2.0", as_="{as_}", data=[batch, ...]).'
    )


def test_a_prune_by_replacing_gives_a_plan_that_works_on_the_full_model(tmp_path: Path) -> None:
    data = batches()
    pruned = ik.prune(resnet(), data, at=["layer2.0", "layer3.0"], as_="adapter", drop=2)
    pruned.plan.write(tmp_path / "plan.json")
    again = ik.remove(resnet(), ik.Plan.read(tmp_path / "plan.json"), inputs=data[0])
    for one, other in zip(run(pruned.model, data[0]), run(again, data[0]), strict=True):
        assert one.equal(other)


def six(axis: int) -> torch.Tensor:
    """Four dimensions of positions; 5 features at `axis`."""
    return torch.randn(40, 2, 2, 2, 2, 5, generator=torch.Generator().manual_seed(0)).movedim(-1, axis)


class Mixed(nn.Module):
    """Mixes the features behind the examples, whatever lies behind them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.behind = Along(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.behind(self.layer(x))
        return out


class Along(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,ni...->no...", self.weight, x)


def test_an_adapter_for_more_dimensions_than_a_convolution_has() -> None:
    model, data = Mixed().eval(), [six(1)]
    expected = run(model, data[0])[0]
    with ik.bypass(model, "layer", as_="adapter", data=data, options={"axis": 1}):
        torch.testing.assert_close(run(model, data[0])[0], expected, atol=1e-4, rtol=1e-4)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True)

    def forward(self, x: torch.Tensor, src_key_padding_mask: torch.Tensor | None = None) -> torch.Tensor:
        out: torch.Tensor = self.stack(x, src_key_padding_mask=src_key_padding_mask)
        return out


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("as_", ["mean", "adapter", "shortcut"])
def test_nested_tensors_are_refused_by_name(as_: str) -> None:
    """torch packs padded examples in evaluation; such a tensor has no shape that a replacement could keep."""
    model, x = Encoder().eval(), torch.randn(2, 5, 8)
    padded = {"x": x, "src_key_padding_mask": torch.arange(5) >= torch.tensor([[5], [3]])}
    with pytest.raises(RoleError) as refusal:
        ik.bypass(model, "stack.layers.1", as_=as_, data=[padded])
    assert str(refusal.value) == (
        '"stack.layers.1" returns a nested tensor, which cannot be replaced: nn.TransformerEncoder packs padded '
        "examples so. Make it with enable_nested_tensor=False."
    )
    if as_ != "shortcut":
        with pytest.raises(RoleError, match=r'^on the data, "stack\.layers\.1" returns a nested tensor'):
            ik.bypass(model, "stack.layers.1", as_=as_, inputs={"x": x}, data=[{"x": x}, padded])


def test_what_is_put_in_while_in_inference_mode_can_be_trained() -> None:
    model = resnet()
    with torch.inference_mode():
        ik.remove(model, "layer2.0", as_="adapter", data=batches())
    weight = model.get_parameter("layer2.0.replacement.weight")
    assert not weight.is_inference()
    assert weight.requires_grad
    run_in_training = model.train()(pictures())
    run_in_training.sum().backward()
    with torch.no_grad():
        weight -= weight.grad


def test_a_cast_replacement_is_saved_in_the_dtype_that_it_has(tmp_path: Path) -> None:
    model = ik.remove(resnet(), "layer2.0", as_="adapter", data=batches()).to(torch.bfloat16)
    ik.save(model, tmp_path / "saved", "plan", inputs=pictures().bfloat16())
    again = ik.load(tmp_path / "saved", model=resnet(), inputs=pictures(), device="cpu")
    assert {value.dtype for value in again.parameters()} == {torch.bfloat16}
