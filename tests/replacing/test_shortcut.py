"""The parameter-free shortcut: a block that changes resolution or width becomes option A of the ResNet paper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from identikit.errors import PlanError, RoleError, SaveError
from identikit.nn.shortcuts import PadShortcut
from identikit.plan import Edit, Plan
from identikit.replacing.layout import FIRST, LAST, Layout, layout_of
from identikit.saving.load import load
from identikit.saving.save import save
from identikit.structure.compare import equal
from identikit.surgery.apply import apply, bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from replacing.replaced_models import DOWN, Merging, pictures, resnet, run, seen
from zoo import weigh

X = pictures()


@pytest.mark.parametrize("options", [{}, {"down": "average"}, {"side": "behind"}, {"side": "front", "down": "average"}])
def test_a_downsampling_block_becomes_option_a(options: dict[str, str]) -> None:
    model = resnet()
    full, before = run(model, X), Snapshot(model)
    with bypass(model, DOWN[0], inputs=X, as_="shortcut", options=options) as handle:
        [(entered, left)] = seen(model, DOWN[0], X)
        assert torch.equal(left, PadShortcut(8, 12, stride=2, dims=2, **options)(entered))
        assert handle.calls == {DOWN[0]: 1}
        assert list(model.state_dict()) == before.keys
    assert torch.equal(run(model, X)[0], full[0])
    assert before.changes(model) == []


def test_zeros_lie_on_both_sides_unless_said_otherwise() -> None:
    model = resnet()
    with bypass(model, DOWN[0], inputs=X, as_="shortcut"):
        [(entered, left)] = seen(model, DOWN[0], X)
    assert torch.equal(left[:, 2:10], entered[:, :, ::2, ::2])
    assert not left[:, :2].any()
    assert not left[:, 10:].any()


@pytest.mark.parametrize("down", ["subsample", "average"])
def test_a_patch_merging_with_its_features_last(down: str) -> None:
    """An odd size too: the last window is smaller."""
    model = weigh(nn.Sequential(nn.Linear(3, 4), Merging(4), nn.Linear(8, 8)))
    x = torch.randn(2, 6, 8, 3, generator=torch.Generator().manual_seed(0))
    with bypass(model, "1", inputs=x, as_="shortcut", options={"down": down}) as handle:
        [(entered, left)] = seen(model, "1", x)
        wider = model(torch.randn(1, 10, 4, 3))
    assert handle.plan.edits == {Edit("shortcut", "1", (("axis", -1), ("stride", 2), ("down", down)))}
    assert torch.equal(left, PadShortcut(4, 8, stride=2, dims=2, down=down)(entered.movedim(-1, 1)).movedim(1, -1))
    assert wider.shape == (1, 5, 2, 8)


LAYOUTS = [
    ((2, 8, 16, 16), (2, 12, 8, 8), FIRST, (2, 2)),
    ((2, 8, 7, 9), (2, 12, 4, 3), FIRST, (2, 3)),
    ((2, 8, 9), (2, 8, 5), FIRST, (2,)),
    ((2, 6, 8), (2, 6, 5), LAST, (1,)),
    ((2, 6, 6, 8), (2, 3, 3, 16), LAST, (2, 2)),
    ((2, 8), (2, 12), LAST, ()),
    ((2, 8, 4, 4), (2, 8, 8, 8), FIRST, None),  # grows
    ((2, 8, 4, 4), (2, 8), FIRST, None),  # pooled
    ((2, 8, 4), (3, 8, 4), FIRST, None),  # other examples
    ((2, 8, 10), (2, 8, 6), FIRST, None),  # no stride leaves six of ten
]


@pytest.mark.parametrize(("entered", "left", "axis", "strides"), LAYOUTS, ids=str)
def test_the_stride_is_found_from_the_shapes(
    entered: tuple[int, ...], left: tuple[int, ...], axis: int, strides: tuple[int, ...] | None
) -> None:
    found = layout_of(torch.Size(entered), torch.Size(left), axis)
    assert (found.strides if found else None) == strides
    if found is not None:
        assert found == Layout(axis, entered[axis], left[axis], found.strides)
        assert tuple(found.output_shape(torch.Size(entered))) == left


def test_a_plan_means_the_same_on_pictures_of_another_size() -> None:
    model, again = resnet(), resnet()
    with bypass(model, DOWN[0], inputs=X, as_="shortcut") as handle:
        expected = run(model, pictures(2, 24))
    with apply(again, handle.plan, inputs=pictures(1, 9)):
        assert torch.equal(run(again, pictures(2, 24))[0], expected[0])


def test_a_plan_written_by_hand_needs_no_options() -> None:
    model, by_hand = resnet(), resnet()
    with bypass(model, *DOWN, inputs=X, as_="shortcut"), apply(by_hand, Plan.of(DOWN, "shortcut"), inputs=X):
        assert torch.equal(run(model, X)[0], run(by_hand, X)[0])


def test_a_layer_that_keeps_its_shape_becomes_the_identity() -> None:
    model = resnet()
    with bypass(model, "layer2.1", inputs=X):
        expected = run(model, X)
    with bypass(model, "layer2.1", inputs=X, as_="shortcut"):
        assert torch.equal(run(model, X)[0], expected[0])


def test_removed_saved_and_loaded(tmp_path: Path) -> None:
    model = resnet()
    with bypass(model, *DOWN, inputs=X, as_="shortcut") as handle:
        bypassed, plan = run(model, X), handle.plan
    count = sum(value.numel() for value in model.parameters())
    assert equal(run(remove(model, plan, inputs=X), X), bypassed)
    gone = sum(value.numel() for path in DOWN for value in resnet().get_submodule(path).parameters())
    assert sum(value.numel() for value in model.parameters()) == count - gone
    assert not any(name.startswith(DOWN) for name in model.state_dict())
    with pytest.raises(SaveError) as error:
        save(model, tmp_path / "checkpoint", inputs=X)
    assert str(error.value) == (
        '"layer2.0" was replaced (shortcut), which no configuration of ResNet can express. '
        'Save the plan instead: format="plan" (--format plan).'
    )
    assert not (tmp_path / "checkpoint").exists()
    save(model, tmp_path / "plan", format="plan", inputs=X)
    assert not (tmp_path / "plan" / "plan.safetensors").exists(), "a shortcut has no tensors"
    assert equal(run(load(tmp_path / "plan", model=resnet(), inputs=X), X), bypassed)


def test_an_outer_replacement_absorbs_what_is_inside() -> None:
    inner = Plan.of(["layer2.0.conv1", "layer2.1"], "zero")
    for op in ("mean", "shortcut", "adapter"):
        assert (inner | Plan.of(["layer2.0"], op)).places == ("layer2.0", "layer2.1")


REFUSED = [
    (
        {"size": 3},
        PlanError,
        'shortcut at "layer2.0" has no option "size"; there are axis, side, down, stride.',
    ),
    (
        {"down": "max"},
        PlanError,
        "shortcut at \"layer2.0\": down='max' is not 'subsample' or 'average'.",
    ),
    (
        {"axis": True},
        PlanError,
        'shortcut at "layer2.0": axis=True is not 1 or -1.',
    ),
    (
        {"stride": "2x"},
        PlanError,
        'shortcut at "layer2.0": stride=\'2x\' is no number, and no text such as "2x1".',
    ),
    (
        {"stride": 3},
        RoleError,
        '"layer2.0" takes 4x8x16x16 and returns 4x12x8x8: the shortcut asked for makes 4x12x6x6 of it. '
        "Leave stride and axis out, then they are found.",
    ),
    (
        {"axis": -1},
        RoleError,
        '"layer2.0" takes 4x8x16x16 and returns 4x12x8x8: no shortcut leads from one to the other. Keep it.',
    ),
]


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED, ids=[str(options) for options, *_ in REFUSED])
def test_what_cannot_be_is_refused(options: dict[str, object], kind: type[Exception], text: str) -> None:
    model = resnet()
    before = Snapshot(model)
    with pytest.raises(kind) as error:
        bypass(model, DOWN[0], inputs=X, as_="shortcut", options=options)
    assert str(error.value) == text
    assert before.changes(model) == []


def test_zeros_make_no_features_fewer() -> None:
    model = weigh(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 8)))
    with pytest.raises(RoleError) as error:
        bypass(model, "1", inputs=torch.zeros(2, 16), as_="shortcut")
    assert str(error.value) == (
        '"1" takes 2x16 and returns 2x8: a shortcut cannot make 8 features of 16. '
        'Fit a map instead: as_="adapter", data=[batch, ...].'
    )


def test_a_layer_of_two_streams_is_refused() -> None:
    """Which of them should the shortcut make?"""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.a(x) + y, self.b(y) + x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Two(), Two()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            for layer in self.layers:
                x, y = layer(x, y)
            return x - y

    with pytest.raises(RoleError, match="returns 2 outputs that are read later; a replacement makes one tensor"):
        bypass(weigh(Net()), "layers.1", inputs=torch.randn(2, 16), as_="shortcut")
