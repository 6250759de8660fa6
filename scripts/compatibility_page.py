"""The tables of docs/compatibility.md from benchmarks/results/compatibility.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

RESULT, PAGE = Path("benchmarks") / "results" / "compatibility.json", Path("docs") / "compatibility.md"
BEGIN, END = "<!-- from benchmarks/results/compatibility.json -->", "<!-- end -->"
COLUMNS = ("torch", "transformers", "sentence-transformers", "datasets", "timm", "scikit-learn", "numpy")


def write(found: dict[str, Any], root: Path) -> None:
    """Put the tables into the page, in place of those that are there."""
    page = (root / PAGE).read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    (root / PAGE).write_text(f"{before}{BEGIN}\n{tables(found)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def tables(found: dict[str, Any]) -> str:
    """One row for each environment: what was in it and what came out; then what was left out, with the reason."""
    head = ["environment", "installed", "Python", *COLUMNS, "passed", "failed", "skipped", "on"]
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name, cell in found["cells"].items():
        versions = [cell["versions"].get(column, "") for column in COLUMNS]
        tests = [str(cell["tests"][kind]) for kind in ("passed", "failed", "skipped")]
        rows.append(
            f"| {' | '.join([name, _code(cell['install']), cell['python'], *versions, *tests, cell['date']])} |"
        )
    left = [name for name in found["asked"] if name not in found["cells"]]
    missing = ["", f"Asked for by the script and not yet run: {', '.join(left)}."] if left else []
    return "\n".join([*rows, *missing, "", *_others(found)])


def _others(found: dict[str, Any]) -> list[str]:
    """The other libraries of an environment, what failed in it, and which architectures it has not."""
    lines = []
    for name, cell in found["cells"].items():
        rest = [f"{library} {version}" for library, version in cell["versions"].items() if library not in COLUMNS]
        missing = list(cell["tests"]["absent"]) if "transformers" in cell["versions"] else []
        said = [f"- **{name}**: {', '.join(rest)}."]
        said += [f"Not in its transformers: {', '.join(missing)}."] if missing else []
        said += [f"Failed: {', '.join(map(_code, cell['tests']['names']))}."] if cell["tests"]["names"] else []
        said += [f"Wrong: {', '.join(cell['problems'])}."] if cell["problems"] else []
        lines.append(" ".join(said))
    return lines


def _code(text: str) -> str:
    return f"`{text}`"
