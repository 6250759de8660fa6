"""One watched forward pass: which module was called when, with which tensors, and who read what."""

from __future__ import annotations

import inspect
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.structure.operations import adds, memory, only_looks, operands, written
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, leaves


@dataclass(frozen=True)
class Location:
    """Where a tensor sits in the arguments of a call: the parameter's name, its position, the way inside it."""

    name: str
    position: int | None
    path: Path = ()


@dataclass(eq=False)
class Call:
    """One call of a module; `start` and `end` are ticks of the pass's clock."""

    number: int
    path: str
    module: nn.Module
    parent: Call | None
    start: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[tuple[Location, Any]]
    output: Any = None
    end: int = -1
    entered: list[int] = field(default_factory=list)  # the version of each input tensor when the call began
    collected: bool = False  # by a hook that was on the module then: libraries collect outputs so

    def within(self, other: Call) -> bool:
        """Whether this call is `other` or happened during it."""
        return other.start <= self.start and self.end <= other.end

    @property
    def replayable(self) -> bool:
        """Whether the inputs still hold what the call was given."""
        return self.entered == [version(tensor) for _, tensor in self.tensors_in()]

    def tensors_in(self) -> list[tuple[Location, torch.Tensor]]:
        return [(place, value) for place, value in self.inputs if isinstance(value, torch.Tensor)]

    def tensors_out(self) -> list[tuple[Path, torch.Tensor]]:
        return [(path, value) for path, value in leaves(self.output) if isinstance(value, torch.Tensor)]


@dataclass(frozen=True)
class Read:
    """An operation that read a tensor's values: when, inside which call, was it an addition, did it write in place.

    `others`: the memory of the other floating operands of as many values, where it wrote in place.
    """

    tick: int
    caller: Call | None
    adds: bool
    mutates: bool
    others: tuple[int, ...] = ()


@dataclass(eq=False)
class Watched:
    """What one pass showed. Tensors are held, so that no identity is used twice."""

    calls: list[Call] = field(default_factory=list)
    output: Any = None
    reads: dict[int, list[Read]] = field(default_factory=lambda: defaultdict(list))
    looks: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # when a view of a memory was made
    by_path: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    takers: dict[int, list[tuple[Call, Location]]] = field(default_factory=lambda: defaultdict(list))
    makers: dict[int, list[tuple[Call, Path]]] = field(default_factory=lambda: defaultdict(list))
    returned: dict[int, list[Call]] = field(default_factory=lambda: defaultdict(list))
    operations: list[tuple[list[torch.Tensor], Any]] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)  # when each operation ran
    born: dict[int, int] = field(default_factory=dict)  # which operation made each memory that the pass made
    patched: set[str] = field(default_factory=set)  # modules with a forward of their own on the instance

    def readers(self, tensor: torch.Tensor, outside: Call) -> list[Read]:
        """The operations that read `tensor`'s memory other than during the call `outside`."""
        return [read for read in self.reads[memory(tensor)] if not outside.start <= read.tick <= outside.end]

    def during(self, call: Call) -> range:
        """The operations that ran during `call`, as places in `operations`."""
        return range(bisect(self.ticks, call.start), bisect(self.ticks, call.end))

    def reached_from(self, output: Any) -> set[int]:
        """The memory of every tensor that was computed from `output`."""
        reached = {memory(value) for _, value in leaves(output) if isinstance(value, torch.Tensor)}
        for inputs, result in self.operations:
            if any(memory(value) in reached for value in inputs):
                reached |= {memory(value) for _, value in leaves(result) if isinstance(value, torch.Tensor)}
        return reached


def version(tensor: torch.Tensor) -> int:
    """How often a tensor was written into; a tensor made in inference mode does not count, and stands at 0."""
    return 0 if tensor.is_inference() else tensor._version


def watch(model: nn.Module, run: Callable[[], Any]) -> Watched:
    """Watch `run()`, a forward pass of `model`, without leaving a trace in it."""
    watched = Watched()
    recorder = _Recorder(watched)
    with counting(model), traceless(model), overriding(dict(model.named_modules()), recorder.wrap), recorder:
        watched.output = run()
    return watched


@contextmanager
def counting(model: nn.Module) -> Iterator[None]:
    """Inside, tensors count how often they are written into, though the caller be in inference mode.

    A model that was itself made there stays in it: elsewhere its buffers could not be written.
    """
    own = (tensor for tensor in [*model.parameters(), *model.buffers()] if not is_lazy(tensor))
    made_there = any(tensor.is_inference() for tensor in own)
    with torch.inference_mode(made_there and torch.is_inference_mode_enabled()):
        yield


class _Recorder(TorchDispatchMode):
    """Notes calls through overridden forwards and reads through the dispatcher.

    The dispatcher, because a TorchFunctionMode or a hook would switch nn.TransformerEncoderLayer to another path.
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = watched
        self._tick = 0
        self._open: list[Call] = []

    def wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        if "forward" in vars(module):
            self._watched.patched.add(path)
        names = parameter_names(forward) or parameter_names(module.__class__.forward)[1:]

        def recorded(*args: Any, **kwargs: Any) -> Any:
            call = self._begin(path, module, args, kwargs, names)
            try:
                call.output = forward(*args, **kwargs)
                return call.output
            finally:
                self._finish(call)

        return recorded

    def _begin(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]
    ) -> Call:
        self._tick += 1
        watched, parent = self._watched, self._open[-1] if self._open else None
        call = Call(len(watched.calls), path, module, parent, self._tick, args, kwargs, located(names, args, kwargs))
        call.entered = [version(tensor) for _, tensor in call.tensors_in()]
        watched.calls.append(call)
        watched.by_path[path].append(call)
        for place, tensor in call.tensors_in():
            watched.takers[id(tensor)].append((call, place))
        self._open.append(call)
        return call

    def _finish(self, call: Call) -> None:
        self._tick += 1
        call.end = self._tick
        call.collected = bool(call.module._forward_hooks)
        self._open.pop()
        for path, tensor in call.tensors_out():
            self._watched.makers[id(tensor)].append((call, path))
            self._watched.returned[memory(tensor)].append(call)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tick += 1
        result = func(*args, **(kwargs or {}))
        inputs = [value for _, value in leaves((args, kwargs or {})) if isinstance(value, torch.Tensor)]
        self._note_made(inputs, result)
        if only_looks(func):
            for tensor in inputs:
                self._watched.looks[memory(tensor)].append(self._tick)
        else:
            caller, adding = self._open[-1] if self._open else None, adds(func)
            changed = {id(tensor) for tensor in written(func, args, kwargs or {})}
            for tensor in inputs:
                mutates = id(tensor) in changed
                others = operands(inputs, tensor) if mutates else ()
                self._watched.reads[memory(tensor)].append(Read(self._tick, caller, adding, mutates, others))
        return result

    def _note_made(self, inputs: list[torch.Tensor], result: Any) -> None:
        watched = self._watched
        known = {memory(tensor) for tensor in inputs}
        for _, made in leaves(result):
            if isinstance(made, torch.Tensor) and memory(made) not in known:
                watched.born.setdefault(memory(made), len(watched.operations))
        watched.operations.append((inputs, result))
        watched.ticks.append(self._tick)


def parameter_names(forward: Forward) -> list[str]:
    """The names of the parameters that can be given by position."""
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):  # built in C: positions only
        return []
    return [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]


def located(names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Location, Any]]:
    """Every leaf of the arguments with its location; the same for an argument given by name or by position."""
    found: list[tuple[Location, Any]] = []
    for position, value in enumerate(args):
        name = names[position] if position < len(names) else f"*{position}"
        found += [(Location(name, position, path), leaf) for path, leaf in leaves(value)]
    for name, value in kwargs.items():
        known = names.index(name) if name in names else None
        found += [(Location(name, known, path), leaf) for path, leaf in leaves(value)]
    return found
