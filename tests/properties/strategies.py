"""What the property tests draw: names that collide, plans, trees of modules, and results as files hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

import sample_results as sample
from identikit.errors import PlanError
from identikit.plan import OPS, Edit, Plan
from identikit.results import DataInfo, Front, Header, MetricInfo, Point, Row, Score, SiteInfo
from identikit.results.compensated import Compensated, Filled

# Few names, so that places meet: numbers of one and two digits, one number written twice, letters of other alphabets.
NAMES = st.sampled_from(["a", "layer", "0", "1", "2", "10", "01", "٣", "schicht-ü", "_orig_mod"])
PLACES = st.lists(NAMES, min_size=1, max_size=4).map(".".join)
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)  # anything that UTF-8 can hold
NUMBERS = st.floats(-1e12, 1e12)
PRINTED = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=8)
ALIKE = st.sampled_from([0, 1, 1.0, True, False, None, "1", -0.0])  # what Python calls equal and JSON does not
VALUES = ALIKE | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | PRINTED
OPTIONS = st.dictionaries(st.sampled_from(["count", "of"]) | PRINTED, VALUES, max_size=2)
HASHES = st.sampled_from(["", "", "0123456789abcdef", "fedcba9876543210"])


@st.composite
def edits(draw: st.DrawFn, at: st.SearchStrategy[str] = PLACES, ops: Sequence[str] = OPS, options: bool = True) -> Edit:
    return Edit(draw(st.sampled_from(ops)), draw(at), tuple(draw(OPTIONS).items()) if options else ())


@st.composite
def meeting(draw: st.DrawFn, most: int = 6) -> list[Edit]:
    """Edits at few places, so that they contradict and absorb each other."""
    top, options = draw(PLACES), draw(st.booleans())
    at = st.sampled_from([top, f"{top}.1", f"{top}.01", f"{top}.{draw(NAMES)}", f"{top}.1.a", draw(PLACES)])
    ops = draw(st.sampled_from([("identity", "mean", "zero"), ("identity", "resample", "insert"), OPS]))
    return draw(st.lists(edits(at, ops, options), max_size=most))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan of up to six edits; one that contradicts those before it is left out."""
    fingerprint = draw(HASHES)
    plan = Plan(fingerprint=fingerprint, weights=draw(HASHES), model="Model" if fingerprint else "")
    for edit in draw(meeting()):
        try:
            plan = plan | Plan(frozenset([edit]))
        except PlanError:
            continue
    return plan


@st.composite
def scores(draw: st.DrawFn) -> Score:
    full, edited = draw(NUMBERS), draw(NUMBERS)
    low, high = draw(st.just((None, None)) | st.tuples(NUMBERS, NUMBERS).map(sorted))
    return Score(full, edited, edited - full, low, high)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    score = draw(scores())
    plan = draw(st.none() | plans())
    return Row(
        places=draw(st.sets(PLACES, max_size=3)),
        metric=draw(st.sampled_from(["loss", "fidelity"])),
        **{name: getattr(score, name) for name in ("full", "edited", "effect", "low", "high")},
        examples=draw(st.integers(0, 10**9)),
        engine=draw(WORDS),
        seconds=draw(st.floats(0, 1e6)),
        plan=None if plan is None else plan.to_json(),
        error=draw(st.none() | st.floats(0, 1e6)),
        ties=draw(st.lists(st.lists(PLACES, min_size=1, max_size=2).map(" + ".join), max_size=2, unique=True)),
        rank=draw(st.none() | st.integers(1, 99)),
    )


@st.composite
def sites(draw: st.DrawFn) -> SiteInfo:
    counts = st.none() | st.integers(0, 10**18)
    times: Any = draw(st.just([None] * 3) | st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted))
    costs = {"seconds_low": times[0], "seconds": times[1], "seconds_high": times[2], "memory": draw(counts)}
    return SiteInfo(draw(WORDS), share=draw(st.none() | st.floats(0, 1)), flops=draw(counts), **costs)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    return sample.header(
        name=draw(WORDS),
        data=DataInfo(draw(WORDS), "d", draw(st.integers(0, 10**9))),
        metrics={"loss": MetricInfo(False, draw(NUMBERS), "bootstrap", 0.9), "fidelity": MetricInfo(True, 1.0)},
        sites=draw(st.dictionaries(PLACES, sites(), max_size=3)),
        notes=tuple(draw(st.lists(WORDS, max_size=3, unique=True))),
        command=draw(WORDS),
    )


def some_rows(most: int = 6) -> st.SearchStrategy[list[Row]]:
    """Rows of which no two measure the same."""
    return st.lists(rows(), max_size=most, unique_by=lambda row: row.key)


@st.composite
def compensations(draw: st.DrawFn) -> Compensated:
    gap = st.builds(
        Filled,
        st.lists(PLACES, max_size=2).map(tuple),
        st.none() | PLACES,
        st.none() | NUMBERS,
        st.none() | NUMBERS,
        WORDS,
    )
    return Compensated(
        draw(st.sampled_from(["fold", "adapter"])),
        tuple(draw(st.lists(gap, max_size=2))),
        {"loss": draw(scores())},
        helps=draw(st.booleans()),
        statistics=draw(st.booleans()),
        parameters=draw(st.integers(0, 10**12)),
        kept=draw(st.none() | NUMBERS),
    )


@st.composite
def points(draw: st.DrawFn, held_out: bool) -> Point:
    both = st.fixed_dictionaries({"loss": scores(), "fidelity": scores()})
    times: Any = draw(st.just([None] * 3) | st.lists(st.floats(0, 1e3), min_size=3, max_size=3).map(sorted))
    plan = draw(st.none() | plans())
    return Point(
        places=draw(st.sets(PLACES, max_size=3)),
        scores=draw(both),
        selection=draw(both) if held_out else {},
        parameters=draw(st.integers(0, 10**12)),
        kept=draw(st.none() | NUMBERS),
        latency_low=times[0],
        latency=times[1],
        latency_high=times[2],
        memory=draw(st.none() | st.integers(0, 10**12)),
        compensated=draw(st.none() | compensations()),
        plan=None if plan is None else plan.to_json(),
    )


@st.composite
def fronts(draw: st.DrawFn) -> Front:
    held_out = draw(st.booleans())
    curve = draw(st.lists(points(held_out), min_size=1, max_size=3))
    sizes = st.none() | st.integers(0, 10**12)
    return Front(
        draw(headers()),
        tuple(curve),
        draw(st.integers(0, len(curve) - 1)),
        draw(WORDS),
        tuple(draw(st.lists(WORDS, max_size=2))),
        draw(sizes),
        draw(sizes),
        DataInfo(draw(WORDS), "e", draw(st.integers(0, 10**9))) if held_out else None,
    )


ANYTHING = st.text(st.characters(), max_size=8)  # half characters too, which JSON can write and UTF-8 cannot
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """`value`, made of JSON values, with one value somewhere in it replaced, taken out, doubled or renamed."""
    inside = [value]
    for each in inside:  # grows as it goes
        children = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        inside.extend(child for child in children if isinstance(child, dict | list) and child)
    target = draw(st.sampled_from(inside))
    key = draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
    how = draw(st.sampled_from(["replace", "take out", "add"]))
    if how == "replace":
        target[key] = draw(JSON if not isinstance(target[key], str) else ANYTHING | JSON)
    elif how == "take out":
        del target[key]
    elif isinstance(target, dict):
        target[draw(ANYTHING)] = target[key]
    else:
        target.append(target[key])
    return value
