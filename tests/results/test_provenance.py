"""A model's provenance: written and read again, damaged files refused, a curve read as a step."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import sample_results as sample
from identikit.errors import ResultError
from identikit.results import DataInfo, MetricInfo, Score
from identikit.results.chosen import chosen_step, figures_of
from identikit.results.provenance import Figure, Provenance, Step

HELD = DataInfo("held.csv", "aa00", 50)


def provenance() -> Provenance:
    """A prune, then a healing whose figures are of held-out examples."""
    healed = Figure("kl", 0.02, full=0.0, before=0.3, low=0.01, high=0.03, confidence=0.9, higher_is_better=False,
                    data=HELD, chosen_on=False)  # fmt: skip
    prune = replace(chosen_step(sample.front(), method="greedy"), state="abc def")
    return Provenance((prune, Step("heal", ("Distilled for 5 minutes.",), figures=(healed,), state="abc 123")))


def schema() -> Draft202012Validator:
    value = json.loads(files("identikit").joinpath("schemas", "provenance.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(value)
    return Draft202012Validator(value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    value = provenance().to_json()
    assert Provenance.from_json(json.loads(json.dumps(value))) == provenance()
    (tmp_path / "x.json").write_text(json.dumps(value | {"saved": {"anything": 1}}))
    assert Provenance.read(tmp_path / "x.json") == provenance()
    schema().validate(value)
    defs = schema().schema["$defs"]
    assert set(defs["step"]["properties"]) == set(Step.__dataclass_fields__)
    assert set(defs["figure"]["properties"]) == set(Figure.__dataclass_fields__)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ((), {"format": "identikit.plan"}),
        ((), {"version": 2}),
        ((), {"extra": 1}),
        ((), {"steps": {}}),
        (("steps", 0), {"verb": 3}),
        (("steps", 0), {"extra": 3}),
        (("steps", 0), {"versions": {"torch": 2}}),
        (("steps", 0, "figures", 0), {"edited": "0.9"}),
        (("steps", 0, "figures", 0), {"edited": None}),
        (("steps", 0, "figures", 0), {"chosen_on": "yes"}),
        (("steps", 0, "figures", 0), {"data": {"name": "x"}}),
    ],
)
def test_damage_is_refused_by_reader_and_schema(where: tuple[Any, ...], change: dict[str, Any]) -> None:
    value = provenance().to_json()
    inner: Any = value
    for key in where:
        inner = inner[key]
    inner.update(change)
    assert not schema().is_valid(value)
    with pytest.raises(ResultError):
        Provenance.from_json(value)


def test_a_figure_needs_numbers() -> None:
    with pytest.raises(ResultError, match="no number to compare"):
        Figure("loss", float("nan"))
    with pytest.raises(ResultError, match="both ends, or none"):
        Figure("loss", 1.0, low=0.5)


def test_the_name_is_the_one_the_first_step_gave() -> None:
    assert Provenance().name == ""
    assert provenance().name == "models/all-MiniLM-L6-v2"


def test_a_curve_as_a_step() -> None:
    front = sample.front()
    step = chosen_step(front, method="greedy")
    assert step.goal == "keep at least 95 % of the full fidelity"
    assert step.said[1:] == front.why
    (figure,) = step.figures
    assert (figure.full, figure.edited) == (1.0, front.choice.scores["fidelity"].edited)
    assert figure.chosen_on
    assert figure.data == front.header.data
    other = chosen_step(front, at=front.points[1])
    assert other.goal == ""
    assert other.said == ("Taken from the curve of a prune: the point with 1 dropped.",)
    assert figures_of(front, front.full) == ()


def test_what_was_held_out_comes_first_and_says_so() -> None:
    front = sample.front()
    points = [replace(point, selection=point.scores) for point in front.points]
    front = replace(front, points=tuple(points), chosen_on=HELD)
    held, search = figures_of(front, front.choice)
    assert (held.chosen_on, held.data) == (False, front.header.data)
    assert (search.chosen_on, search.data) == (True, HELD)


def test_a_score_of_whole_models_is_on_its_own_data() -> None:
    """Even beside metrics that are on the user's data; the ledger's note tells them apart."""
    header = sample.header(
        metrics={"mine": MetricInfo(True, 0.5), "fidelity": MetricInfo(True, 1.0, "paired")},
        notes=("mine scores a whole model: no error bar.",),
    )
    scores = {"mine": Score(0.5, 0.4, -0.1), "fidelity": Score(1.0, 0.9, -0.1, -0.2, 0.0)}
    point = replace(sample.front().points[1], scores=scores, selection=scores)
    full = replace(sample.front().points[0], scores=scores, selection=scores)
    front = replace(sample.front(), header=header, points=(full, point), chosen=1, chosen_on=HELD)
    mine, *others = figures_of(front, point)
    assert (mine.data, mine.chosen_on, mine.confidence) == (DataInfo("the score's own data", "", 0), True, None)
    assert [(each.metric, each.chosen_on) for each in others] == [("fidelity", False), ("fidelity", True)]
