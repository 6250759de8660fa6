"""The layers of a map: each place of a result in order of depth, what is done there, what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from identikit.places import natural_key
from identikit.plan import Edit
from identikit.reporting import numbers, repeat
from identikit.results import Cost, Front, Header, ScanResult, SiteInfo

MOST_LAYERS = 2_000  # a map of more is no picture


@dataclass(frozen=True)
class Layer:
    """One place. `edit` is what the map does there; None where it cannot be clicked, and `why` says why not.

    costs: of its absence by metric, where it was measured alone. outer: the number of the nearest layer that it lies
    in, or None.
    """

    place: str
    site: SiteInfo | None
    edit: Edit | None
    why: str
    costs: dict[str, Cost]
    outer: int | None


def layers_of(scan: ScanResult | None, front: Front | None) -> list[Layer]:
    """Every layer that the results know, outer ones before what is in them, at most `MOST_LAYERS`."""
    headers = [part.header for part in (scan, front) if part is not None]
    sites = {path: site for header in headers for path, site in header.sites.items()}
    done, refused = _edits(scan, front)
    known = dict.fromkeys([*sites, *sorted({*done, *refused}, key=natural_key)])
    ordered = _nested(list(known))[:MOST_LAYERS]
    numbered = {path: number for number, (path, _) in enumerate(ordered)}
    alone = _costs(scan, done)
    return [
        Layer(
            numbers.clean(path),
            sites.get(path),
            done.get(path),
            "" if path in done else _why(sites.get(path), path in refused),
            alone.get(path, {}),
            None if outer is None else numbered.get(outer),
        )
        for path, outer in ordered
    ]


def _edits(scan: ScanResult | None, front: Front | None) -> tuple[dict[str, Edit], set[str]]:
    """What was done at each place, by itself rather than in a set; and where it was nothing that a page can write."""
    measured = [(row.places, row.plan) for row in scan.rows] if scan is not None else []
    measured += [(point.places, point.plan) for point in front.points] if front is not None else []
    done: dict[str, Edit] = {}
    refused: set[str] = set()
    for places, plan in sorted(measured, key=lambda each: (len(each[0]), each[1] is not None)):
        edits = repeat.plain_edits(places, plan)
        if edits is None:
            refused |= set(places)
        for edit in edits or ():
            done.setdefault(edit.at, edit)
    return done, refused


def _costs(scan: ScanResult | None, done: dict[str, Edit]) -> dict[str, dict[str, Cost]]:
    found: dict[str, dict[str, Cost]] = {}
    for row in scan.rows if scan is not None else ():
        if len(row.places) == 1 and repeat.plain_edits(row.places, row.plan) == (done.get(row.places[0]),):
            assert scan is not None
            found.setdefault(row.places[0], {})[row.metric] = scan.cost(row)
    return found


def _why(site: SiteInfo | None, replaced: bool) -> str:
    if replaced:
        return "what was done there, lines on a page cannot carry"
    if site is not None and site.verdict != "ok":
        return numbers.clean(site.verdict)
    return "not measured here"


def _nested(paths: Sequence[str]) -> list[tuple[str, str | None]]:
    """The paths with the nearest one around each, in the order given but for what lies inside of another."""
    known = set(paths)
    outer = {path: next((each for each in _above(path) if each in known), None) for path in paths}
    within: dict[str | None, list[str]] = {}
    for path in paths:
        within.setdefault(outer[path], []).append(path)
    ordered: list[tuple[str, str | None]] = []
    waiting = [*reversed(within.get(None, []))]
    while waiting:
        path = waiting.pop()
        ordered.append((path, outer[path]))
        waiting += reversed(within.get(path, []))
    return ordered


def _above(path: str) -> Iterable[str]:
    """The paths around `path`, the nearest first."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def total_of(scan: ScanResult | None, front: Front | None) -> Header:
    """The header that a map speaks of."""
    part = scan if scan is not None else front
    assert part is not None
    return part.header
