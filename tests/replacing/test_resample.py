"""Resample ablation: the layer runs, and each example takes what the one before it in the batch would have got."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch
from identikit.errors import InputsError, PlanError, RoleError, SaveError
from identikit.families.anatomy import anatomy_of
from identikit.surgery.choose import plan_for
from identikit.surgery.install import install
from replacing.replaced_models import pictures, resnet, run
from zoo import case


def four(name: str, *, seed: int = 0) -> Batch:
    """Four rows for a language model of the zoo, the second and the third padded."""
    ids = torch.randint(1, 90, (4, 7), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, 5:] = mask[2, 3:] = 0
    kwargs = {"input_ids": ids, "attention_mask": mask}
    if name == "t5":
        kwargs |= {"decoder_input_ids": ids + 1, "decoder_attention_mask": mask}
    return Batch(kwargs=kwargs, examples=4)


def by_hand(model: nn.Module, place: str, batch: Any, *, of: str, rows: int = 1) -> list[torch.Tensor]:
    """The model's output with the first output of a layer shifted by plain hooks, along the first dimension."""
    held: list[torch.Tensor] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        held[:] = [(args[0] if args else kwargs["hidden_states"]).clone()]

    def after(_: nn.Module, __: Any, ___: Any, output: Any) -> Any:
        own = output[0] if isinstance(output, tuple) else output
        donors = [(row - rows) % len(own) for row in range(len(own))]
        new = own[donors] if of == "output" else held[0] + (own - held[0])[donors]
        return (new, *output[1:]) if isinstance(output, tuple) else new

    layer = model.get_submodule(place)
    hooks = [
        layer.register_forward_pre_hook(before, with_kwargs=True),
        layer.register_forward_hook(after, with_kwargs=True),
    ]
    found = run(model, batch)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(
    ("name", "place", "of"),
    [
        ("bert", "bert.encoder.layer.2", "contribution"),
        ("llama", "model.layers.1", "contribution"),
        ("llama", "model.layers.1.mlp", "output"),
        ("llama", "model.layers.1.self_attn", "output"),
        ("llama", "model.layers.1.mlp.up_proj", "output"),
        ("t5", "encoder.block.1", "contribution"),
    ],
)
def test_it_is_what_plain_hooks_do(name: str, place: str, of: str) -> None:
    model, batch = case(name).build(), four(name)
    full, expected = run(model, batch), by_hand(model, place, batch, of=of)
    with ik.bypass(model, place, as_="resample", inputs=batch) as handle:
        found = run(model, batch)
        [edit] = handle.plan
    assert dict(edit.options)["of"] == of
    assert all(map(torch.equal, found, expected))
    assert not torch.allclose(found[0], full[0], atol=1e-3)
    assert all(map(torch.equal, run(model, batch), full))


@pytest.mark.parametrize(("place", "of"), [("layer1.1", "contribution"), ("layer2.0", "output"), ("fc", "output")])
def test_of_a_picture(place: str, of: str) -> None:
    """A layer that changes the shape too: it runs."""
    model, batch = resnet(), pictures(5)
    expected = by_hand(model, place, batch, of=of)
    with ik.bypass(model, place, as_="resample", inputs=batch):
        assert all(map(torch.equal, run(model, batch), expected))


def test_a_layer_that_adds_its_stream_itself() -> None:
    """Bloom's attention takes the residual as its second argument and adds it: what it contributes is the rest."""
    model, batch, place = case("bloom").build(), four("bloom"), "transformer.h.1.self_attention"

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return (args[1] + (output[0] - args[1])[[3, 0, 1, 2]], *output[1:])

    hook = model.get_submodule(place).register_forward_hook(after)
    expected = run(model, batch)
    hook.remove()
    with ik.bypass(model, place, as_="resample", inputs=batch):
        assert all(map(torch.equal, run(model, batch), expected))


def test_of_a_block_the_whole_output_on_request() -> None:
    model, batch = case("bert").build(), four("bert")
    place = "bert.encoder.layer.2"
    expected = by_hand(model, place, batch, of="output")
    with ik.bypass(model, place, as_="resample", inputs=batch, options={"of": "output"}):
        assert all(map(torch.equal, run(model, batch), expected))


def test_the_rows_of_a_pair_stay_together() -> None:
    """Two rows an example: the sides of a pair are not exchanged, each takes that side of another pair."""
    model = case("bert").build()
    batch = Batch(kwargs=four("bert").kwargs, examples=2)
    place = "bert.encoder.layer.2"
    expected = by_hand(model, place, batch, of="contribution", rows=2)
    anatomy = anatomy_of(model, batch)
    with install(anatomy, plan_for(anatomy, [place], "resample")) as handle:
        assert all(map(torch.equal, run(model, batch), expected))
        [edit] = handle.plan
    assert dict(edit.options)["rows"] == 2


class Turned(nn.Module):
    """Works on its tokens first: [tokens, rows, features]. A bias that all examples share is among its outputs."""

    def __init__(self, *, mix: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.mix = Inner(), mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, bias = self.inner(x.transpose(0, 1))
        out = out.transpose(0, 1)
        return (out - out.mean(0) if self.mix else out) * bias[0, 0]


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.bias = nn.Linear(3, 5), nn.Parameter(torch.randn(4, 4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(x), self.bias.exp()


def test_the_batch_may_be_any_dimension() -> None:
    """As many tokens as examples: shapes alone would not tell. What all share stays."""
    model, x = Turned().eval(), torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    full = model(x)
    with ik.bypass(model, "inner", as_="resample", inputs=x) as handle:
        assert torch.equal(model(x), full.roll(1, 0))
        [edit] = handle.plan
    assert dict(edit.options) == {"dims": "1,-", "of": "output", "rows": 1}


class Windows(nn.Module):
    """Folds four windows of each example into the batch; or mixes examples."""

    def __init__(self, layer: nn.Module, *, fold: bool) -> None:
        super().__init__()
        self.layer, self.fold = layer, fold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x.reshape(-1, 2, 3)) if self.fold else self.layer(x)
        return out.reshape(len(x), -1) * 2


class Sorting(nn.Module):
    """Puts the examples in another order: whose a row is, is lost."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x.flatten(1).sum(1).argsort()] * 1.5


def test_refused_where_the_examples_are_not_told_apart() -> None:
    x = torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(0))
    end = 'so which values belong to which example is not known. Resample the layer around it, or use as_="mean".'
    refused = [
        (
            Windows(nn.Linear(3, 5), fold=True),
            '"layer" folds 4 rows of each example into its batch dimension, and how many depends on the input, ',
        ),
        (
            Windows(Sorting(), fold=False),
            '"layer" does not return the examples\' values exchanged where two examples are, ',
        ),
    ]
    for model, begin in refused:
        with pytest.raises(RoleError) as error:
            ik.bypass(model.eval(), "layer", as_="resample", inputs=x)
        assert str(error.value) == begin + end
        assert "forward" not in vars(model.layer)


def test_one_example_has_no_other() -> None:
    model, alone = resnet(), pictures(1)
    text = (
        "resample takes another example's values, and this batch holds one example. Use batches of two or more, or "
        'as_="mean".'
    )
    with pytest.raises(InputsError) as error:
        ik.bypass(model, "layer1.1", as_="resample", inputs=alone)
    assert str(error.value) == text
    with ik.bypass(model, "layer1.1", as_="resample", inputs=pictures(4)), pytest.raises(InputsError) as error:
        model(alone)
    assert str(error.value) == f'"layer1.1": {text}'


def test_a_plan_does_it_again(tmp_path: Path) -> None:
    """On another batch, and from a file, for which no second example has to be at hand when it is read."""
    model, batch = resnet(), pictures(4)
    with ik.bypass(model, ["layer1.1", "layer2.0"], as_="resample", inputs=batch) as handle:
        expected = run(model, pictures(3, 32, seed=5))
        handle.plan.write(tmp_path / "plan.json")
    plan = ik.Plan.read(tmp_path / "plan.json")
    assert plan == handle.plan
    with ik.apply(model, plan, inputs=batch) as again:
        assert all(map(torch.equal, run(model, pictures(3, 32, seed=5)), expected))
        assert again.calls == {"layer1.1": 1, "layer2.0": 1}


def test_it_is_not_for_good(tmp_path: Path) -> None:
    model, batch = resnet(), pictures(4)
    before = run(model, batch)
    keep = 'Keep the edit as a plan (handle.plan.write(path)), or replace the layer: as_="mean".'
    text = '"layer1.1" is resampled: it takes the values of another example of the batch, so it cannot be '
    with pytest.raises(RoleError) as error:
        ik.remove(model, "layer1.1", as_="resample", inputs=batch)
    assert str(error.value) == f"{text}removed. {keep}"
    with ik.bypass(model, "layer1.1", as_="resample", inputs=batch) as handle:
        for form in ("plan", "checkpoint"):
            with pytest.raises((SaveError, PlanError)) as error:
                ik.save(model, tmp_path / "folder", format=form, inputs=batch)
            assert form == "checkpoint" or str(error.value) == f"{text}saved. {keep}"
    with pytest.raises(RoleError, match="cannot be removed"):
        ik.remove(model, handle.plan, inputs=batch)
    with pytest.raises(RoleError, match="cannot be pruned"):
        ik.prune(model, [batch], at=["layer1.1", "layer2.1"], as_="resample", drop=1)
    assert all(map(torch.equal, run(model, batch), before))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"down": "average"}, 'resample at "layer1.1" has no option "down"; there are of, dims, rows.'),
        ({"of": "both"}, "resample at \"layer1.1\": of='both' is not 'contribution' or 'output'."),
        ({"rows": 0}, 'resample at "layer1.1": rows=0 is no number from 1 on.'),
        ({"rows": True}, 'resample at "layer1.1": rows=True is no number from 1 on.'),
        ({"dims": ""}, 'resample at "layer1.1": dims=\'\' is no text such as "0" or "1,-".'),
        ({"dims": "-"}, 'resample at "layer1.1": dims=\'-\' is no text such as "0" or "1,-".'),
        ({"dims": 0}, 'resample at "layer1.1": dims=0 is no text such as "0" or "1,-".'),
        ({"dims": "7"}, 'resample at "layer1.1": dims="7", and the output of the layer here has 4 dimensions.'),
    ],
)
def test_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError) as error:
        ik.bypass(resnet(), "layer1.1", as_="resample", inputs=pictures(4), options=options)
    assert str(error.value) == text


def test_a_layer_without_a_stream_contributes_to_none() -> None:
    with pytest.raises(RoleError) as error:
        ik.bypass(resnet(), "layer2.0", as_="resample", inputs=pictures(4), options={"of": "contribution"})
    assert str(error.value) == '"layer2.0" has no stream, so it contributes to none. Use options={"of": "output"}.'


def test_a_language_model_goes_on_generating() -> None:
    """The layer runs, so it feeds the cache: its number and the others' stay."""
    model, batch = case("llama").build(), four("llama")
    ids = batch.kwargs["input_ids"]
    numbers = [layer.self_attn.layer_idx for layer in model.model.layers]
    with ik.bypass(model, "model.layers.0", as_="resample", inputs=batch):
        assert [layer.self_attn.layer_idx for layer in model.model.layers] == numbers
        told = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        cached, plain = (model.generate(ids, use_cache=use, **told) for use in (True, False))
    assert torch.equal(cached, plain)
