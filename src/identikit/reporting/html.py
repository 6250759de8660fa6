"""`report`: one HTML page with everything in it, for a browser without a network: tables, figures, how to repeat it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from identikit.errors import ResultError, needs_extra
from identikit.files import write_text
from identikit.plan import Edit
from identikit.reporting import curve, numbers, page, repeat, sections
from identikit.reporting.layer_map import layer_map
from identikit.reporting.pareto import pareto
from identikit.results import Front, Header, ScanResult

_PAGE, _STYLE, _SCRIPT = "report.html.j2", "report.css", "report.js"
_BREAKS = re.compile(r"\.(?=[^\W\d]|\[)")


def report(result: Any, to: str | Path = "report.html") -> Path:
    """Write one self-contained HTML page on `result` and return its path.

    Args:
        result: a ScanResult, a Front, both in a tuple, or what `prune` returns (anything with `.scan` and `.front`).
        to: the file to write; it holds the old page until the new one is whole.

    Raises:
        ResultError: `result` is none of these, or scan and front are of different models.
        MissingExtraError: jinja2 is absent. SaveError: the file cannot be written.
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
    drawn = layer_map(scan, front)
    sets = drawn.sets if drawn is not None else {}
    return _painted(
        title=f"{_short(header)}: what its layers are worth",
        model=page.model_line(header),
        lead=_lead(scan, front),
        facts=_facts(header, front),
        map=drawn,
        pareto=pareto(scan, sets) if scan is not None else None,
        agreements=[] if scan is None else sections.agreement_figures(scan),
        notes=[numbers.clean(note) for note in header.notes],
        front=_front(front, sets) if front is not None else None,
        scans=sections.sections(scan, sets, combinations=front is None) if scan is not None else [],
        repeats=_repeats(scan, front),
    )


def _painted(**shown: Any) -> str:
    """The template filled; the page allows its own style and script alone, by their hashes."""
    try:
        import jinja2
    except ImportError as cause:
        raise needs_extra("jinja2", "report", "a report") from cause
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("identikit.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    style, script = (loader.get_source(environment, name)[0].strip() for name in (_STYLE, _SCRIPT))
    own = f"style-src {_hash(style)}; script-src {_hash(script)}"
    allowed = f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
    environment.filters["soft"] = _soft
    return environment.get_template(_PAGE).render(**shown, style=style, script=script, allowed=allowed)


def _soft(text: str) -> Any:
    """`text` as HTML in which a long path may go on in the next line behind one of its dots."""
    from markupsafe import Markup, escape

    return Markup(_BREAKS.sub(".<wbr>", str(escape(text))))


def _hash(text: str) -> str:
    """How a page's policy names a style or a script that stands in it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _lead(scan: ScanResult | None, front: Front | None) -> list[str]:
    """What was measured on what, a line for each metric."""
    said = [] if front is None else [curve.measured(front)]
    searched = "in the search: " if front is not None and front.chosen_on is not None else ""
    scanned = [(scan, name) for name in scan.header.metrics] if scan is not None else []
    said += [searched + page.measured(result.header, name, result.of(name)) for result, name in scanned]
    return list(dict.fromkeys(said))


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
    if scan and front:
        _require_one_model(scan[0].header, front[0].header)
    return next(iter(scan), None), next(iter(front), None)


def _require_one_model(scan: Header, front: Header) -> None:
    for key in ("fingerprint", "weights"):
        mine, yours = getattr(scan, key), getattr(front, key)
        if mine != yours:
            raise ResultError(
                f"this scan and this front are of different models: {key} {numbers.clean(mine)} and "
                f"{numbers.clean(yours)}. Draw each on a page of its own."
            )


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


def _front(front: Front, sets: dict[tuple[Edit, ...], str]) -> dict[str, Any]:
    edits = [repeat.plain_edits(point.places, point.plan) for point in front.points]
    return {
        "goal": numbers.clean(front.goal),
        "form": curve.form(front),
        "why": [numbers.clean(sentence) for sentence in front.said],
        "said": curve.measured(front),
        "bars": curve.error_bars(front),
        "metric": numbers.clean(front.metric),
        "changes": curve.changes(front),
        "lines": list(zip(curve.points(front), (sets.get(each or (), "") for each in edits), strict=True)),
        "figure": sections.front_figure(front),
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
