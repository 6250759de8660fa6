"""`report`: one HTML page with everything in it, for a browser without a network: tables, figures, how to repeat it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identikit.errors import ResultError, needs_extra
from identikit.files import write_text
from identikit.reporting import curve, numbers, page, plots, repeat
from identikit.reporting.agreements import agreements
from identikit.results import Front, Header, ScanResult

_MOST_COMBINATIONS = 100


@dataclass(frozen=True)
class Figure:
    """A drawing and its words for those who do not see it."""

    svg: str
    said: str


def report(result: Any, to: str | Path = "report.html") -> Path:
    """Write one self-contained HTML page on `result` and return its path.

    Args:
        result: a ScanResult, a Front, both in a tuple, or what `prune` returns (anything with `.scan` and `.front`).
        to: the file to write; it holds the old page until the new one is whole.

    Raises:
        ResultError: `result` is none of these. MissingExtraError: matplotlib or jinja2 is absent.
        SaveError: the file cannot be written.
    """
    path = Path(to)
    write_text(path, html(result))
    return path


def html(result: Any) -> str:
    """The page that `report` writes, as text."""
    scan, front = _parts(result)
    header = front.header if front is not None else scan.header if scan is not None else None
    if header is None:
        raise ResultError("this prune holds neither a scan nor a front, so there is nothing to report.")
    try:
        import jinja2
    except ImportError as cause:
        raise needs_extra("jinja2", "report", "a report") from cause
    loader = jinja2.PackageLoader("identikit.reporting")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        title=f"{_short(header)}: what its layers are worth",
        model=page.model_line(header),
        facts=_facts(header, front),
        agreements=[] if scan is None else agreements(scan),
        notes=[numbers.clean(note) for note in header.notes],
        front=_front(front) if front is not None else None,
        scans=_scans(scan, combinations=front is None) if scan is not None else [],
        several_metrics=scan is not None and len(scan.header.metrics) > 1,
        repeats=_repeats(scan, front),
    )


def _short(header: Header) -> str:
    """The last part of a model's path."""
    return numbers.clean(header.name.rstrip("/").rpartition("/")[2] or header.model)


def _parts(result: Any) -> tuple[ScanResult | None, Front | None]:
    parts = result if isinstance(result, tuple) else (result,)
    if len(parts) == 1 and not isinstance(result, (ScanResult, Front)) and hasattr(result, "front"):
        parts = (getattr(result, "scan", None), result.front)
    scan = [part for part in parts if isinstance(part, ScanResult)]
    front = [part for part in parts if isinstance(part, Front)]
    if len(scan) > 1 or len(front) > 1 or len(scan) + len(front) < sum(part is not None for part in parts):
        raise ResultError(
            f"a report is made of a ScanResult, a Front, or one of each; found {_kinds(parts)}. "
            'Read one from its file: ik.ScanResult.read("scan.jsonl").'
        )
    return next(iter(scan), None), next(iter(front), None)


def _kinds(parts: tuple[Any, ...]) -> str:
    return ", ".join(type(part).__name__ for part in parts) or "nothing"


def _facts(header: Header, front: Front | None) -> list[tuple[str, str]]:
    """Label and value, for the head of the page; what is not known is left out."""
    examples = numbers.plural(header.data.examples, "example")
    facts = [
        ("model", header.model),
        ("from", header.name),
        ("data", f"{header.data.name}, {examples}" if header.data.name else examples),
        ("held out", curve.chosen_by(front) if front is not None else ""),
        ("run", f"{header.dtype} on {header.device}, seed {header.seed}"),
        ("structure", header.fingerprint),
        ("weights", header.weights),
        ("data hash", header.data.fingerprint),
        ("versions", ", ".join(f"{name} {version}" for name, version in header.versions.items())),
    ]
    return [(label, numbers.clean(value)) for label, value in facts if value]


def _scans(scan: ScanResult, *, combinations: bool) -> list[dict[str, Any]]:
    """For each metric the single layers, drawn and in a table; then, where wanted, the cheapest combinations."""
    sections = []
    for number, name in enumerate(scan.header.metrics):
        alone = [row for row in scan.of(name) if len(row.places) == 1]
        several = [row for row in scan.ranked(name) if len(row.places) != 1]
        if alone:
            sections.append(_layers(ScanResult(scan.header, alone), name, f"costs-{number}"))
        if several and (combinations or not alone):
            table = page.costs(ScanResult(scan.header, several[:_MOST_COMBINATIONS]), name)
            shown = f", the {_MOST_COMBINATIONS} cheapest" if len(several) > _MOST_COMBINATIONS else ""
            sections.append({"head": f"Several layers at once{shown}", "table": table, "figure": None})
    return sections


def _layers(scan: ScanResult, name: str, figure: str) -> dict[str, Any]:
    table = page.costs(scan, name)
    said = f"What each layer's absence costs by {table.metric}; the table below has the numbers."
    drawn = Figure(plots.svg(plots.plot_costs(scan, name), figure), said)
    return {"head": "What each layer’s absence costs", "table": table, "figure": drawn}


def _front(front: Front) -> dict[str, Any]:
    drawn = plots.svg(plots.plot_front(front), "front")
    said = f"{numbers.clean(front.metric)} against layers dropped; the table below has the numbers."
    return {
        "goal": numbers.clean(front.goal),
        "form": curve.form(front),
        "why": [numbers.clean(sentence) for sentence in front.said],
        "said": curve.measured(front),
        "bars": curve.error_bars(front),
        "metric": numbers.clean(front.metric),
        "changes": curve.changes(front),
        "lines": curve.points(front),
        "figure": Figure(drawn, said),
    }


def _repeats(scan: ScanResult | None, front: Front | None) -> list[dict[str, str]]:
    """What to paste: the plan, the command, the Python lines."""
    found = []
    if front is not None:
        plan = json.dumps(repeat.plan_json(front), indent=2, ensure_ascii=False)
        found.append({"head": "The plan", "said": "plan.json", "text": "\n".join(map(numbers.clean, plan.split("\n")))})
        found.append({"head": "The smaller model", "said": "in a shell", "text": repeat.front_command(front)})
        found.append({"head": "", "said": "in Python", "text": repeat.front_python(front)})
    if scan is not None:
        found.append({"head": "The scan", "said": "in a shell", "text": repeat.scan_command(scan)})
        found.append({"head": "", "said": "in Python", "text": repeat.scan_python(scan)})
    return found
