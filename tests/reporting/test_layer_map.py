"""The map of a model: which layers it has and why one cannot be clicked, what was measured, and its limits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import sample_results as sample
from identikit.plan import Edit, Plan
from identikit.reporting import layer_map, map_layers, map_measured, repeat
from identikit.results import Front, MetricInfo, Row, ScanResult, SiteInfo
from identikit.results.compensated import Compensated


def data_of(scan: ScanResult | None, front: Front | None = None) -> dict[str, Any]:
    drawn = layer_map.layer_map(scan, front)
    assert drawn is not None
    found: dict[str, Any] = json.loads(drawn.data)
    return found


def row(*places: str, effect: float = -0.1, plan: dict[str, Any] | None = None) -> Row:
    return Row(places, "fidelity", 1.0, 1.0 + effect, effect, plan=plan)


def planned(**edit: Any) -> dict[str, Any]:
    return Plan().to_json() | {"edits": [{"options": {}} | edit]}


def test_layers_in_order_of_depth_each_with_what_lies_in_it() -> None:
    sites = {"b.10": SiteInfo("B"), "stem": SiteInfo("S"), "b.2.mlp": SiteInfo("M"), "b.2": SiteInfo("B")}
    scan = ScanResult(sample.header(sites=sites), [row("b.2.mlp"), row("stem"), row("head.0")])
    drawn = layer_map.layer_map(scan, None)
    assert drawn is not None
    shown = [
        (around, [(box.short, [part.short for part in box.parts]) for box in boxes]) for around, boxes in drawn.groups
    ]
    assert shown == [("b", [("10", [])]), ("", [("stem", [])]), ("b", [("2", ["mlp"])]), ("head", [("0", [])])]
    assert [layer["outer"] for layer in data_of(scan)["layers"]] == [None, None, None, 2, None]


def test_why_a_layer_cannot_be_clicked() -> None:
    sites = {name: SiteInfo("A", verdict="later layers read it" if name == "b" else "ok") for name in "abcd"}
    mean = planned(op="mean", at="c", options={"mean": "sha256:abc"})
    scan = ScanResult(sample.header(sites=sites), [row("a"), row("c", plan=mean)])
    drawn = layer_map.layer_map(scan, None)
    assert drawn is not None
    assert drawn.refusals == [
        ("b", "later layers read it"),
        ("c", "what was done there, lines on a page cannot carry"),
        ("d", "not measured here"),
    ]
    assert [("edit" in layer) for layer in data_of(scan)["layers"]] == [True, False, False, False]


def test_no_map_where_nothing_could_be_clicked() -> None:
    assert layer_map.layer_map(ScanResult(sample.header()), None) is None
    by_hand = ScanResult(sample.header(sites={}), [row("no path/at all")])
    assert layer_map.layer_map(by_hand, None) is None


def test_a_zeroed_part_is_another_edit_than_its_absence() -> None:
    zero = planned(op="zero", at="a")
    header = sample.header(sites={"a": SiteInfo("A")})
    scan = ScanResult(header, [row("a", effect=-0.1), row("a", effect=-0.2, plan=zero)])
    found = data_of(scan)
    assert [layer["op"] for layer in found["layers"]] == ["identity"]
    assert [[each["cost"] for each in point["said"]] for point in found["sets"]] == [["+0.100"]]
    alone = data_of(ScanResult(scan.header, scan.rows[1:]))
    assert [layer["op"] for layer in alone["layers"]] == ["zero"]


def test_what_was_measured_of_a_set() -> None:
    front = sample.held_front()
    score = replace(front.points[2].scores["fidelity"], edited=0.97, effect=-0.0282)
    done = Compensated("fold", (), {"fidelity": score})
    points = (*front.points[:2], replace(front.points[2], compensated=done), *front.points[3:])
    found = data_of(sample.scan(), replace(front, points=points))
    sets = {tuple(each["at"]): each["said"] for each in found["sets"]}
    assert set(sets) == {(0,), (1,), (2,), (3,), (4,), (5,), (1, 2), (1, 2, 3)}
    assert [each["on"] for each in sets[2,]] == ["50 held-out examples", "200 examples of the search"]
    (chosen,) = sets[1, 2]
    assert chosen["also"].startswith("folded: 0.97")
    assert chosen["left"] == front.points[2].parameters
    assert chosen["latency"] == "14.7 ms a pass"
    assert found["folded"]
    assert not data_of(sample.scan(), front)["folded"]


def test_a_cheap_score_is_never_a_measured_set() -> None:
    metrics = {"influence": MetricInfo(False, 0.0), "fidelity": MetricInfo(True, 1.0)}
    rows = [Row(("a",), "influence", 0.0, 0.3, 0.3), Row(("b",), "influence", 0.0, 0.2, 0.2), row("a")]
    found = data_of(ScanResult(sample.header(metrics=metrics, sites={}), rows))
    assert [each["at"] for each in found["sets"]] == [[0]]
    assert found["layers"][1]["costs"] == {"influence": 0.2}
    assert [metric["cheap"] for metric in found["metrics"]] == [True, False]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_measured, "MOST_SETS", 7)
    monkeypatch.setattr(map_layers, "MOST_LAYERS", 6)
    monkeypatch.setattr(layer_map, "MOST_LAYERS", 6)
    pairs = [row(f"l.{one}", f"l.{two}", effect=-0.01 * (one + two)) for one in range(4) for two in range(one)]
    header = sample.header(sites={f"l.{n}": SiteInfo("L") for n in range(9)})
    scan = ScanResult(header, [*map(row, ("l.0", "l.1")), *pairs])
    drawn = layer_map.layer_map(scan, None)
    assert drawn is not None
    assert drawn.left_out == [
        "Not on this map, which knows the 7 cheapest: 1 measured set.",
        "On this map: the first 6 of 9 layers.",
    ]
    found = json.loads(drawn.data)
    assert len(found["layers"]) == 6
    assert [2, 3] not in [each["at"] for each in found["sets"]]  # the costliest


@pytest.mark.parametrize(
    ("edits", "python"),
    [
        ([Edit("identity", "l.10"), Edit("identity", "l.2")], 'ik.Plan.of(["l.2", "l.10"])'),
        ([Edit("zero", "l.1.x"), Edit("identity", "l.2")], 'ik.Plan.of(["l.2"]) | ik.Plan.of(["l.1.x"], "zero")'),
        ([], "ik.Plan()"),
    ],
    ids=["natural order", "two kinds", "nothing"],
)
def test_lines_for_a_plan(edits: list[Edit], python: str) -> None:
    header = sample.header(name="-m x")
    assert f"model = ik.remove(model, {python})\n" in repeat.plan_python(header, edits)
    command = repeat.plan_command(header, edits)
    assert command.endswith("\nPLAN\nidentikit apply --to smaller -- '-m x' plan.json")
    written = command.partition("<<'PLAN'\n")[2].partition("\nPLAN\n")[0]
    assert Plan.from_json(json.loads(written)) == Plan(
        frozenset(edits), header.fingerprint, header.weights, header.model
    )


def test_names_that_a_plan_cannot_hold_are_left_out_of_it() -> None:
    command = repeat.plan_command(sample.header(model="x" * 300, weights="\n"), [Edit("identity", "a")])
    written = json.loads(command.partition("<<'PLAN'\n")[2].partition("\nPLAN\n")[0])
    assert (written["model"], written["weights"]) == ("", "")
    assert Plan.from_json(written).places == ("a",)


@pytest.mark.parametrize(
    ("metrics", "python", "words"),
    [
        (["fidelity"], 'metrics="fidelity", ', "--metric fidelity "),
        (["kl", "fidelity"], 'metrics=["kl", "fidelity"], ', "--metric kl --metric fidelity "),
        (["influence"], 'method="influence", ', "--method influence "),
        (["fidelity", "influence"], 'metrics="fidelity", method="auto", ', "--metric fidelity --method auto "),
    ],
    ids=str,
)
def test_a_cheap_score_is_asked_for_as_a_method(metrics: list[str], python: str, words: str) -> None:
    scan = ScanResult(sample.header(metrics={name: MetricInfo(True, 1.0) for name in metrics}))
    assert f"ik.scan(model, data, {python}seed=0)" in repeat.scan_python(scan)
    assert f"--data pairs.csv {words}--seed 0 --to" in repeat.scan_command(scan)


@pytest.mark.parametrize("name", ["", "BertModel"])
def test_a_class_is_no_model_that_a_command_could_open(name: str) -> None:
    scan = ScanResult(sample.header(name=name))
    assert repeat.plan_command(scan.header, []).endswith("\nidentikit apply MODEL plan.json --to smaller")
    assert repeat.scan_command(scan).startswith("identikit scan MODEL --data pairs.csv")
