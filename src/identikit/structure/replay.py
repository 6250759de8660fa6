"""Running one recorded call again, with some inner calls frozen at their records and some values changed.

In float64 where the block's operations have it, else in float32.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from identikit.batches import map_tensors
from identikit.structure.noise import noise_for, same, shifted
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, at, rebuilt
from identikit.structure.watch import Call, Location, located, parameter_names

Key = tuple[str, int]  # a module's path inside the block and the how-manieth call of it


class DivergedError(Exception):
    """A replay took another way than the recorded call (routing, early exit): nothing is proved."""


#: What a replay may raise where the copy does not run as the block did: then nothing is proved.
NOT_PROVED = (
    DivergedError,
    RuntimeError,
    TypeError,
    ValueError,
    StopIteration,
    AssertionError,  # `assert x.dtype == torch.float32`
    LookupError,  # a table by dtype
    AttributeError,
)


@dataclass
class Seen:
    """What one inner call was given and returned, which calls happened inside it, and when it ended."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None
    inside: list[Key] = field(default_factory=list)
    ended: int = 0


class Recording:
    """One call of a block, recorded so that it can be run again with changes."""

    def __init__(self, call: Call) -> None:
        self.seen: dict[Key, Seen] = {}
        self._pass: dict[Key, Seen] = {}
        try:
            self._record(call, torch.float64)
        except NOT_PROVED:  # an operation without float64 (grouped matrix products), a layer that asks for float32
            self._record(call, torch.float32)
        self.seen = self._pass

    def _record(self, call: Call, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.block = copy.deepcopy(call.module).to(dtype)
        self.block.eval()  # on its own line: a train() of the user's may return nothing
        self.args, self.kwargs = _as_dtype((call.args, call.kwargs), dtype)
        self.parameters = parameter_names(self.block.forward)
        self.modules = {path: module for path, module in self.block.named_modules() if path}
        self.output = self.run()

    def run(self, frozen: Mapping[Key, Any] | None = None, entry: tuple[Location, torch.Tensor] | None = None) -> Any:
        """The block's output with `frozen` calls answered by a value and another tensor at `entry`."""
        running = _Running(self.seen, frozen or {})
        args, kwargs = put(self.parameters, *copy.deepcopy((self.args, self.kwargs)), entry)
        with traceless(self.block), overriding(self.modules, running.wrap):
            output = self.block(*args, **kwargs)
        self._pass = running.seen
        return output

    def entries(self) -> list[tuple[Location, torch.Tensor]]:
        """The floating tensors that enter the block, each with its place."""
        found = located(self.parameters, self.args, self.kwargs)
        return [(place, leaf) for place, leaf in found if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]

    def downstream(self, key: Key, place: Path | None = None) -> set[Key]:
        """The calls that a change of `key`'s output (at `place`) reaches."""
        record = self.seen[key]
        before = {each: seen.output for each, seen in self.seen.items() if seen.ended < record.ended}
        noise = noise_for(record.output if place is None else at(record.output, place), 1.0)
        self.run({**before, key: shifted(record.output, noise, place)})
        later = [each for each in self.seen if each not in before and each != key]
        passed = self._pass
        return {each for each in later if each not in passed or not same(passed[each].output, self.seen[each].output)}

    def key_of(self, call: Call, parent: Call, calls: list[Call]) -> Key:
        """The key of `call`, which happened during `parent`."""
        path = call.path.removeprefix(parent.path + ".") if parent.path else call.path
        return path, sum(each.path == call.path and each.within(parent) and each.number < call.number for each in calls)


class _Running:
    """The state of one replay: how often each module was called so far, and what is open."""

    def __init__(self, record: Mapping[Key, Seen], frozen: Mapping[Key, Any]) -> None:
        self.record, self.frozen = record, frozen
        self.counts: Counter[str] = Counter()
        self.seen: dict[Key, Seen] = {}
        self.open: list[Seen] = []
        self.ended = 0

    def wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        def replayed(*args: Any, **kwargs: Any) -> Any:
            key = (path, self.counts[path])
            self.counts[path] += 1
            if self.record and key not in self.record:
                raise DivergedError(path)
            for outer in self.open:
                outer.inside.append(key)
            seen = self.seen[key] = Seen(*map_tensors((args, kwargs), torch.clone))
            if key in self.frozen:
                self.counts.update(inner for inner, _ in self.record[key].inside)
                output = map_tensors(self.frozen[key], torch.clone)
            else:
                self.open.append(seen)
                output = forward(*args, **kwargs)
                self.open.pop()
            self.ended += 1
            seen.output, seen.ended = rebuilt(output, _clone), self.ended
            return output

        return replayed


def put(names: list[str], args: Any, kwargs: Any, entry: tuple[Location, torch.Tensor] | None) -> tuple[Any, Any]:
    """The arguments with the tensor of `entry` at its location."""
    if entry is None:
        return args, kwargs
    place, tensor = entry
    key = ("kwargs", place.name) if place.name in kwargs else ("args", place.position)
    tree = {"args": args, "kwargs": kwargs}
    tree = rebuilt(tree, lambda path, leaf: tensor if path == (*key, *place.path) else leaf)
    return tree["args"], tree["kwargs"]


def _as_dtype(tree: Any, dtype: torch.dtype) -> Any:
    """A deep copy with floating tensors in `dtype`."""

    def cast(_: Path, leaf: Any) -> Any:
        return leaf.to(dtype) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

    return rebuilt(copy.deepcopy(tree), cast)


def _clone(_: Path, leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf
