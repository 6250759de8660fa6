"""Figures: what is drawn is what was measured, and matplotlib's global state stays untouched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sample_results as sample
from identikit.reporting.plots import plot_costs, plot_front, svg
from identikit.results import Row, ScanResult


def test_bars_are_the_costs() -> None:
    scan = sample.scan()
    (axes,) = scan.plot().axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([scan.cost(row).value for row in scan])
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.place for row in scan]
    bars = [line.get_xdata() for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert len(bars) == 6
    for row, bounds in zip(scan, bars, strict=True):
        assert list(bounds) == pytest.approx([scan.cost(row).low, scan.cost(row).high])


def test_one_giant_does_not_hide_the_others() -> None:
    (axes,) = plot_costs(sample.mixed_scan()).axes
    low, high = axes.get_xlim()
    assert high < 1
    assert low < -0.25
    assert {"+1,200 →", "+2.519 →"} <= {text.get_text() for text in axes.texts}


def test_hundreds_of_layers_show_the_cheapest() -> None:
    rows = [Row((f"l.{n}",), "fidelity", 1.0, 1.0 - n / 1000, -n / 1000) for n in range(400)]
    (axes,) = plot_costs(ScanResult(sample.header(sites={}), rows)).axes
    assert len(axes.patches) == 160
    assert axes.get_yticklabels()[-1].get_text() == "l.159"


def test_the_curve_is_the_front() -> None:
    front = sample.front()
    (axes,) = front.plot().axes
    curve = axes.lines[0]
    assert list(curve.get_xdata()) == [0, 1, 2, 3]
    assert list(curve.get_ydata()) == pytest.approx([point.scores["fidelity"].edited for point in front.points])
    assert {text.get_text() for text in axes.texts} == {"chosen"}


def test_svg_is_small_text_in_the_colours_of_the_page() -> None:
    drawn = svg(plot_costs(sample.scan()), "a")
    assert drawn.startswith("<svg")
    assert drawn == svg(plot_costs(sample.scan()), "a")
    assert len(drawn) < 20_000
    assert "encoder.layer.3" in drawn
    assert {"var(--ink)", "var(--bar)", "var(--best)"} <= set(re.findall(r"var\(--\w+\)", drawn))
    assert svg(plot_front(sample.front()), "b").count("chosen") >= 1


def test_a_figure_can_be_saved(tmp_path: Path) -> None:
    sample.scan().plot().savefig(tmp_path / "costs.png")
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")


def test_pyplot_is_never_loaded() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import matplotlib, sample_results as sample\n"
        "from identikit.reporting.html import html\n"
        "before = dict(matplotlib.rcParams)\n"
        "html((sample.scan(), sample.front()))\n"
        "print('matplotlib.pyplot' in sys.modules, before == dict(matplotlib.rcParams))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False True\n"
