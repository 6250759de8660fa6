"""The place grammar: dotted paths, `*` for one component, `[a:b]` and `[1,4]` for numbered ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from identikit.errors import PlaceError, did_you_mean

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"(-?\d+)?:(-?\d+)?")
_LIST = re.compile(r"-?\d+(?:,-?\d+)*")
_NAMED = 4  # parts of a model in a message
_SHOWN = 12  # numbers of layers in a message
_LONGEST = 1_000  # characters; nobody's module path is longer, a hostile plan's may be


def natural_key(path: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "layer.2" before "layer.10"; two paths never share a key, though "01" and "1" are one number."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in path.split("."))


def inside(path: str, outer: str) -> bool:
    """Whether `path` lies strictly under `outer`."""
    return path.startswith(outer + ".")


def check_path(path: object) -> str:
    """`path` where it can be a module's path; PlaceError otherwise."""
    if not isinstance(path, str) or not path or len(path) > _LONGEST:
        raise PlaceError(f"a place is a dotted path such as 'encoder.layer.2'; found {shown(path)}.")
    # What cannot be printed (control characters, half characters) can neither be shown in a message nor be written.
    if not all(path.split(".")) or set(path) & set("/\\ ") or not path.isprintable():
        raise PlaceError(f"a place is a dotted path such as 'encoder.layer.2'; found {shown(path)}.")
    return path


def means_several(place: str) -> bool:
    """Whether `place` uses the grammar, so that it may mean more than one layer."""
    return any(component == "*" or _CHOICE.fullmatch(component) for component in place.split("."))


def expand(place: str, paths: Iterable[str], *, model: str = "this model") -> list[str]:
    """The paths among `paths` that `place` means, in natural order.

    Raises PlaceError where it means none (naming the nearest) or cannot be read.
    """
    known = list(paths)
    components = check_path(place).split(".")
    choose = _Chosen(known)
    if means_several(place):
        found = [path for path in known if _matches(components, path, choose)]
    else:
        found = [place] * (place in known)
    if found:
        return sorted(found, key=natural_key)
    raise PlaceError(f'no layer "{place}" in {model}.{_nearest(place, known, choose)}')


def _matches(components: list[str], path: str, choose: _Chosen) -> bool:
    parts = path.split(".") if path else []
    if len(parts) != len(components):
        return False
    for depth, (component, part) in enumerate(zip(components, parts, strict=True)):
        if component in ("*", part):
            continue
        if not _CHOICE.fullmatch(component) or not part.isdecimal():
            return False
        if int(part) not in choose(component, ".".join(parts[:depth])):
            return False
    return True


class _Chosen:
    """What `_chosen` says, asked once of each parent: a mixture of experts has tens of thousands of paths."""

    def __init__(self, known: list[str]) -> None:
        self.known = known
        self._said: dict[tuple[str, str], set[int]] = {}

    def __call__(self, component: str, parent: str) -> set[int]:
        if (component, parent) not in self._said:
            self._said[component, parent] = _chosen(component, parent, self.known)
        return self._said[component, parent]


def _chosen(component: str, parent: str, known: list[str]) -> set[int]:
    """The numbers that "[...]" chooses among the numbered children of `parent`; negative ones count from the end."""
    text = component[1:-1]
    start = parent + "." if parent else ""
    children = {name[len(start) :].split(".")[0] for name in known if name.startswith(start)}
    numbers = sorted(int(child) for child in children if child.isdecimal())
    span = _RANGE.fullmatch(text)
    if span:
        first, last = (None if bound is None else int(bound) for bound in span.groups())
        return set(numbers[slice(first, last)])
    wanted = [int(item) for item in text.split(",")] if _LIST.fullmatch(text) else []
    if wanted and min(wanted) >= -len(numbers):
        return {numbers[item] if item < 0 else item for item in wanted}
    raise PlaceError(
        f'cannot read "{component}": write [2:5] for a range or [1,4] for single numbers; '
        f'"{parent or "the model"}" has {len(numbers)} numbered children.'
    )


def _nearest(place: str, known: list[str], choose: _Chosen) -> str:
    """What to type instead: the place with its wrong components put right, else the nearest path."""
    right: list[str] = []
    for component in place.split("."):
        siblings = _matching(right, choose)
        numbers = sorted(int(name) for name in siblings if name.isdecimal())
        if component in siblings or _matching([*right, component], choose, itself=True):
            right.append(component)
        elif numbers and re.fullmatch(r"-\d+", component) and -int(component) <= len(numbers):
            right.append(f"[{component}]")
        elif numbers and (component.isdecimal() or _CHOICE.fullmatch(component)):
            return f' "{".".join(right) or "the model"}" has the {_numbered(numbers)}.'
        elif near := difflib.get_close_matches(component, siblings, n=1, cutoff=0.6):
            right.append(near[0])
        else:
            break
    else:
        return f' Did you mean "{".".join(right)}"?'
    endings = [path for path in known if path.endswith("." + place)]
    if endings:
        return f' Did you mean "{min(endings, key=len)}"?'
    return did_you_mean(place, known) or _listed(known)


def _listed(known: list[str]) -> str:
    """Where to look, where nothing is near."""
    top = list(dict.fromkeys(path.partition(".")[0] for path in known if path))
    if not top:
        return " It has no layers."
    more = f" and {len(top) - _NAMED} more" if len(top) > _NAMED else ""
    named = ", ".join(f'"{name}"' for name in top[:_NAMED])
    return f" At its top: {named}{more}. List its layers: ik.sites(model), or identikit sites MODEL."


def _matching(components: list[str], choose: _Chosen, *, itself: bool = False) -> set[str]:
    """The names of the children of what `components` mean; with `itself`, the names of what they mean."""
    depth = len(components) - itself
    starts = {tuple(path.split(".")[: depth + 1]) for path in choose.known if path.count(".") >= depth}
    return {start[-1] for start in starts if _matches(components, ".".join(start[: len(components)]), choose)}


def _numbered(numbers: list[int]) -> str:
    """What layers there are, from their sorted numbers."""
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"layer {first}"
    if last - first == len(numbers) - 1:
        return f"layers {first} to {last}"
    some = ", ".join(map(str, numbers[:_SHOWN]))
    return f"layers {some}" + (f" and {len(numbers) - _SHOWN} more, up to {last}" if len(numbers) > _SHOWN else "")


def shown(value: object) -> str:
    """`value` as a message may quote it: on one line, not longer than that."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
