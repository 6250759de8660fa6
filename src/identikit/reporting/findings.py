"""The table of an audit: each finding with its level, its layer and its fix; equal ones of a stack stand together."""

from __future__ import annotations

import re
from collections import defaultdict

from rich.console import Group
from rich.table import Table
from rich.text import Text

from identikit.reporting import numbers, styles
from identikit.reporting.text import Fitted, as_text
from identikit.results.finding import Finding, Findings

_REPR_WIDTH = 100
_SHOWN = 3  # layers of a stack that are named beside the first
_NUMBER = re.compile(r"(?<![^.\"])\d+(?![^.\"])")


def findings_table(findings: Findings) -> Fitted:
    """What an audit found; where it found nothing, what it looked for."""
    together: dict[Finding, list[Finding]] = defaultdict(list)
    for finding in findings:
        together[_without_numbers(finding)].append(finding)

    def build(width: int) -> Group:
        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        drawn.add_column("level", no_wrap=True)
        drawn.add_column("layer", no_wrap=True)
        drawn.add_column("finding", overflow="fold")
        for first, *others in together.values():
            where = numbers.shorten(numbers.clean(first.module) or "the model", max(12, width // 3))
            level = Text(first.level, style=styles.WRONG if first.level == "mistake" else styles.BEWARE)
            drawn.add_row(level, Text(where), Group(*_said(first, others)))
        return Group(drawn, Text(), *_summary(findings)) if findings else Group(*_summary(findings))

    return Fitted(build)


def _said(first: Finding, others: list[Finding]) -> list[Text]:
    """The first finding of a stack in full, and the layers where it is the same."""
    said = [Text(numbers.clean(first.message)), Text(numbers.clean(f"→ {first.fix}"), style="dim")]
    if others:
        names = [numbers.clean(each.module) or "the model" for each in others[:_SHOWN]]
        more = ", …" if len(others) > _SHOWN else ""
        said.append(Text(f"and {len(others)} more: {', '.join(names)}{more}", style="dim"))
    return said


def _summary(findings: Findings) -> list[Text]:
    mistakes = len(findings.mistakes)
    counted = ((mistakes, "mistake"), (len(findings) - mistakes, "note"))
    counts = [numbers.plural(count, name) if count else f"no {name}" for count, name in counted]
    said = [Text(f"{numbers.clean(findings.model) or 'the model'}: {', '.join(counts)}", style="bold")]
    if findings.looked_for and not findings:
        said.append(Text(f"Looked for {', '.join(findings.looked_for)}.", style="dim"))
    return said


def _without_numbers(finding: Finding) -> Finding:
    """The finding with `*` for the numbers of its layers: equal for the layers of a stack that share it."""
    module, message, fix = (_NUMBER.sub("*", text) for text in (finding.module, finding.message, finding.fix))
    return Finding(finding.kind, module, finding.level, message, fix)


def findings_repr(findings: Findings) -> str:
    """The table as text without colour."""
    return as_text(findings_table(findings), _REPR_WIDTH)
