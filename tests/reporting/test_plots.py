"""Axes: what is drawn is what was measured, on the caller's axes or new ones, and the page needs no matplotlib."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import sample_results as sample
from identikit.pruning.prune import Pruned
from identikit.reporting.plots import plot_costs
from identikit.results import Row, ScanResult


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_bars_are_the_costs() -> None:
    scan = sample.scan()
    axes = scan.plot()
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([scan.cost(row).value for row in scan])
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.place for row in scan]
    bars = [line.get_xdata() for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert len(bars) == 6
    for row, bounds in zip(scan, bars, strict=True):
        assert list(bounds) == pytest.approx([scan.cost(row).low, scan.cost(row).high])


def test_one_giant_does_not_hide_the_others() -> None:
    axes = plot_costs(sample.mixed_scan())
    low, high = axes.get_xlim()
    assert high < 1
    assert low < -0.25
    assert {"+1,200 →", "+2.519 →"} <= {text.get_text() for text in axes.texts}


def test_hundreds_of_layers_show_the_cheapest() -> None:
    rows = [Row((f"l.{n}",), "fidelity", 1.0, 1.0 - n / 1000, -n / 1000) for n in range(400)]
    axes = plot_costs(ScanResult(sample.header(sites={}), rows))
    assert len(axes.patches) == 160
    assert axes.get_yticklabels()[-1].get_text() == "l.159"


def test_the_curve_is_the_front() -> None:
    front = sample.front()
    axes = front.plot()
    curve = axes.lines[0]
    assert list(curve.get_xdata()) == [0, 1, 2, 3]
    assert list(curve.get_ydata()) == pytest.approx([point.scores["fidelity"].edited for point in front.points])
    assert {text.get_text() for text in axes.texts} == {"chosen"}


def pruned() -> Pruned:
    return Pruned(model=SimpleNamespace(), plan=sample.front().plan(), front=sample.front(), scan=sample.scan())  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [sample.scan, sample.front, pruned], ids=["scan", "front", "pruned"])
def test_axes_are_returned_new_ones_or_the_caller_s(made: object, tmp_path: Path) -> None:
    result = made()  # type: ignore[operator]
    axes = result.plot()
    assert isinstance(axes, Axes)
    assert axes.figure.number in plt.get_fignums()  # so a notebook and plt.show() show it
    left, right = Figure().subplots(1, 2)
    assert result.plot(ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    assert len(plt.get_fignums()) == 1
    axes.figure.savefig(tmp_path / "a.png")
    right.figure.savefig(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_caller_s_style_is_kept() -> None:
    before = dict(plt.rcParams)
    with plt.style.context("dark_background"):
        axes = sample.scan().plot()
        assert axes.xaxis.label.get_color() == "white"
    assert dict(plt.rcParams) == before


def test_a_page_needs_no_matplotlib() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "import sample_results as sample\n"
        "from identikit.reporting.html import html\n"
        "html((sample.scan(), sample.front()))\n"
        "print('matplotlib' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
