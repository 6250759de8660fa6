"""What is ranked: single layers, runs of neighbours, stages, all layers of one type. Each is a named plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from identikit.errors import PlaceError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.places import inside, natural_key
from identikit.plan import Edit, Plan
from identikit.sources.readings import Data
from identikit.structure.members import members
from identikit.surgery.carried import first_paths
from identikit.surgery.choose import plan_for

BY = ("stage", "type")
At = str | Iterable[str] | None


def candidates(
    anatomy: Anatomy,
    at: At = None,
    *,
    as_: str | None = None,
    data: Data | None = None,
    span: int | None = None,
    by: str | None = None,
) -> dict[str, Plan]:
    """Name to plan. A candidate is called by its path, "a + b" where it is of several layers.

    `at`: layers at any depth; every whole block where None. `span`: every run of so many of them that stand one behind
    the other in one stack. `by`: "stage", all of one container together; "type", all of one class, and of one kind in
    what the configuration says of each layer (sliding or full attention). What `as_` learns from data (means, adapters)
    is learned in the same passes for all layers.

    Raises PlaceError for places, spans or groups that there are not, and what `plan_for` does.
    """
    if span is not None and by is not None:
        raise PlaceError(f'span={span} and by="{by}" are two ways to group layers. Choose one.')
    if by is not None and by not in BY:
        raise PlaceError(f"by={by!r} is none of {', '.join(map(repr, BY))}.")
    if span is not None and span < 1:
        raise PlaceError(f"span={span} counts layers: 1 or more.")
    paths = chosen(anatomy, at)
    groups: Iterable[list[str]] = [[path] for path in paths]
    if by is not None:
        groups = _by(anatomy, paths, by)
    elif span is not None and span > 1:
        groups = _runs(anatomy, paths, span)
    edits = _edits(anatomy, paths, as_, data)
    return {" + ".join(group): _plan(edits, group) for group in groups}


def chosen(anatomy: Anatomy, at: At) -> list[str]:
    """The layers that `at` means, each once; every whole block where None. Raises RoleError or PlaceError for none."""
    if at is None:
        blocks = anatomy.blocks()
        if not blocks:
            name = type(anatomy.model).__name__
            raise RoleError(f"no stack of whole blocks was found in {name}. Name the layers: at=... (--at).")
        return blocks
    places = [at] if isinstance(at, str) else list(at)
    if not places:
        raise PlaceError(
            'at=[] names no layer. Leave it out for every whole block, or name some: at="encoder.layer.*".'
        )
    return anatomy.resolve(*places)


def _runs(anatomy: Anatomy, paths: list[str], span: int) -> list[list[str]]:
    """Every run of `span` of the paths in one stack."""
    lines = lines_of(anatomy, paths)
    found = [line[start : start + span] for line in lines for start in range(len(line) - span + 1)]
    if not found:
        longest = max(lines, key=len, default=[])
        most = f"the longest run has {len(longest)} ({longest[0]} to {longest[-1]})" if longest else "there is no stack"
        raise PlaceError(f"span={span}: no stack has so many of these layers one behind the other; {most}.")
    return found


def lines_of(anatomy: Anatomy, paths: Iterable[str]) -> list[list[str]]:
    """The paths that stand one behind the other in a stack, stack by stack; a layer that no stack holds alone."""
    stacks: dict[tuple[str, str], dict[int, str]] = {}
    for path in paths:
        stack, number, rest = _place_of(anatomy, path)
        stacks.setdefault((stack, rest), {})[number] = path
    return [line for layers in stacks.values() for line in _unbroken(layers)]


def _unbroken(layers: Mapping[int, str]) -> list[list[str]]:
    """The runs of layers with neighbouring numbers."""
    numbers = sorted(layers)
    breaks = [place for place, (one, next_) in enumerate(pairwise(numbers), start=1) if next_ != one + 1]
    bounds = pairwise([0, *breaks, len(numbers)])
    return [[layers[number] for number in numbers[start:end]] for start, end in bounds if end > start]


def _place_of(anatomy: Anatomy, path: str) -> tuple[str, int, str]:
    """The innermost container that lines up layers around `path`, the number of the layer there, the way inside it.

    A layer that no container lines up is alone in a stack of its own name.
    """
    parts = path.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        stack = ".".join(parts[:depth])
        names = members(anatomy.model.get_submodule(stack))
        if parts[depth] in names:
            return stack, names.index(parts[depth]), ".".join(parts[depth + 1 :])
    return path, 0, ""


def _by(anatomy: Anatomy, paths: list[str], by: str) -> list[list[str]]:
    """The paths in groups, in the order of their first."""
    groups: dict[Any, list[str]] = {}
    for path in paths:
        stack, number, rest = _place_of(anatomy, path)
        key = (stack, rest) if by == "stage" else (_kind(anatomy, path), _fact(anatomy, stack, number, path))
        groups.setdefault(key, []).append(path)
    _require_apart(groups.values(), by)
    return list(groups.values())


def _kind(anatomy: Anatomy, path: str) -> str:
    kind = type(anatomy.model.get_submodule(path))
    return f"{kind.__module__}.{kind.__qualname__}"


def _fact(anatomy: Anatomy, stack: str, number: int, path: str) -> str:
    """What the configuration says of this layer of its stack, as text."""
    if stack == path:
        return ""
    depth = len(members(anatomy.model.get_submodule(stack)))
    facts = anatomy.family.layer_facts(anatomy.model, stack, depth)
    return repr(facts[number])


def _require_apart(groups: Iterable[list[str]], by: str) -> None:
    """Raise PlaceError where a group holds a layer and one inside it: the outer one's absence is both."""
    for group in groups:
        within = next(((path, outer) for path in group for outer in group if inside(path, outer)), None)
        if within is not None:
            raise PlaceError(
                f'by="{by}" puts "{within[0]}" and "{within[1]}" around it into one group. '
                "Name only one of them (at=...)."
            )


def _edits(anatomy: Anatomy, paths: list[str], as_: str | None, data: Data | None) -> dict[str, tuple[Edit, Plan]]:
    """The edit of each layer, and the plan that holds its tensors.

    One plan for all layers that lie in no other: so those that learn from data share the passes.
    """
    found: dict[str, tuple[Edit, Plan]] = {}
    left = list(paths)
    while left:
        outer = [path for path in left if not any(inside(path, other) for other in left)]
        plan = plan_for(anatomy, outer, as_, data)
        by_path = {edit.at: edit for edit in plan}
        first = first_paths(anatomy.model, outer)
        found |= {path: (by_path[at], plan) for path, at in zip(outer, first, strict=True)}
        left = [path for path in left if path not in found]
    return found


def _plan(edits: Mapping[str, tuple[Edit, Plan]], group: Iterable[str]) -> Plan:
    """The plan of a group, with the tensors of its own edits alone."""
    chosen_ = [edits[path] for path in sorted(group, key=natural_key)]
    whole = chosen_[0][1]
    tensors = {name: value for _, plan in chosen_ for name, value in plan.tensors.items()}
    return Plan(frozenset(edit for edit, _ in chosen_), whole.fingerprint, whole.weights, whole.model, tensors)
