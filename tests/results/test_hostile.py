"""Files from strangers: whatever is wrong with one, the answer is one line of ResultError."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_results as sample
from identikit.errors import ResultError
from identikit.results import Front, ScanResult, journal

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def lines() -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and one row of a good file, to be spoiled."""
    header = {"format": "identikit.scan", "version": 1} | sample.header().to_json()
    return json.loads(json.dumps(header)), json.loads(json.dumps(sample.row(0).to_json()))


def timed(low: float, seconds: float, high: float) -> dict[str, Any]:
    return {"kind": "A", "seconds_low": low, "seconds": seconds, "seconds_high": high}


def refusal(path: Path) -> str:
    """What reading says; one line without the path."""
    with pytest.raises(ResultError) as caught:
        ScanResult.read(path)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 600
    return said.replace(str(path), "FILE")


SPOILED: list[tuple[Change, str]] = [
    (
        lambda h, r: h.update(format="other"),
        'scan file FILE is none: it does not start with "format": "identikit.scan".',
    ),
    (
        lambda h, r: h.update(version=2),
        "scan file FILE has version 2; this identikit reads version 1. "
        "Update identikit, or measure anew with this one.",
    ),
    (lambda h, r: h.update(version=True), "has version True; this identikit reads version 1."),
    (lambda h, r: h.update(version="1"), "has version '1'; this identikit reads version 1."),
    (lambda h, r: h.update(extra=1), "line 1 has the unknown key 'extra'."),
    (lambda h, r: h.pop("metrics"), 'line 1 lacks the key "metrics".'),
    (lambda h, r: h.update(metrics={}), "a result needs at least one metric"),
    (lambda h, r: h.update(metrics=[]), '"metrics" must be an object of at most 1,000 keys.'),
    (lambda h, r: h["metrics"]["fidelity"].update(full="1"), 'metric "fidelity": "full" must be a number, not a text.'),
    (
        lambda h, r: h["metrics"]["fidelity"].update(confidence=1),
        '"confidence" must lie between 0 and 1, such as 0.95.',
    ),
    (
        lambda h, r: h["metrics"]["fidelity"].update(interval="wide"),
        '"interval" must be one of paired, bootstrap, none.',
    ),
    (
        lambda h, r: h["metrics"]["fidelity"].update(higher_is_better=1),
        '"higher_is_better" must be true or false, not 1.',
    ),
    (lambda h, r: h.update(model=3), '"model" must be a text, not a number.'),
    (lambda h, r: h.update(name="x" * 10_001), '"name" has 10,001 characters; at most 10,000 are allowed.'),
    (lambda h, r: h.update(name="\ud800"), '"name" holds half a character (a lone surrogate).'),
    (lambda h, r: h.update(seed=-1), '"seed" must be a whole number from 0 on, not -1.'),
    (lambda h, r: h.update(seed=1.5), '"seed" must be a whole number from 0 on, not 1.5.'),
    (lambda h, r: h.update(total_parameters=10**30), '"total_parameters" must be a whole number from 0 on'),
    (lambda h, r: h.update(data="pairs.csv"), '"data" must be an object with keys and values, not a text.'),
    (lambda h, r: h["data"].pop("fingerprint"), '"data" lacks the key "fingerprint".'),
    (lambda h, r: h["sites"].update(a={"kind": "A", "share": 1.5}), '"share" must lie between 0 and 1, or be null.'),
    (lambda h, r: h["sites"].update(a={"kind": "A", "flops": 1.5}), '"flops" must be a whole number from 0 on'),
    (lambda h, r: h["sites"].update(a={"kind": "A", "memory": -1}), '"memory" must be a whole number from 0 on'),
    (lambda h, r: h["sites"].update(a={"kind": "A", "seconds": "1"}), '"seconds" must be a number, not a text.'),
    (lambda h, r: h["sites"].update(a={"kind": "A", "seconds": 1}), '"seconds_high" are all there, or none.'),
    (lambda h, r: h["sites"].update(a=timed(2, 1, 3)), '"seconds" must lie between "seconds_low" and "seconds_high"'),
    (lambda h, r: h["sites"].update(a=timed(-1, 1, 3)), "none below 0."),
    (lambda h, r: h["sites"].update(a=None), 'site "a" must be an object with keys and values, not null.'),
    (lambda h, r: h["versions"].update(torch=2), 'version of "torch" must be a text, not a number.'),
    (lambda h, r: h.update(notes="a"), '"notes" must be a list of at most 10,000 values.'),
    (
        lambda h, r: h["metrics"].update({"a\nb": h["metrics"]["fidelity"]}),
        "each key of \"metrics\" must be text of one line without control characters, not 'a\\nb'.",
    ),
    (lambda h, r: r.update(metric="a\x1b[2J"), '"metric" must be text of one line without control characters'),
    (
        lambda h, r: r.update(
            plan={"format": "identikit.plan", "version": 1, "edits": [{"op": "zero", "at": "\ud800"}]}
        ),
        "a place is a dotted path such as 'encoder.layer.2'; found '\\ud800'.",
    ),
    (lambda h, r: r.update(extra=1), "line 2 has the unknown key 'extra'."),
    (lambda h, r: r.pop("edited"), 'line 2 lacks the key "edited".'),
    (lambda h, r: r.update(edited=[1]), '"edited" must be a number, not a list.'),
    (lambda h, r: r.update(edited=True), '"edited" must be a number, not true or false.'),
    (lambda h, r: r.update(edited=10**400), '"edited" is too large a number.'),
    (lambda h, r: r.update(effect=0.5), '"effect" 0.5 is not edited - full'),
    (lambda h, r: r.update(low=None), 'an interval has both "low" and "high", or neither.'),
    (lambda h, r: r.update(low=5.0), '"low" 5.0 is above "high"'),
    (lambda h, r: r.update(metric="loss"), '"loss" is none of the header\'s metrics: fidelity.'),
    (lambda h, r: r.update(places="encoder"), '"places" must be a list of at most 100,000 values.'),
    (lambda h, r: r.update(places=["a", "a"]), '"places" names a layer twice.'),
    (lambda h, r: r.update(places=["../../etc"]), "a place is a dotted path such as 'encoder.layer.2'"),
    (lambda h, r: r.update(places=[7]), 'each of "places" must be a text, not a number.'),
    (lambda h, r: r.update(seconds=-1), '"seconds" must not be negative.'),
    (lambda h, r: r.update(plan={"format": "identikit.plan", "version": 9}), '"plan" has version 9'),
    (lambda h, r: r.update(plan=[]), '"plan" is no plan'),
]


@pytest.mark.parametrize(("change", "said"), SPOILED, ids=[said[:40] for _, said in SPOILED])
def test_spoiled_values(tmp_path: Path, change: Change, said: str) -> None:
    header, row = lines()
    change(header, row)
    path = tmp_path / "scan.jsonl"
    path.write_text(f"{json.dumps(header)}\n{json.dumps(row)}\n")
    assert said in refusal(path)


ROW = b'{"places": ["a"], "metric": "fidelity", "full": 1, "edited": 1, "effect": 0, "examples": 1'
SPOILED_TEXT = [
    pytest.param(b"", "FILE is no scan file: it has no whole line. Delete it and scan again.", id="empty"),
    pytest.param(b'{"format": "identikit.sc', "it has no whole line", id="cut in the header"),
    pytest.param(b"[1, 2]\n", "scan file FILE is none", id="not an object"),
    pytest.param(
        b"\xff\xfe{}\n",
        "line 1 is damaged: it is not UTF-8 text. Name a file that a scan wrote, or scan",
        id="not UTF-8",
    ),
    pytest.param(b"\x1f\x8b\x08" + bytes(range(256)) + b"\n", "line 1 is damaged: it is not UTF-8", id="gzip"),
    pytest.param(b"HEAD" + ROW + b', "seconds": NaN}\n', "line 2 holds NaN, which is not a JSON number", id="NaN"),
    pytest.param(b"HEAD" + ROW + b', "seconds": -Infinity}\n', "line 2 holds -Infinity", id="Infinity"),
    pytest.param(b"HEAD" + ROW + b', "seconds": 1e999}\n', "line 2 holds a number that is too large", id="overflow"),
    pytest.param(b"HEAD" + ROW + b', "full": 2}\n', 'line 2 has the key "full" twice', id="a key twice"),
    pytest.param(
        b"HEAD" + ROW + b', "seconds": ' + b"9" * 9999 + b"}\n", "line 2 holds a number that is too", id="digits"
    ),
    pytest.param(b"HEAD" + b"[" * 200_000 + b"\n", "line 2 is nested too deeply", id="deep nesting"),
    pytest.param(b"HEAD\n", "line 2 is damaged", id="an empty line"),
    pytest.param(
        b"HEAD" + ROW + b"}\n" + ROW + b"}\n", "line 3 measures the same as line 2. Delete one", id="a row twice"
    ),
]


@pytest.mark.parametrize(("content", "said"), SPOILED_TEXT)
def test_spoiled_text(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "scan.jsonl"
    path.write_bytes(content.replace(b"HEAD", json.dumps(lines()[0]).encode() + b"\n"))
    assert said in refusal(path)


def test_absurd_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scan.jsonl"
    with path.open("wb") as file:
        file.truncate(journal.LARGEST_FILE + 1)  # sparse: takes no room
    assert refusal(path).startswith("FILE is no scan file: 1,073,741,825 bytes, more than the 1,073,741,824")
    with path.open("wb") as file:
        file.truncate(journal.LONGEST_LINE + 10)
    assert "line 1 has more than 33,554,432 bytes; no line of a scan has" in refusal(path)
    monkeypatch.setattr(journal, "MOST_ROWS", 4)
    sample.scan().write(path)
    assert "line 6: a scan has at most 4 rows." in refusal(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "FILE is no scan file: it is a folder or a device."
    assert refusal(Path("/dev/zero")) == "FILE is no scan file: it is a folder or a device."
    assert refusal(tmp_path / "none") == "cannot read the scan file FILE: No such file or directory."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    header, row = lines()
    target = data.draw(st.sampled_from([header, row, header["data"], header["metrics"], header["sites"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON)
    path = tmp_path_factory.mktemp("any") / "scan.jsonl"
    path.write_text(f"{json.dumps(header)}\n{json.dumps(row)}\n")
    scan = read_or_none(path)
    if scan is not None:
        scan.write(path)
        assert ScanResult.read(path) == scan


def read_or_none(path: Path) -> ScanResult | None:
    """Any other error than a ResultError fails the test."""
    try:
        return ScanResult.read(path)
    except ResultError:
        return None


FRONTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda f: f.update(version=0), "front file FILE has version 0; this identikit reads versions 1 to 2."),
    (lambda f: f.update(version=3), "front file FILE has version 3; this identikit reads versions 1 to 2."),
    (lambda f: f.update(version=True), "front file FILE has version True; this identikit reads versions 1 to 2."),
    (lambda f: f.update(chosen_on={}), 'front file FILE, "chosen_on" lacks the key "fingerprint".'),
    (lambda f: f.update(chosen_on=f["data"]), "point 0 must have the scores of the search too where examples were"),
    (lambda f: f["points"][0].update(selection=f["points"][0]["scores"]), "point 0 must have the scores of the search"),
    (lambda f: f["points"][1].update(selection={"kl": {}}), 'point 1, selection, "kl" lacks the key "full".'),
    (lambda f: f.pop("points"), 'front file FILE lacks the key "points".'),
    (lambda f: f.update(points=[]), "front file FILE: a front needs at least one point: the full model."),
    (lambda f: f.update(chosen=9), 'front file FILE: "chosen" is 9, but there are 4 points'),
    (lambda f: f.update(extra=1), "front file FILE has the unknown key 'extra'."),
    (lambda f: f["points"][1].update(dropped=2), 'point 1: "dropped" is not the number of different "places".'),
    (lambda f: f["points"][1].update(latency=-1), 'point 1: "latency" must not be negative.'),
    (lambda f: f["points"][1].update(latency=9.0), 'point 1: "latency" must lie between "latency_low" and'),
    (lambda f: f["points"][1].update(latency_high=None), 'point 1: "latency" must lie between "latency_low" and'),
    (lambda f: f["points"][1].update(latency=None), 'point 1: "latency" must lie between "latency_low" and'),
    (lambda f: f["points"][1].update(latency_low=-1), 'point 1: "latency_low" must not be negative.'),
    (lambda f: f["points"][1].update(memory=-1), 'point 1: "memory" must be a whole number from 0 on, not -1.'),
    (lambda f: f["points"][1].update(scores={}), "point 1 must have a score for each of the header's metrics"),
    (
        lambda f: f["points"][1]["scores"]["fidelity"].update(effect=1),
        'point 1, "fidelity": "effect" 1.0 is not edited',
    ),
    (lambda f: f["points"].append(3), "point 4 must be an object with keys and values, not a number."),
]


@pytest.mark.parametrize(("change", "said"), FRONTS, ids=[said[:40] for _, said in FRONTS])
def test_spoiled_fronts(tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    value = json.loads(json.dumps(sample.front().to_json()))
    change(value)
    path = tmp_path / "front.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ResultError) as caught:
        Front.read(path)
    assert said in str(caught.value).replace(str(path), "FILE")
    assert "\n" not in str(caught.value)
