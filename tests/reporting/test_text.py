"""The terminal's tables: golden files of 80 columns without colour, and what must hold at every width."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

import sample_results as sample
from identikit.reporting.text import Fitted, as_text, front_table, scan_table, sites_table, summary_table
from identikit.results import MetricInfo, Row, ScanResult, SiteInfo

SITES = [
    SimpleNamespace(path="conv1", kind="Conv2d", role="block", parameters=9_408, verdict="ok"),
    SimpleNamespace(
        path="layer2.0",
        kind="BasicBlock",
        role="block",
        parameters=230_144,
        verdict="makes 1x128x28x28 from 1x64x56x56: its output has another shape than its input",
    ),
    SimpleNamespace(
        path="layer2.0.conv1", kind="Conv2d", role="unproved", parameters=73_728, verdict="say which: as_="
    ),
]
TABLES = {
    "scan": lambda: scan_table(sample.scan()),
    "mixed": lambda: scan_table(sample.mixed_scan()),
    "front": lambda: front_table(sample.front()),
    "summary": lambda: summary_table(sample.front()),
    "held": lambda: front_table(sample.held_front()),
    "held_summary": lambda: summary_table(sample.held_front()),
    "sites": lambda: sites_table(SITES),
}


@pytest.mark.parametrize("name", TABLES)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.txt", as_text(TABLES[name](), 80) + "\n")


def test_golden_of_a_wide_terminal(golden: Callable[[str, str], None]) -> None:
    golden("held_wide.txt", as_text(front_table(sample.held_front()), 100) + "\n")


@pytest.mark.parametrize(
    ("width", "shown"), [(100, "21.1 ± 0.5 ms   103 MB"), (92, "21.1 ms   103 MB"), (80, "21.1 ms\n")]
)
def test_a_curve_s_memory_and_interval_of_the_latency_as_width_allows(width: int, shown: str) -> None:
    text = as_text(front_table(sample.front()), width) + "\n"
    assert f"22.7 M  {shown}" in text
    assert ("(latency: the median's at 95 %)" in " ".join(text.split())) == (width == 100)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    text = as_text(TABLES[name](), width)
    assert max(map(len, text.splitlines())) <= min(width, 110)
    assert "…" not in text or width == 60


@pytest.mark.parametrize("name", TABLES)
def test_piped_there_is_no_colour(name: str) -> None:
    piped = Console(file=io.StringIO(), width=80)
    piped.print(TABLES[name]())
    assert isinstance(piped.file, io.StringIO)
    assert "\x1b" not in piped.file.getvalue()
    coloured = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")
    coloured.print(TABLES[name]())
    assert isinstance(coloured.file, io.StringIO)
    assert "\x1b" in coloured.file.getvalue()


@pytest.mark.parametrize("name", TABLES)
def test_an_ascii_terminal_gets_ascii(name: str) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        Console(file=file, width=80).print(TABLES[name]())
        file.flush()
        lines = raw.getvalue().decode("ascii").splitlines()
    assert max(map(len, lines)) <= 80
    assert "?" not in "".join(lines)


def test_the_table_adds_up() -> None:
    """Read back from the text: costs, shares and parameters are those of the rows."""
    scan = sample.scan()
    text = as_text(scan_table(scan), 110)
    effect, weight = r"(\S+) ± (\S+)[ ◂≈]+\S+", r"(\S+) M\s+(\S+) %\s+(\S+) ms\s+(\S+) %\s+(\S+) G\s+(\S+) MB"
    found = re.findall(rf"^(\S+)\s+BertLayer\s+{effect}\s+{weight}$", text, flags=re.M)
    assert len(found) == len(scan)
    for row, (place, cost, error, parameters, part, seconds, time, flops, memory) in zip(scan, found, strict=True):
        site = scan.header.sites[place]
        assert place == row.place
        assert float(cost) == pytest.approx(scan.cost(row).value, abs=5e-5)
        assert float(error) == pytest.approx((row.high - row.low) / 2, abs=5e-5)
        assert float(parameters) == pytest.approx(sample.LAYER / 1e6, abs=5e-3)
        assert float(part) == pytest.approx(100 * sample.LAYER / sample.TOTAL, abs=0.05)
        assert float(seconds) == pytest.approx(1e3 * site.seconds, abs=5e-3)
        assert float(time) == pytest.approx(100 * site.share, abs=0.05)
        assert float(flops) == pytest.approx(site.flops / 1e9, abs=5e-3)
        assert float(memory) == pytest.approx(site.memory / 1e6, abs=5e-3)


@pytest.mark.parametrize(
    ("width", "head"),
    [
        (60, "layer cost of its absence parameters time"),
        (80, "layer cost of its absence parameters time"),
        (100, "layer kind cost of its absence parameters time FLOPs"),
        (110, "layer kind cost of its absence parameters time FLOPs memory"),
    ],
)
def test_costs_stand_beside_the_effect_as_width_allows(width: int, head: str) -> None:
    lines = as_text(scan_table(sample.scan()), width).splitlines()
    assert " ".join(next(line for line in lines if line.startswith("layer")).split()) == head
    assert ("2.12 ms" in "".join(lines)) == (width >= 80)
    assert ("FLOPs and memory (activations): of that pass" in lines) == (width == 110)


def test_never_seventeen_digits() -> None:
    for name, table in TABLES.items():
        assert not re.search(r"\d\.\d{7}|\d{7}", as_text(table(), 100)), name


def test_lines_come_in_order_of_depth() -> None:
    sites = {path: SiteInfo("T5Block") for path in ("encoder.block.0", "encoder.block.1", "decoder.block.0")}
    rows = [
        Row((path,), "fidelity", 1.0, 0.5, -0.5) for path in ("decoder.block.0", "encoder.block.1", "encoder.block.0")
    ]
    text = as_text(scan_table(ScanResult(sample.header(sites=sites), rows)), 80)
    assert re.findall(r"^\S+coder\S+", text, flags=re.M) == list(sites)


def test_one_metric_alone() -> None:
    text = as_text(scan_table(sample.mixed_scan(), "accuracy"), 80)
    assert "accuracy 0.8610 for the full model" in text
    assert "perplexity" not in text


def test_hostile_names_stay_text() -> None:
    name = "[red]a[/red]\x1b[31m\n\u202egpj"
    scan = ScanResult(
        sample.header(name=name, metrics={"[red]m[/red]": MetricInfo(True, 1.0)}, sites={}, notes=(name,)),
        [Row(("a.[link=x]b",), "[red]m[/red]", 1.0, 0.5, -0.5)],
    )
    text = as_text(scan_table(scan), 100)
    assert "[red]a[/red]\N{REPLACEMENT CHARACTER}[31m \N{REPLACEMENT CHARACTER}gpj" in text
    assert "a.[link=x]b" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_long_name_keeps_its_end() -> None:
    path = "model.language_model.vision_tower.encoder.layers.17.self_attention_block"
    scan = ScanResult(sample.header(sites={}), [Row((path,), "fidelity", 1.0, 0.5, -0.5)])
    text = as_text(scan_table(scan), 80)
    assert re.search(r"^….*layers\.17\.self_attention_block ", text, flags=re.M)


def test_nothing_measured() -> None:
    assert "no layer measured yet" in as_text(scan_table(ScanResult(sample.header())), 80)
    assert as_text(sites_table([]), 80) == "no sites"


def test_many_layers_dropped_fold_at_commas() -> None:
    point = sample.front().points[1]
    wide = type(point)(tuple(f"model.layers.{n}" for n in range(0, 80, 2)), point.scores, 1_000)
    text = as_text(front_table(sample.front(points=(sample.front().points[0], wide), chosen=1)), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "model.layers.[0,2,4" in text
    assert all(number in re.findall(r"\d+", text) for number in map(str, range(0, 80, 2)))


def test_repr() -> None:
    assert repr(sample.scan()) == as_text(scan_table(sample.scan()), 100)
    assert repr(sample.front()).startswith("goal: keep at least 95 % of the full fidelity\ndropped")
    assert isinstance(TABLES["scan"](), Fitted)
