"""docs/examples.md shows what the examples printed on real models and data, and each of them is short."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PRINTED: dict[str, dict[str, Any]] = json.loads((ROOT / "benchmarks" / "results" / "examples.json").read_text())
WORKED = sorted(file.stem for file in (ROOT / "examples").glob("*.py"))


def test_every_example_is_shown() -> None:
    assert sorted(PRINTED) == WORKED
    assert len(WORKED) == 5


@pytest.mark.parametrize("name", WORKED)
def test_what_is_shown_was_printed(name: str) -> None:
    """Whole, by the command that stands above it: a figure that somebody changed on the page is found."""
    lines = [f"$ {PRINTED[name]['command']}", *PRINTED[name]["printed"]]
    shown = "\n".join(["```console", *(line.rstrip() for line in lines), "```"])
    assert shown in (ROOT / "docs" / "examples.md").read_text()


@pytest.mark.parametrize("name", WORKED)
def test_a_reader_sees_it_whole(name: str) -> None:
    lines = (ROOT / "examples" / f"{name}.py").read_text().splitlines()
    assert len(lines) < 150
    assert f"    python examples/{name}.py" in "\n".join(lines[:5])


def test_what_the_median_block_costs() -> None:
    text = " ".join((ROOT / "docs" / "examples.md").read_text().split())
    costs = {}
    for name in ("digits, plain", "digits, residual", "CIFAR-10, ResNet-32"):
        pattern = rf"{name}: \d+ blocks, error ([\d.]+)%.*\n  one deleted: median ([\d.]+)%"
        (found,) = re.findall(pattern, "\n".join(PRINTED["lesion_study"]["printed"]))
        costs[name] = round(float(found[1]) - float(found[0]), 1)
    plain, residual, deep = costs.values()
    assert f"the median one costs {plain} points" in text
    assert f"it costs {residual} points on the same digits, and {deep} points in ResNet-32" in text


def test_a_third_faster() -> None:
    said = "\n".join(PRINTED["search_embeddings"]["printed"])
    (passes,) = re.findall(r"a pass takes (\d+) ms in place of (\d+)", said)
    assert int(passes[1]) >= 1.33 * int(passes[0])  # a third faster, as the page has it
    assert "`--speedup 1.33`" in (ROOT / "docs" / "examples.md").read_text()


def test_healed_better_than_full() -> None:
    said = "\n".join(PRINTED["llama_pruned_and_healed"]["printed"])
    names = ("full", "layers dropped", "folded", "and healed")
    full, dropped, folded, healed = (
        float(re.findall(rf"^   {name} +[\d,]+ +([\d.]+)$", said, re.MULTILINE)[0]) for name in names
    )
    assert healed < full < folded < dropped
    page = (ROOT / "docs" / "examples.md").read_text()
    assert "the healed model is even a little better here than the full one" in page
