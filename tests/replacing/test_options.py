"""What a user may say of a replacement, and what is refused before anything is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
