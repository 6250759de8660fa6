"""A copied block tried out by itself: does it hand its stream on untouched, and do its weights get a gradient?"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.families.anatomy import Anatomy
from identikit.structure.operations import memory, only_looks
from identikit.structure.override import Forward, overriding
from identikit.structure.replay import put
from identikit.structure.streams import Flow
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, at, leaves
from identikit.structure.watch import Location, located, parameter_names

CLOSE = 1e-6  # of the largest value of the stream; in 16 bits only equal bits are as near as that
#: What a block may raise under weights that it was not made for.
NOT_RUN = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
Streams = Mapping[Path, torch.Tensor]


class Trial:
    """`block`, a copy of the layer at `path`, on the arguments of that layer and what the layer returned.

    Two streams are tried: the layer's output, which is what a copy behind it takes; and the same values in another
    order, each made smaller at random. Those are other numbers, of signs and within bounds that the stream has.
    """

    def __init__(self, anatomy: Anatomy, path: str, block: nn.Module) -> None:
        self.block = block
        self._learning = {name: value.requires_grad for name, value in block.named_parameters()}
        self.path = path
        flow = anatomy.verdict(path).flow
        self.flow = flow if flow is not None else Flow()
        self._args, self._kwargs, output = _recorded(anatomy, path)
        self._names = parameter_names(anatomy.watched.by_path[path][0].module.forward)
        given = {path: at(output, path) for path in self.flow.streams}
        self.streams: list[Streams] = [{path: _other(value) for path, value in given.items()}, given]

    def off(self) -> float:
        """The largest difference between a stream and what the block makes of it, as a share of the stream's size."""
        worst = 0.0
        for streams in self.streams:
            try:
                out = self.run(streams)
                worst = max([worst, *(_apart(at(out, path), value) for path, value in streams.items())])
            except NOT_RUN:
                return math.inf
            if worst > CLOSE:
                break
        return worst

    def run(self, streams: Streams) -> Any:
        """What the block returns for other streams."""
        with traceless(self.block):
            return self._call(streams)

    def gradients(self) -> set[str]:
        """The weights of the block, by name, that a random gradient at its output reaches.

        Raises RuntimeError where the block has no backward pass.
        """
        floats = {name: value for name, value in self.block.named_parameters() if value.is_floating_point()}
        try:
            with traceless(self.block), torch.inference_mode(False), torch.enable_grad():
                for value in floats.values():
                    value.requires_grad_(True)
                out = self._call(self.streams[1])
                loss = sum((at(out, path) * _weighing(value)).sum() for path, value in self.streams[1].items())
                if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
                    return set()
                grads = torch.autograd.grad(loss, list(floats.values()), allow_unused=True)
        finally:
            for name, value in floats.items():
                value.requires_grad_(self._learning[name])
        return {name for name, grad in zip(floats, grads, strict=True) if grad is not None and bool((grad != 0).any())}

    def order_of_use(self) -> list[str]:
        """The floating weights, by name, in the order in which the block last reads them; unread ones are not in it.

        Read where a gradient is asked for: without, nn.TransformerEncoderLayer reads all of them at once.
        """
        reads = _Reads({memory(value): name for name, value in self.block.named_parameters()})
        with traceless(self.block), torch.inference_mode(False), torch.enable_grad(), reads:
            for value in self.block.parameters():
                if value.is_floating_point():
                    value.requires_grad_(True)
            try:
                self._call(self.streams[1])
            finally:
                for name, value in self.block.named_parameters():
                    value.requires_grad_(self._learning[name])
        floats = {name for name, value in self.block.named_parameters() if value.is_floating_point()}
        return [name for name in reads.last if name in floats]

    def _call(self, streams: Streams) -> Any:
        args, kwargs = copy.deepcopy((self._args, self._kwargs))
        for path, place in self.flow.streams.items():
            args, kwargs = put(self._names, args, kwargs, (place, streams[path].clone()))
        return self.block(*args, **kwargs)


class _Reads(TorchDispatchMode):
    """Notes which weight was read last, by the memory that it lies in."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = names
        self.last: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not only_looks(func):
            for _, value in leaves((args, kwargs or {})):
                name = self._names.get(memory(value)) if isinstance(value, torch.Tensor) else None
                if name is not None:
                    self.last.pop(name, None)
                    self.last[name] = None
        return func(*args, **(kwargs or {}))


def handed_on(flow: Flow, names: Sequence[str], args: Any, kwargs: Any) -> Streams:
    """The streams among a call's arguments, by the output that they go on in."""
    given: dict[Location, Any] = dict(located(list(names), args, kwargs))
    return {path: given[place].clone() for path, place in flow.streams.items() if place in given}


def apart(output: Any, streams: Streams) -> float:
    """How far an output is from the streams that should have been handed on."""
    return max((_apart(at(output, path), value) for path, value in streams.items()), default=math.inf)


def _recorded(anatomy: Anatomy, path: str) -> tuple[Any, Any, Any]:
    """What the layer takes at its first call, and what it returns, before anybody writes into it."""
    found: list[tuple[Any, Any, Any]] = []

    def wrap(_: str, module: nn.Module, forward: Forward) -> Forward:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            taken = copy.deepcopy((args, kwargs))
            output = forward(*args, **kwargs)
            if not found:
                found.append((*taken, copy.deepcopy(output)))
            return output

        return recorded

    with overriding({path: anatomy.model.get_submodule(path)}, wrap):
        anatomy.run()
    return found[0]


def _other(value: torch.Tensor) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(value.numel(), generator=draw)
    share = 0.25 + 0.75 * torch.rand(value.shape, generator=draw)
    return value.flatten()[order.to(value.device)].view(value.shape) * share.to(value)


def _weighing(value: torch.Tensor) -> torch.Tensor:
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(1)).to(value)


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    if torch.equal(one, other):
        return 0.0
    gap, size = (one.double() - other.double()).abs().max(), other.double().abs().max()
    share = float(gap) / max(float(size), 1e-30)
    return share if math.isfinite(share) else math.inf
