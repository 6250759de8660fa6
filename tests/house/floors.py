"""What may import what: an import points to a lower floor, on one floor only along an arrow, never in a circle."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from house.source import PACKAGE, Finding, Import, Source, imports

# A wing is a folder or a file of src/identikit. The picture is in docs/architecture.md.
FLOORS: dict[str, int] = {
    **dict.fromkeys(("cli", "__init__", "__main__"), 6),
    **dict.fromkeys(("tabular", "pruning"), 5),
    **dict.fromkeys(("scanning", "crews", "saving", "exporting", "healing", "compensating"), 4),
    **dict.fromkeys(("growing", "heads", "replaying", "surgery", "replacing", "auditing", "reporting"), 3),
    **dict.fromkeys(("scoring", "costing", "confidence", "simplifying"), 3),
    **dict.fromkeys(("sources", "families", "structure", "metrics"), 2),
    **dict.fromkeys(("nn", "results", "plan", "places", "strict_json", "batches", "tensors"), 1),
    **dict.fromkeys(("files", "locks", "disk_errors", "turns", "progress", "functions", "errors"), 1),
}
# On one floor: from the key to each of the values. Everything on the ground may also import errors.
ARROWS: dict[str, set[str]] = {
    "__main__": {"cli", "__init__"},
    "cli": {"__init__"},
    "tabular": {"pruning"},
    "scanning": {"crews"},
    "growing": {"surgery"},
    "heads": {"surgery", "replacing"},
    "replaying": {"surgery"},
    "scoring": {"surgery", "replacing"},
    "surgery": {"replacing"},
    "simplifying": {"surgery", "costing"},
    "sources": {"families", "structure"},
    "families": {"structure"},
    "results": {"plan", "places", "strict_json", "files", "locks", "disk_errors", "errors"},
    "plan": {"places", "strict_json", "files", "tensors", "errors"},
    "tensors": {"files", "errors"},
    "places": {"errors"},
    "strict_json": {"errors"},
    "batches": {"errors"},
    "files": {"locks", "disk_errors", "errors"},
    "locks": {"disk_errors", "errors"},
    "disk_errors": {"errors"},
    "progress": {"errors"},
    "functions": {"errors"},
    "nn": {"errors"},
}
DATA = {"demo", "schemas"}  # folders of data: no code in them
CORE = {"torch", "numpy", "safetensors", "typer", "rich", PACKAGE}
# Its estimators are classes of scikit-learn, so they cannot wait; the wing itself is loaded when asked for.
AT_TOP = {("tabular", "sklearn")}
# Read where torch is not wanted: a plan, a result, a page made of results.
NO_TORCH = {"errors", "plan", "places", "strict_json", "results", "files", "locks", "disk_errors", "reporting"}


def check_floors(sources: Sequence[Source]) -> Iterator[Finding]:
    """Imports that point up, sideways without an arrow, or into a folder of data."""
    modules = {source.module for source in sources}
    for source in sources:
        wing = wing_of(source.module)
        if wing in DATA:
            yield Finding(source.path, 1, f"{wing}/ holds data; code does not belong there")
            continue
        if wing not in FLOORS:
            yield Finding(source.path, 1, f'the wing "{wing}" has no floor; give it one in tests/house/floors.py')
            continue
        for found in imports(source, modules):
            rule = _broken(wing, found) if found.target.split(".")[0] == PACKAGE else ""
            if rule:
                yield Finding(source.path, found.line, rule)


def _broken(wing: str, found: Import) -> str:
    target = wing_of(found.target)
    if target == wing or (found.painting and target == "reporting"):
        return ""
    if target in DATA:
        return f"imports {found.target}: {target}/ holds data; read it through importlib.resources"
    if target not in FLOORS:
        return f"imports {found.target}, which is no module of {PACKAGE}"
    if FLOORS[target] > FLOORS[wing]:
        return f"imports {found.target}: {wing} is on floor {FLOORS[wing]}, {target} above it on floor {FLOORS[target]}"
    if FLOORS[target] == FLOORS[wing] and target not in ARROWS.get(wing, set()):
        ways = ", ".join(sorted(ARROWS.get(wing, set()))) or "nothing"
        return f"imports {found.target} sideways: on its own floor {wing} may import {ways}"
    if wing == "reporting" and FLOORS[target] > 1:
        return f"imports {found.target}: reporting takes results, never models"
    return ""


def wing_of(module: str) -> str:
    """The folder or file of the package that a module lies in; `__init__` for the face itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def check_circles(sources: Sequence[Source]) -> Iterator[Finding]:
    """Files that import each other in a circle; an import inside a function counts, one that paints does not."""
    modules = {source.module for source in sources}
    edges = {
        source.module: {
            found.target: found.line
            for found in imports(source, modules)
            if found.target in modules and found.target != source.module and not found.painting
        }
        for source in sources
    }
    paths = {source.module: source.path for source in sources}
    seen: set[frozenset[str]] = set()
    for start in sorted(edges):
        circle = _circle(start, edges)
        if circle and frozenset(circle) not in seen:
            seen.add(frozenset(circle))
            way = " -> ".join([*circle, start])
            yield Finding(paths[start], edges[start][[*circle, start][1]], f"import circle: {way}")


def _circle(start: str, edges: dict[str, dict[str, int]]) -> list[str]:
    """The shortest way from `start` back to it, or an empty list."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop(0)
        for target in sorted(edges[way[-1]]):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def check_libraries(sources: Sequence[Source]) -> Iterator[Finding]:
    """Optional libraries imported when a file is loaded, and torch where data must be readable without it."""
    modules = {source.module for source in sources}
    for source in sources:
        wing = wing_of(source.module)
        for found in imports(source, modules):
            library = found.target.split(".")[0]
            if found.typing_only or library in sys.stdlib_module_names:
                continue
            if found.at_top and library not in CORE and (wing, library) not in AT_TOP:
                yield Finding(
                    source.path, found.line, f"imports {library} when it is loaded; import it in the function"
                )
            if library == "torch" and (wing in NO_TORCH or (wing == "__init__" and found.at_top)):
                yield Finding(source.path, found.line, f"imports torch: {wing} works without it")
