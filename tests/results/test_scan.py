"""ScanResult: what it answers, and its laws: read(write(x)) is x, halves merged are the whole."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_results as sample
from identikit.errors import ResultError
from identikit.results import Cost, DataInfo, Front, MetricInfo, Row, ScanResult, Score, SiteInfo, read_result
from identikit.results.ties import tied

FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
PARTS = st.text("abxyz_0123456789", min_size=1, max_size=6)
PLACES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    full, edited = draw(FINITE), draw(FINITE)
    bounds = draw(st.one_of(st.none(), st.tuples(FINITE, FINITE).map(sorted)))
    low, high = bounds or (None, None)
    return Row(
        places=draw(st.sets(PLACES, min_size=1, max_size=3)),
        metric=draw(st.sampled_from(["loss", "fidelity"])),
        full=full,
        edited=edited,
        effect=edited - full,
        low=low,
        high=high,
        examples=draw(st.integers(0, 10**9)),
        engine=draw(NAMES),
        seconds=draw(st.floats(0, 1e6)),
        error=draw(st.none() | st.floats(0, 1e6)),
        ties=draw(st.lists(PLACES, max_size=2, unique=True)),
    )


@st.composite
def sites(draw: st.DrawFn) -> SiteInfo:
    low, seconds, high = draw(st.just([None] * 3) | st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted))
    counts = st.none() | st.integers(0, 10**18)
    share = draw(st.none() | st.floats(0, 1))
    costs = {"seconds": seconds, "seconds_low": low, "seconds_high": high, "memory": draw(counts)}
    return SiteInfo(draw(NAMES), share=share, flops=draw(counts), **costs)


@st.composite
def scans(draw: st.DrawFn) -> ScanResult:
    header = sample.header(
        name=draw(NAMES),
        data=DataInfo(draw(NAMES), "d", draw(st.integers(0, 10**9))),
        metrics={"loss": MetricInfo(False, draw(FINITE), "bootstrap", 0.9), "fidelity": MetricInfo(True, 1.0)},
        sites=draw(st.dictionaries(PLACES, sites(), max_size=4)),
        notes=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
        command=draw(NAMES),
    )
    return ScanResult(header, draw(st.lists(rows(), max_size=8, unique_by=lambda row: row.key)))


@given(scans())
def test_read_is_the_inverse_of_write(tmp_path_factory: pytest.TempPathFactory, scan: ScanResult) -> None:
    path = tmp_path_factory.mktemp("scan") / "scan.jsonl"
    scan.write(path)
    assert ScanResult.read(path) == scan
    assert read_result(path) == scan
    first = path.read_bytes()
    ScanResult.read(path).write(path)
    assert path.read_bytes() == first


@given(scans(), st.randoms())
def test_halves_merged_are_the_whole(scan: ScanResult, chance: random.Random) -> None:
    kept = [row for row in scan.rows if chance.random() < 0.5]
    both = [row for row in scan.rows if row not in kept or chance.random() < 0.3]  # some rows measured twice
    merged = ScanResult(scan.header, kept).merge(ScanResult(scan.header, both))
    assert merged == scan
    assert merged.rows == scan.rows
    assert ScanResult(scan.header, both).merge(ScanResult(scan.header, kept)) == scan


@given(scans(), st.randoms())
def test_the_order_of_appending_does_not_matter(scan: ScanResult, chance: random.Random) -> None:
    mixed = list(scan.rows)
    chance.shuffle(mixed)
    assert ScanResult(scan.header, mixed).rows == scan.rows


def test_rows_come_in_natural_order_and_singles_first() -> None:
    places = [("m.10",), ("m.1", "m.2"), ("m.2",), ("m.1",)]
    scan = ScanResult(sample.header(), [sample.row(0, places=place) for place in places])
    assert [row.places for row in scan] == [("m.1",), ("m.2",), ("m.10",), ("m.1", "m.2")]
    assert Row(("m.10", "m.9"), "fidelity", 1, 1, 0).place == "m.9 + m.10"


def test_cost_is_positive_where_the_model_is_worse() -> None:
    scan = sample.mixed_scan()
    worse = scan.find("model.layers.1", "model.layers.2")
    better = scan.find("model.layers.2")
    assert worse is not None
    assert better is not None
    assert scan.cost(worse) == Cost(2.5188, 2.25, 2.75)  # lower is better: as it is
    assert scan.cost(better).value < 0
    assert sample.scan().cost(sample.row(0)) == Cost(0.0517, -sample.row(0).high, -sample.row(0).low)
    accuracy = scan.find("model.layers.1", metric="accuracy")
    assert accuracy is not None
    assert scan.cost(accuracy) == Cost(0.0025, None, None)


@pytest.mark.parametrize(
    ("low", "high", "tie"), [(-1.0, 1.0, True), (0.0, 1.0, True), (0.1, 1.0, False), (-2.0, -0.1, False)]
)
def test_a_tie_is_an_interval_that_holds_zero(low: float, high: float, tie: bool) -> None:
    assert Score(1.0, 1.5, 0.5, low, high).cost(higher_is_better=True).tie is tie
    assert Score(1.0, 1.5, 0.5).cost(higher_is_better=True).tie is None


def test_ties_are_named_as_the_largest_groups() -> None:
    """2 3 1 4 0 5 from cheap to dear: of 3, 1 and 4 each two are tied; 0 only with 4; 2 and 5 with none."""
    alike = {3: (1, 4), 1: (3, 4), 4: (3, 1, 0), 0: (4,)}
    rows = [sample.row(n, ties=[f"encoder.layer.{other}" for other in alike.get(n, ())]) for n in range(6)]
    groups = tied(ScanResult(sample.header(), rows).ranked())
    assert [[row.place[-1] for row in group] for group in groups] == [["3", "1", "4"], ["4", "0"]]
    assert tied(sample.scan().ranked()) == ()
    assert tied([]) == ()


def test_a_file_without_errors_and_ties_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    sample.scan().write(tmp_path / "scan.jsonl")
    text = (tmp_path / "scan.jsonl").read_text()
    assert '"ties"' not in text
    assert '"error"' not in text
    assert ScanResult.read(tmp_path / "scan.jsonl").rows[0].ties == ()


def test_best_and_ranked() -> None:
    scan = sample.scan()
    assert scan.best().places == ("encoder.layer.2",)
    assert [row.places[0][-1] for row in scan.ranked()] == ["2", "3", "1", "4", "0", "5"]
    assert sample.mixed_scan().best("perplexity").place == "model.layers.2"
    assert len(sample.mixed_scan().of("accuracy")) == 1
    with pytest.raises(ResultError, match=r"^this scan has no rows yet, so none is the best\.$"):
        ScanResult(sample.header()).best()
    with pytest.raises(
        ResultError, match=r'no metric "fidelty" in this scan, which has fidelity. Did you mean "fidelity"\?$'
    ):
        scan.of("fidelty")


def test_one_thing_is_measured_once() -> None:
    scan = sample.scan()
    with pytest.raises(ResultError, match=r'^"encoder.layer.1" is measured already by fidelity in this scan\.$'):
        scan.append(sample.row(1))
    with pytest.raises(ResultError, match=r'^no metric "loss" in this scan'):
        scan.append(sample.row(1, metric="loss"))
    assert sample.row(1) in scan
    assert sample.row(1, places=("elsewhere",)) not in scan
    assert scan == sample.scan()


def test_a_row_of_another_edit_at_the_same_place_is_another_row() -> None:
    scan = sample.mixed_scan()
    (edited,) = [row for row in scan if row.plan is not None]
    plain = Row(edited.places, "perplexity", edited.full, edited.edited, edited.effect)
    assert plain not in scan
    scan.append(plain)
    assert scan.find("model.layers.1.self_attn") == plain


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": "other"}, "weights: b7e2d84410ffac39 and other"),
        ({"fingerprint": "other"}, "fingerprint: 3f1c9a7e42d0b586 and other"),
        ({"seed": 1}, "seed: 0 and 1"),
        ({"dtype": "bfloat16"}, "dtype: float32 and bfloat16"),
        ({"data": DataInfo("b.csv", "x", 200)}, "data: pairs.csv (91d3aa02c4e87f15) and b.csv (x)"),
        ({"metrics": {"kl": MetricInfo(False, 0.0)}}, "metrics: fidelity and kl"),
        (
            {"metrics": {"fidelity": MetricInfo(True, 1.0, "paired", 0.9)}},
            "confidence of fidelity: 0.95 and 0.9",
        ),
        ({"metrics": {"fidelity": MetricInfo(True, 0.9, "paired")}}, "fidelity of the full model: 1 and 0.9"),
    ],
)
def test_other_measurements_do_not_merge(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ResultError) as caught:
        sample.scan().merge(ScanResult(sample.header(**changes)))
    assert str(caught.value) == f"these two scans cannot be merged; they differ in {said}."


def test_device_versions_and_times_may_differ() -> None:
    sites = {"encoder.layer.0": SiteInfo("BertLayer", "block", sample.LAYER, 0.5)}
    other = ScanResult(sample.header(device="cuda", versions={"torch": "2.14.0"}, sites=sites, notes=("on a GPU",)))
    merged = sample.scan().merge(other)
    assert merged.rows == sample.scan().rows
    assert merged.header.notes == ("on a GPU",)
    assert merged.header.sites == sample.header().sites


def test_contradicting_rows_do_not_merge() -> None:
    other = ScanResult(sample.header(), [sample.row(2, edited=0.5, effect=-0.5)])
    with pytest.raises(ResultError) as caught:
        sample.scan().merge(other)
    assert str(caught.value) == (
        'these two scans contradict each other: without "encoder.layer.2" the fidelity is 0.9822 in one and 0.5 in the '
        "other. Scan that layer again."
    )


def test_numbers_of_numpy_become_plain_ones() -> None:
    row = Row(("a",), "fidelity", np.float64(1), np.float32(0.5), np.float64(-0.5), np.float64(-1), np.float64(0))
    assert all(type(value) is float for value in (row.full, row.edited, row.effect, row.low, row.high))
    assert type(MetricInfo(True, np.float64(0.5)).full) is float


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"edited": float("nan")}, 'the fidelity without encoder.layer.0: "edited" is nan, which is no number'),
        ({"full": float("inf")}, '"full" is inf'),
        ({"low": None}, 'an interval has both "low" and "high", or neither'),
        ({"low": 1.0, "high": 0.5}, '"low" 1.0 is above "high" 0.5'),
        ({"edited": "0.5"}, '"edited" must be a number, not a text'),
        ({"effect": None}, '"effect" must be a number, not null'),
    ],
)
def test_no_row_holds_what_is_no_number(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ResultError, match=said):
        sample.row(0, **changes)


def test_to_frame() -> None:
    frame = sample.mixed_scan().to_frame()
    assert list(frame["place"])[:2] == ["model.layers.0", "model.layers.1"]
    pair = frame[frame["place"] == "model.layers.1 + model.layers.2"].iloc[0]
    assert pair["parameters"] == 12_400 * 5
    assert pair["kind"] == "LlamaDecoderLayer"
    assert pair["cost"] == pair["effect"]
    assert pair["ties"] == ""
    assert frame[frame["metric"] == "accuracy"].iloc[0]["cost"] == 0.0025


def test_costs_in_the_frame() -> None:
    """Of several layers sums, of the memory the most; an interval of one layer alone; nothing where not known."""
    costs = {"flops": 10, "seconds": 0.2, "seconds_low": 0.1, "seconds_high": 0.3, "memory": 7}
    sites = {"a": SiteInfo("A", **costs), "b": SiteInfo("A", **(costs | {"memory": 9})), "c": SiteInfo("A", flops=1)}
    rows = [Row(places, "fidelity", 1.0, 0.5, -0.5) for places in (("a",), ("a", "b"), ("a", "c"), ("a", "d"))]
    alone, both, open_, unknown = ScanResult(sample.header(sites=sites), rows).to_frame().to_dict("records")
    assert {key: alone[key] for key in ("flops", "layer_seconds_low", "layer_seconds_high", "memory")} == {
        "flops": 10,
        "layer_seconds_low": 0.1,
        "layer_seconds_high": 0.3,
        "memory": 7,
    }
    assert (both["flops"], both["layer_seconds"], both["memory"]) == (20, 0.4, 9)
    assert both["layer_seconds_low"] != both["layer_seconds_low"]  # nan: not known
    assert open_["flops"] == 11
    assert open_["memory"] != open_["memory"]
    assert unknown["parameters"] != unknown["parameters"]


def test_to_frame_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(Exception, match=r'^to_frame\(\) needs pandas. Install it: pip install "identikit\[hf\]"$'):
        sample.scan().to_frame()


def test_front_round_trip(tmp_path: Path) -> None:
    front = sample.front()
    front.write(tmp_path / "front.json")
    assert Front.read(tmp_path / "front.json") == front
    assert read_result(tmp_path / "front.json") == front
    assert front.full.places == ()
    assert front.choice.dropped == 2
    assert front.metric == "fidelity"


def test_a_front_of_version_1_is_read() -> None:
    """It says of no examples that they were held out, of no latency how sure it is, of no memory."""
    unknown: dict[str, Any] = {"latency_low": None, "latency_high": None, "memory": None}
    front = sample.front(points=tuple(replace(point, **unknown) for point in sample.front().points))
    value = front.to_json() | {"version": 1}
    del value["chosen_on"]
    for point in value["points"]:
        for key in ("selection", *unknown):
            del point[key]
    assert Front.from_json(value) == front
    assert "± 0.5 ms" not in repr(front)
    assert "memory" not in repr(front)


def test_a_front_with_held_out_examples(tmp_path: Path) -> None:
    front = sample.held_front()
    front.write(tmp_path / "front.json")
    assert Front.read(tmp_path / "front.json") == front
    assert front.choice.scores["fidelity"].edited < front.choice.selection["fidelity"].edited


def test_a_front_holds_together() -> None:
    with pytest.raises(ResultError, match=r'^"chosen" is 4, but there are 4 points'):
        sample.front(chosen=4)
    with pytest.raises(ResultError, match=r"^a front needs at least one point: the full model"):
        sample.front(points=())
    with pytest.raises(ResultError, match=r"^point 0 must have a score for each of the header's metrics: kl"):
        sample.front(header=sample.header(metrics={"kl": MetricInfo(False, 0.1)}))


def test_read_result_of_neither(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultError, match=r"a.csv is neither a scan nor a front"):
        read_result(tmp_path / "a.csv")
    with pytest.raises(ResultError, match=r"is a folder or a device. Name the result file in it"):
        read_result(tmp_path)
    with pytest.raises(ResultError, match=r"cannot read the result file .*: No such file"):
        read_result(tmp_path / "none")
