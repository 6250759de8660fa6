"""The table of an audit: each finding with its level, its layer and its fix; equal ones of a stack stand together."""

from __future__ import annotations

import re
from collections import Counter

from rich.console import Group
from rich.table import Table
from rich.text import Text

from identikit.reporting import numbers
from identikit.reporting.text import Fitted, as_text
from identikit.results.finding import Finding, Findings

_REPR_WIDTH = 100
_NUMBER = re.compile(r"(?<![^.\"])\d+(?![^.\"])")


def findings_table(findings: Findings) -> Fitted:
    """What an audit found; where it found nothing, what it looked for."""
    together = Counter(_without_numbers(finding) for finding in findings)
    first = {_without_numbers(finding): finding for finding in reversed(findings)}
    lines = [(finding if together[key] == 1 else key, together[key]) for key, finding in reversed(first.items())]

    def build(width: int) -> Group:
        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        drawn.add_column("level", no_wrap=True)
        drawn.add_column("layer", no_wrap=True)
        drawn.add_column("finding", overflow="fold")
        for finding, count in lines:
            path = numbers.clean(finding.module) or "the model"
            where = [Text(numbers.shorten(path, max(12, width // 3)))]
            where += [Text(f"{count} times", style="dim")] if count > 1 else []
            said = [Text(numbers.clean(finding.message)), Text(numbers.clean(f"→ {finding.fix}"), style="dim")]
            level = Text(finding.level, style="bold red" if finding.level == "mistake" else "yellow")
            drawn.add_row(level, Group(*where), Group(*said))
        return Group(drawn, Text(), *_summary(findings)) if findings else Group(*_summary(findings))

    return Fitted(build)


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
