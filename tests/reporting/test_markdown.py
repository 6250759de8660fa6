"""Markdown and the notebook's tables: golden files, and nothing in a name is read as markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import sample_results as sample
from identikit.reporting.markdown import escape
from identikit.results import Row, ScanResult


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("scan.md", sample.scan().to_markdown())
    golden("mixed.md", sample.mixed_scan().to_markdown())
    golden("front.md", sample.front().to_markdown())
    golden("held.md", sample.held_front().to_markdown())


def test_every_row_has_as_many_cells_as_its_head() -> None:
    for text in (sample.scan().to_markdown(), sample.mixed_scan().to_markdown(), sample.front().to_markdown()):
        for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_hostile_names() -> None:
    assert escape("a|b<script>*_`[x](y)") == r"a\|b\<script\>\*\_\`\[x\](y)"
    scan = ScanResult(sample.header(name="<img src=x>", sites={}), [Row(("a.<b>|",), "fidelity", 1.0, 0.5, -0.5)])
    assert "<" not in scan.to_markdown().replace(r"\<", "")
    shown = scan._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x&gt;" in shown
    assert "a.&lt;b&gt;|" in shown


def test_notebook() -> None:
    shown = html.unescape(re.sub(r"<[^>]+>", " ", sample.scan()._repr_html_()))
    assert "cost of its absence" in shown
    assert "+0.0178 ± 0.0015" in shown
    assert sample.scan()._repr_html_().count("<tr>") == 7
    assert "encoder.layer.[1,2]" in sample.front()._repr_html_()
