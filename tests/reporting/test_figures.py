"""Drawn figures: the Pareto front is that of the rows, ticks are round, a giant hides nobody, words stand beside."""

from __future__ import annotations

import re

import pytest

import sample_results as sample
from identikit.plan import Plan
from identikit.reporting import drawing, sections
from identikit.reporting.html import html
from identikit.reporting.pareto import pareto
from identikit.results import MetricInfo, Row, ScanResult, SiteInfo

SITES = {
    "a": SiteInfo("L", "block", 10, 0.1),
    "b": SiteInfo("L", "block", 10, 0.2),
    "c": SiteInfo("L", "block", 30, 0.6),
}
COSTS = {("a",): 0.1, ("b",): 0.2, ("c",): 0.15, ("a", "b"): 0.4, ("a", "c"): 0.3, ("a", "b", "c"): 9.0}


def scan(**changes: object) -> ScanResult:
    rows = [Row(places, "fidelity", 10.0, 10.0 - cost, -cost) for places, cost in COSTS.items()]
    return ScanResult(sample.header(**{"sites": SITES, "total_parameters": 100} | changes), rows)


def test_the_pareto_front() -> None:
    found = pareto(scan(), {tuple(Plan.of(["c"])): "2"})
    assert found is not None
    shown = [(line.place, takes, at) for line, takes, at in found.lines]
    assert shown == [("a", "10.0 %", ""), ("c", "30.0 %", "2"), ("a c", "40.0 %", ""), ("a b c", "50.0 %", "")]
    assert found.figure.svg.count("<circle") == len(COSTS) + 1  # and the full model
    assert found.figure.svg.count('<line class="best"') == 4


def test_without_sizes_it_counts_layers() -> None:
    found = pareto(scan(sites={}, total_parameters=0), {})
    assert found is not None
    assert [(line.place, takes) for line, takes, _ in found.lines] == [("a", "1"), ("a c", "2"), ("a b c", "3")]
    assert found.takes == "layers out"


def test_no_front_of_single_layers_or_of_cheap_scores() -> None:
    assert pareto(sample.scan(), {}) is None
    cheap = {"influence": MetricInfo(False, 0.0)}
    assert pareto(ScanResult(sample.header(metrics=cheap), [Row(("a", "b"), "influence", 0.0, 0.1, 0.1)]), {}) is None
    assert "The Pareto front" in html(scan())
    assert "The Pareto front" not in html(sample.scan())


def test_cost_beside_what_a_layer_takes() -> None:
    (section,) = sections.sections(ScanResult(scan().header, scan().rows[:3]), {}, combinations=False)
    assert section.figure is not None
    assert re.findall(r"<title>(\w): ", section.figure.svg) == ["a", "b", "c"]
    assert "share of the time of a pass" in section.figure.svg
    assert [bool(line.part) for line in section.lines] == [True] * 3
    (alike,) = sections.sections(sample.scan(), {}, combinations=False)
    assert alike.figure is None  # six layers of one size are no picture
    assert [line.part for line in alike.lines] == [""] * 6


def test_a_giant_is_cut_and_the_others_are_told_apart() -> None:
    costs, *_ = sections.sections(sample.mixed_scan(), {}, combinations=False)
    giant, *others = costs.lines
    assert giant.bar.count('class="cut"') == 2
    assert [line.bar.count('class="cut"') for line in others] == [0, 0, 0]
    assert all('class="bound"' in line.bar for line in others)


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 3.3, True, [0.0, 1.0, 2.0, 3.0]),
        (0.912, 0.953, False, [0.92, 0.93, 0.94, 0.95]),
        (0.0, 0.9, True, [0.0]),
        (1.0, 1.0, False, []),
        (0.0, float("inf"), False, []),
    ],
)
def test_ticks_are_round(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert drawing.ticks(low, high, most=6, whole=whole) == pytest.approx(expected)


def test_equal_values_can_be_drawn() -> None:
    frame = drawing.Frame.around([drawing.Dot(1.0, 0.0), drawing.Dot(1.0, 0.0)], "x", "y")
    assert "nan" not in frame.svg(frame.dots([drawing.Dot(1.0, 0.0)]))
    assert drawing.bar(0.0, None, None, (0.0, 1.0), "cost").count("<rect") == 1


def test_the_agreement_of_two_rankings_is_drawn() -> None:
    metrics = {"influence": MetricInfo(False, 0.0), "fidelity": MetricInfo(True, 1.0)}
    rows = [Row((place,), "fidelity", 1.0, 1.0 - cost, -cost) for place, cost in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    rows += [Row((place,), "influence", 0.0, cost, cost) for place, cost in (("a", 1.0), ("b", 3.0), ("c", 2.0))]
    (figure,) = sections.agreement_figures(ScanResult(sample.header(metrics=metrics), rows))
    assert figure.below.startswith("influence agrees with fidelity: Spearman 0.50")
    assert re.findall(r"<title>(\w)</title>", figure.svg) == ["a", "b", "c"]
    page = html(ScanResult(sample.header(metrics=metrics), rows))
    assert "Do the cheap and the exact ranking agree?" in page
    assert "How much each layer does: influence" in page
