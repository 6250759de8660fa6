"""Which sizes of the inputs may differ from call to call: learned by running the model on inputs of other sizes.

No list of names: sizes that are equal are changed together, and each is left as it was once while the others change.
Where the model then fails, it is tied to them (an attention mask to its ids); where it runs, it is free (a decoder's
length, a picture's height).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from identikit.exporting.signature import Tensors
from identikit.exporting.sizes import Place, hiding_something, resized

Runs = Callable[[Tensors], bool]


@dataclass(frozen=True)
class Group:
    """Places that have one size, which may be another one: `others` ran."""

    name: str
    places: tuple[Place, ...]
    size: int
    others: tuple[int, ...]

    @property
    def rows(self) -> bool:
        """Whether it counts examples."""
        return all(dim == 0 for _, dim in self.places)

    @property
    def shorter(self) -> int:
        """The nearest smaller size that ran; the nearest larger one where none did."""
        return max((other for other in self.others if other < self.size), default=self.others[0])

    def joined(self, other: Group) -> Group:
        """Both as one: a graph may tie what the model itself does not."""
        both = tuple(each for each in self.others if each in other.others)
        return replace(self, places=self.places + other.places, others=both or self.others)

    def at(self, size: int) -> dict[Place, int]:
        """The sizes to ask for where the group is to have `size`."""
        return dict.fromkeys(self.places, size)


def learn(tensors: Tensors, runs: Runs) -> tuple[Tensors, list[Group]]:
    """The groups of sizes that may differ, those that count examples first; and the tensors that they were learned on.

    These hold two rows and more in each group: a graph made of one row says nothing of several. Their masks hide
    something: a library may leave out one that hides nothing, and then its size is any.
    """
    hiding = hiding_something(tensors)
    tensors = hiding if runs(hiding) else tensors
    groups: list[Group] = []
    for places in _proposals(tensors):
        size = _size(tensors, places)
        if size < 2:
            wider = resized(tensors, dict.fromkeys(places, 2))
            if not runs(wider):
                continue
            tensors, size = wider, 2
        for part in _parts(tensors, places, runs):
            others = tuple(each for each in _others(size, part) if _changed_runs(tensors, part, each, runs))
            if others:
                groups.append(Group("", tuple(part), size, others))
    return tensors, _with_names(groups)


def _size(tensors: Tensors, places: Sequence[Place]) -> int:
    name, dim = places[0]
    return tensors[name].shape[dim]


def _proposals(tensors: Tensors) -> list[list[Place]]:
    """Places with equal sizes: what counts the rows first, then all else."""
    rows = next((value.shape[0] for value in tensors.values() if value.ndim), 0)
    found: dict[tuple[bool, int], list[Place]] = {}
    for name, value in tensors.items():
        for dim, size in enumerate(value.shape):
            if size > 0:
                found.setdefault((dim != 0 or size != rows, size), []).append((name, dim))
    return [places for _, places in sorted(found.items(), key=lambda item: item[0][0])]


def _parts(tensors: Tensors, places: list[Place], runs: Runs) -> list[list[Place]]:
    """`places` in parts that may each have a size of their own; places that may not change are left out."""
    if not _any_runs(tensors, places, runs):
        return _parts_of_mixed(tensors, places, runs)
    free = [place for place in places if len(places) > 1 and _any_runs(tensors, _but(places, place), runs)]
    free = [place for place in free if _any_runs(tensors, [place], runs)]
    tied = [place for place in places if place not in free]
    if tied and free and not _any_runs(tensors, tied, runs):
        return [places]
    return [part for part in [tied, *([place] for place in free)] if part]


def _parts_of_mixed(tensors: Tensors, places: list[Place], runs: Runs) -> list[list[Place]]:
    """Equal by chance: a number of features may be as large as a length. One dimension's places, or all but one."""
    if len(places) == 1:
        return []
    dims = sorted({dim for _, dim in places})
    if len(dims) > 1:
        return [part for dim in dims for part in _parts(tensors, [each for each in places if each[1] == dim], runs)]
    without = (_but(places, place) for place in places)
    return next((_parts(tensors, some, runs) for some in without if _any_runs(tensors, some, runs)), [])


def _but(places: list[Place], one: Place) -> list[Place]:
    return [place for place in places if place != one]


def _any_runs(tensors: Tensors, places: list[Place], runs: Runs) -> bool:
    return any(_changed_runs(tensors, places, size, runs) for size in _others(_size(tensors, places), places))


def _others(size: int, places: Sequence[Place]) -> tuple[int, ...]:
    """Other sizes to try: one more, twice as many (pictures have a grid), fewer (a model's longest row may be full)."""
    if all(dim == 0 for _, dim in places):
        return (size + 1,)
    return tuple(each for each in dict.fromkeys((size + 1, 2 * size, size - 1, size // 2)) if each > 1)


def _changed_runs(tensors: Tensors, places: Sequence[Place], size: int, runs: Runs) -> bool:
    return runs(resized(tensors, dict.fromkeys(places, size)))


def _with_names(groups: list[Group]) -> list[Group]:
    """Named: batch for what counts examples, length for the one other; with the input's name where there are more."""
    rows = [group for group in groups if group.rows]
    others = [group for group in groups if not group.rows]
    return [*_named(rows, "batch"), *_named(others, "length")]


def _named(groups: list[Group], word: str) -> list[Group]:
    found = []
    for number, group in enumerate(groups):
        name, dim = group.places[0]
        usual = dim == 0 or dim == 1
        called = word if not number and usual else f"{name}_{word}" if usual else f"{name}_size_{dim}"
        found.append(replace(group, name=called))
    return found
