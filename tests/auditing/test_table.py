"""How findings are shown: in 80 and in 160 columns, equal ones of a stack together, and where there are none."""

from __future__ import annotations

import torch
from torch import nn

from auditing import naive
from identikit import audit
from identikit.reporting.findings import findings_table
from identikit.reporting.text import as_text
from identikit.results.finding import Finding, Findings

NOTES = [
    Finding("bias before norm", f"layers.{number}.conv", "note", f'"layers.{number}.conv" has a bias.', "Drop it.")
    for number in (0, 1, 10)
]
MISTAKE = Finding("broadcast", "", "mistake", "Net adds shape (4, 1) to (4, 50): " + "it broadcasts, " * 6, "Do not.")

NARROW = """\
level    layer          finding
mistake  the model      Net adds shape (4, 1) to (4, 50): it broadcasts, it
                        broadcasts, it broadcasts, it broadcasts, it broadcasts,
                        it broadcasts,
                        → Do not.
note     layers.0.conv  "layers.0.conv" has a bias.
                        → Drop it.
                        and 2 more: layers.1.conv, layers.10.conv

Net: 1 mistake, 3 notes"""

NOTHING = """\
Sequential: no mistake, no note
Looked for parameters that get no gradient, in-place operations that backward stumbles over,
in-place operations on a skip, in-place edits of the caller's tensors, additions that broadcast,
outputs that alias inputs or each other, dead branches, layers never called, biases before a batch
norm."""


def test_narrow_and_wide() -> None:
    found = Findings([*NOTES, MISTAKE], "Net")
    assert as_text(findings_table(found), 80) == NARROW
    wide = as_text(findings_table(found), 160)
    assert max(map(len, wide.splitlines())) <= 110
    assert repr(found) == as_text(findings_table(found), 100)


def test_one_of_a_stack_keeps_its_number() -> None:
    assert '"layers.10.conv" has a bias.' in repr(Findings(NOTES[2:], "Net"))


def test_a_long_stack_names_its_first_layers() -> None:
    more = [Finding("k", f"{number}.0", "note", f'"{number}.0" and "{number}.1".', "Fix.") for number in range(12)]
    shown = as_text(findings_table(Findings(more, "Net")), 80)
    assert '"0.0" and "0.1".' in shown
    assert "and 11 more: 1.0, 2.0, 3.0, …" in shown


def test_a_long_place_loses_its_front() -> None:
    place = "encoder.stages.3.blocks.17.attention.output.projection"
    shown = as_text(findings_table(Findings([Finding("k", place, "note", "It is.", "Fix.")], "Net")), 80)
    assert "…tention.output.projection  It is." in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_nothing_found_says_what_was_looked_for() -> None:
    assert repr(audit(nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4))) == NOTHING


def test_a_list_of_findings_prints_as_a_table() -> None:
    assert repr(audit(naive.Crossed(), torch.randn(4, 50))).startswith(
        "level    layer      finding\nmistake  the model"
    )
