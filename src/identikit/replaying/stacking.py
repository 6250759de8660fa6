"""Calls of one layer stacked along the batch: arguments joined, outputs split again, each tensor in its own dimension.

Which dimension of a tensor is the batch is learned from two passes, over one example and over two. It may be another
one for each tensor (LSTMs, attention biases with the heads folded in), or none (positions, one for all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from identikit.replaying.errors import NotReplayableError
from identikit.structure.trees import Path, at, leaves, rebuilt

Dims = Mapping[Path, int | None]


def batch_dims(one: Any, two: Any, what: str) -> dict[Path, int | None]:
    """The batch dimension of each tensor in a tree, None for a tensor without; `one` and `two` saw one and two rows.

    Raises NotReplayableError where the trees differ in more than that.
    """
    first, second = dict(leaves(one)), dict(leaves(two))
    if first.keys() != second.keys():
        raise NotReplayableError(f"{what} have another form with another number of examples")
    found: dict[Path, int | None] = {}
    for path, single in first.items():
        double = second[path]
        if not isinstance(single, torch.Tensor) or not isinstance(double, torch.Tensor):
            if type(single) is not type(double) or (isinstance(single, (int, float)) and single != double):
                raise NotReplayableError(f"{what} hold a value that changes with the number of examples")
            continue
        found[path] = _batch_dim(single, double, what)
    return found


def _batch_dim(one: torch.Tensor, two: torch.Tensor, what: str) -> int | None:
    if one.ndim != two.ndim or one.layout is not torch.strided or one.is_nested:
        raise NotReplayableError(f"{what} hold a tensor whose form depends on the examples")
    grown = [dim for dim, (size, twice) in enumerate(zip(one.shape, two.shape, strict=True)) if size != twice]
    if not grown:
        return None
    if len(grown) > 1 or two.shape[grown[0]] != 2 * one.shape[grown[0]]:
        raise NotReplayableError(f"{what} hold a tensor that grows by something else than the examples")
    return grown[0]


@dataclass(frozen=True)
class Member:
    """One call of the stack: the recorded arguments, with other tensors in some places, and how many examples."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    stream: Mapping[Path, torch.Tensor]
    examples: int


def joined(members: Sequence[Member], dims: Dims, *, copy: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of one call for all `members`. `copy`: the layer writes into them.

    Raises NotReplayableError where a stream without a batch dimension is not the same for all.
    """
    first = members[0]
    alone = len(members) == 1

    def leaf(path: Path, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if alone or dims.get(path) is None:
            own = first.stream.get(path, value)
            if any(not _same(member.stream.get(path, own), own) for member in members):
                raise NotReplayableError("a stream that holds no examples differs from branch to branch")
            return own.clone() if copy else own
        parts = [member.stream[path] if path in member.stream else _own(member, path) for member in members]
        return torch.cat(parts, dim=dims[path])  # type: ignore[arg-type]

    args, kwargs = rebuilt((first.args, dict(first.kwargs)), leaf)
    return args, kwargs


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one is other or torch.equal(one, other)


def _own(member: Member, path: Path) -> Any:
    return at((member.args, member.kwargs), path)


def split(output: Any, members: Sequence[Member], dims: Dims) -> list[Any]:
    """The output of each member. Raises NotReplayableError where it does not have the sizes that were recorded."""
    if len(members) == 1:
        return [output]
    found = dict(leaves(output))
    parts: dict[Path, Sequence[Any]] = {}
    for path, value in found.items():
        dim = dims.get(path)
        if not isinstance(value, torch.Tensor) or dim is None:
            parts[path] = [value] * len(members)
            continue
        examples = sum(member.examples for member in members)
        if value.shape[dim] % examples:
            raise NotReplayableError("a layer's output has another size than its examples together")
        sizes = [member.examples * (value.shape[dim] // examples) for member in members]
        parts[path] = value.split(sizes, dim)
    return [rebuilt(output, lambda path, _, number=number: parts[path][number]) for number in range(len(members))]  # type: ignore[misc]


class Alike:
    """Which recorded calls of one layer may stand in one stack: equal but for what the batch dimension holds."""

    def __init__(self) -> None:
        self._same: dict[tuple[int, int], bool] = {}
        self._held: list[Any] = []

    def calls(self, one: Any, other: Any, dims: Dims) -> bool:
        """Whether two trees of arguments differ in batch dimensions alone."""
        first, second = dict(leaves(one)), dict(leaves(other))
        if first.keys() != second.keys():
            return False
        return all(self._leaf(value, second[path], dims.get(path)) for path, value in first.items())

    def _leaf(self, one: Any, other: Any, dim: int | None) -> bool:
        if one is other:
            return True
        if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
            plain = isinstance(one, (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size))
            return plain and type(one) is type(other) and bool(one == other)
        if one.dtype != other.dtype or one.device != other.device or one.ndim != other.ndim:
            return False
        if dim is not None:
            sizes = zip(one.shape, other.shape, strict=True)
            return all(a == b for number, (a, b) in enumerate(sizes) if number != dim)
        key = (id(one), id(other))
        if key not in self._same:
            self._held += [one, other]  # an identity is not used twice while it is known
            self._same[key] = torch.equal(one, other)
        return self._same[key]
