"""One watched forward pass: which module was called when, with which tensors, and who read what."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

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
    """An operation that read a tensor's values: when, inside which call, was it an addition, did it write in place."""

    tick: int
    caller: Call | None
    adds: bool
    mutates: bool


@dataclass(eq=False)
class Watched:
    """What one pass showed. Tensors are held, so that no identity is used twice."""

    calls: list[Call] = field(default_factory=list)
    output: Any = None
    reads: dict[int, list[Read]] = field(default_factory=lambda: defaultdict(list))
    by_path: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    takers: dict[int, list[tuple[Call, Location]]] = field(default_factory=lambda: defaultdict(list))
    makers: dict[int, list[tuple[Call, Path]]] = field(default_factory=lambda: defaultdict(list))
    returned: dict[int, list[Call]] = field(default_factory=lambda: defaultdict(list))
    operations: list[tuple[list[torch.Tensor], Any]] = field(default_factory=list)

    def readers(self, tensor: torch.Tensor, outside: Call) -> list[Read]:
        """The operations that read `tensor`'s memory other than during the call `outside`."""
        return [read for read in self.reads[memory(tensor)] if not outside.start <= read.tick <= outside.end]

    def reached_from(self, output: Any) -> set[int]:
        """The memory of every tensor that was computed from `output`."""
        reached = {memory(value) for _, value in leaves(output) if isinstance(value, torch.Tensor)}
        for inputs, result in self.operations:
            if any(memory(value) in reached for value in inputs):
                reached |= {memory(value) for _, value in leaves(result) if isinstance(value, torch.Tensor)}
        return reached


def memory(tensor: torch.Tensor) -> int:
    """A number that all views of one piece of memory share."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and wrapper tensors have no storage of their own
        return id(tensor)


def version(tensor: torch.Tensor) -> int:
    """How often a tensor was written into; a tensor made in inference mode does not count, and stands at 0."""
    return 0 if tensor.is_inference() else tensor._version


def watch(model: nn.Module, run: Callable[[], Any]) -> Watched:
    """Watch `run()`, a forward pass of `model`, without leaving a trace in it."""
    watched = Watched()
    recorder = _Recorder(watched)
    with traceless(model), overriding(dict(model.named_modules()), recorder.wrap), recorder:
        watched.output = run()
    return watched


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
        self._open.pop()
        for path, tensor in call.tensors_out():
            self._watched.makers[id(tensor)].append((call, path))
            self._watched.returned[memory(tensor)].append(call)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tick += 1
        result = func(*args, **(kwargs or {}))
        inputs = [value for _, value in leaves((args, kwargs or {})) if isinstance(value, torch.Tensor)]
        self._watched.operations.append((inputs, result))
        if not _only_looks(func):
            caller, adds = self._open[-1] if self._open else None, _adds(func)
            written = {id(tensor) for tensor in _written(func, args)}
            for tensor in inputs:
                read = Read(self._tick, caller, adds, id(tensor) in written)
                self._watched.reads[memory(tensor)].append(read)
        return result


def _only_looks(func: Any) -> bool:
    """Whether an operation makes a view and reads no value."""
    return any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)


def _written(func: Any, args: Any) -> list[torch.Tensor]:
    """The positional arguments that an operation changes in place."""
    schema = zip(func._schema.arguments, args, strict=False)
    changed = (value for argument, value in schema if argument.alias_info is not None and argument.alias_info.is_write)
    return [tensor for value in changed for _, tensor in leaves(value) if isinstance(tensor, torch.Tensor)]


def _adds(func: Any) -> bool:
    return func._schema.name in ("aten::add", "aten::add_", "aten::sub", "aten::sub_")


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
