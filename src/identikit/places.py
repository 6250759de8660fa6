"""The place grammar: dotted paths, `*` for one component, `[a:b]` and `[1,4]` for numbered ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from identikit.errors import PlaceError, did_you_mean

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"(-?\d*):(-?\d*)")
_LONGEST = 1_000  # characters; nobody's module path is longer, a hostile plan's may be


def natural_key(path: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "layer.2" before "layer.10"."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in path.split("."))


def inside(path: str, outer: str) -> bool:
    """Whether `path` lies strictly under `outer`."""
    return path.startswith(outer + ".")


def check_path(path: object) -> str:
    """`path` where it can be a module's path; PlaceError otherwise."""
    if not isinstance(path, str) or not path or len(path) > _LONGEST:
        raise PlaceError(f"a place is a dotted path such as 'encoder.layer.2'; found {_shown(path)}.")
    if any(not part or part.startswith("..") for part in path.split(".")) or re.search(r"[/\\\s\x00-\x1f]", path):
        raise PlaceError(f"a place is a dotted path such as 'encoder.layer.2'; found {_shown(path)}.")
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
    plain = not means_several(place)
    found = [place] * (place in known) if plain else [path for path in known if _matches(components, path, known)]
    if found:
        return sorted(found, key=natural_key)
    raise PlaceError(f'no layer "{place}" in {model}.{_nearest(place, known)}')


def _matches(components: list[str], path: str, known: list[str]) -> bool:
    parts = path.split(".") if path else []
    if len(parts) != len(components):
        return False
    for depth, (component, part) in enumerate(zip(components, parts, strict=True)):
        if component in ("*", part):
            continue
        choice = _CHOICE.fullmatch(component)
        if choice is None or not part.isdecimal():
            return False
        if int(part) not in _chosen(choice[1], component, ".".join(parts[:depth]), known):
            return False
    return True


def _chosen(text: str, component: str, parent: str, known: list[str]) -> set[int]:
    """The numbers that `[text]` chooses among the numbered children of `parent`; negative ones count from the end."""
    start = parent + "." if parent else ""
    children = {name[len(start) :].split(".")[0] for name in known if name.startswith(start)}
    numbers = sorted(int(child) for child in children if child.isdecimal())
    span = _RANGE.fullmatch(text.replace(" ", ""))
    if span:
        first, last = (int(bound) if bound else None for bound in span.groups())
        return set(numbers[slice(first, last)])
    try:
        wanted = [int(item) for item in text.split(",")]
        return {numbers[item] if item < 0 else item for item in wanted}
    except (ValueError, IndexError):
        raise PlaceError(
            f'cannot read "{component}": write [2:5] for a range or [1,4] for single numbers; '
            f'"{parent or "the model"}" has {len(numbers)} numbered children.'
        ) from None


def _nearest(place: str, known: list[str]) -> str:
    """What to type instead: the place with its wrong components put right, else the nearest path."""
    right: list[str] = []
    for component in place.split("."):
        siblings = _matching(right, known)
        numbers = sorted(int(name) for name in siblings if name.isdecimal())
        if component in siblings or _matching([*right, component], known, itself=True):
            right.append(component)
        elif numbers and re.fullmatch(r"-\d+", component) and -int(component) <= len(numbers):
            right.append(f"[{component}]")
        elif numbers and (component.isdecimal() or _CHOICE.fullmatch(component)):
            return f' "{".".join(right)}" has the layers {numbers[0]} to {numbers[-1]}.'
        elif near := difflib.get_close_matches(component, siblings, n=1, cutoff=0.6):
            right.append(near[0])
        else:
            break
    else:
        return f' Did you mean "{".".join(right)}"?'
    endings = [path for path in known if path.endswith("." + place)]
    return f' Did you mean "{min(endings, key=len)}"?' if endings else did_you_mean(place, known)


def _matching(components: list[str], known: list[str], *, itself: bool = False) -> set[str]:
    """The names of the children of what `components` mean; with `itself`, the names of what they mean."""
    depth = len(components) - itself
    starts = {tuple(path.split(".")[: depth + 1]) for path in known if path.count(".") >= depth}
    return {start[-1] for start in starts if _matches(components, ".".join(start[: len(components)]), known)}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
