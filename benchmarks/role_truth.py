"""What the operations of a pass say of a layer's output: which addition it goes into, and how. No proof is asked.

The truth for benchmarks/roles.py, by another way than identikit's: identikit changes values and looks at what comes
out; here nothing is changed, every operation of one pass is written down and the layer's output is followed from one to
the next. It reaches an addition through views and copies ("pre-norm"; "post-norm" where the sum is not the stream but
what something behind it makes of the sum), or through products with factors as well ("scaled"). The other term must be
something the layer's output was computed from. `without` runs the model again with that term alone for the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

MOVES = {
    *("clone", "contiguous", "_to_copy", "copy_", "permute", "view", "reshape", "_unsafe_view", "roll", "transpose"),
    *("t", "slice", "select", "unsqueeze", "squeeze", "expand", "alias", "detach", "unbind", "split", "chunk"),
    *("as_strided", "split_with_sizes", "native_dropout", "dropout", "_reshape_alias", "lift_fresh", "cat", "flip"),
    *("index", "index_put_"),
}  # fmt: skip
UNSEEN = "aten::detach"  # a view; torch makes some in the one run and not in the other
ADDS = {"add", "add_", "sub", "sub_", "addcmul", "addcmul_"}
PRODUCTS = {"mul", "mul_", "div", "div_"}


@dataclass(eq=False)
class Op:
    name: str
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    inside: tuple[int, ...]  # the open calls, by number


@dataclass(eq=False)
class Called:
    path: str
    weights: bool
    start: int
    end: int = -1
    output: torch.Tensor | None = None
    beside: tuple[torch.Tensor, ...] = ()  # its other outputs


@dataclass(frozen=True)
class Addition:
    """The first addition that a layer's output goes into: its number, which of its terms that is, and the class.

    `beside`: number and term for its other outputs (tokens and global tokens, each added to its own stream).
    """

    number: int
    term: int
    kind: str
    beside: tuple[tuple[int, int], ...] = ()


@dataclass(eq=False)
class Tape(TorchDispatchMode):
    """Every operation and every call of one pass."""

    ops: list[Op] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    open: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tensors((args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        if func._schema.name == UNSEEN:
            return result
        self.ops.append(Op(func._schema.name.removeprefix("aten::"), given, tensors(result), tuple(self.open)))
        return result


def tensors(tree: Any) -> list[torch.Tensor]:
    """Every tensor inside, in order."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [found for value in tree.values() for found in tensors(value)]
    if isinstance(tree, (tuple, list)):
        return [found for value in tree for found in tensors(value)]
    return [found for value in vars(tree).values() for found in tensors(value)] if hasattr(tree, "__dict__") else []


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def taped(model: nn.Module, run: Callable[[], Any]) -> Tape:
    """The tape of one run."""
    tape = Tape()
    with torch.no_grad(), wrapped(model, tape), tape:
        run()
    return tape


@contextmanager
def wrapped(model: nn.Module, tape: Tape) -> Iterator[None]:
    """Every module's forward says when it begins and ends (a hook would switch torch's encoder layers)."""
    held = {module: vars(module).get("forward") for module in model.modules()}

    def note(path: str, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            weights = any(True for _ in module.parameters())
            tape.calls.append(Called(path, weights, len(tape.ops)))
            own = len(tape.calls) - 1
            tape.open.append(own)
            output = forward(*args, **kwargs)
            tape.open.pop()
            tape.calls[own].end = len(tape.ops)
            floating = [value for value in tensors(output) if value.is_floating_point()]
            tape.calls[own].output = next(iter(floating), None)
            tape.calls[own].beside = tuple(floating[1:])
            return output

        return noted

    try:
        for path, module in model.named_modules():
            vars(module)["forward"] = note(path, module, module.forward)
        yield
    finally:
        for module, forward in held.items():
            vars(module).pop("forward", None)
            if forward is not None:
                vars(module)["forward"] = forward


def addition_of(tape: Tape, call: Called) -> Addition | None:
    """The residual addition that the call's output goes into and nothing else; None where there is none."""
    found = _addition_of(tape, call)
    if found is None or not call.beside:
        return found
    others = [_addition_of(tape, replace(call, output=other)) for other in call.beside]
    return replace(found, beside=tuple((other.number, other.term) for other in others if other is not None))


def _addition_of(tape: Tape, call: Called) -> Addition | None:
    if call.output is None:
        return None
    own, scaled = {memory(call.output)}, False
    streams: set[int] | None = None
    first: tuple[int, int] | None = None
    for number in range(call.end, len(tape.ops)):
        op = tape.ops[number]
        hit = [place for place, value in enumerate(op.inputs) if memory(value) in own]
        if not hit:
            continue
        others = [place for place in range(len(op.inputs)) if place not in hit]
        if op.name in MOVES and (op.name != "cat" or not others):
            own |= {memory(value) for value in op.outputs}
        elif op.name in PRODUCTS and len(hit) == 1:
            own |= {memory(value) for value in op.outputs}
            scaled = True
        elif op.name in ADDS and len(hit) == 1 and others and not (op.name.startswith("sub") and hit[0] == 0):
            streams = streams_of(tape, call) if streams is None else streams
            other = op.inputs[0] if hit[0] != 0 else op.inputs[1]
            scaled = scaled or op.name.startswith("addcmul")
            first = first or (number, hit[0])
            weighed = memory(other) in weighed_streams(tape, streams)
            if (memory(other) in streams or weighed) and other.numel() == op.outputs[0].numel():
                return Addition(*first, "scaled" if scaled or weighed else _where(tape, number))
            own |= {memory(value) for value in op.outputs}
        elif all(memory(value) in own for value in op.outputs):  # a view
            continue
        else:
            return None
    return None


def streams_of(tape: Tape, call: Called) -> set[int]:
    """The memory of what the call's output was computed from, and of every sum with it that holds no output of it."""
    found = ancestors(tape, call)
    assert call.output is not None
    own = {memory(call.output)}
    for op in tape.ops:
        if op.name in ADDS and op.outputs[0].numel() == call.output.numel():
            given = {memory(value) for value in op.inputs}
            if given & own:
                own |= {memory(value) for value in op.outputs}
            elif given & found:
                found |= {memory(value) for value in op.outputs}
    return found


def weighed_streams(tape: Tape, streams: set[int]) -> set[int]:
    """The memory of the streams times a number (LASR adds 2 parts of what enters to 1 part of what the layer makes)."""
    plain = (op for op in tape.ops if op.name in PRODUCTS and len(op.inputs) == 1)
    return {memory(op.outputs[0]) for op in plain if memory(op.inputs[0]) in streams}


def ancestors(tape: Tape, call: Called) -> set[int]:
    """The memory of everything that the call's output was computed from."""
    found = {memory(call.output)} if call.output is not None else set()
    for op in reversed(tape.ops[: call.end]):
        if any(memory(value) in found for value in op.outputs):
            found |= {memory(value) for value in op.inputs}
    return found


def _where(tape: Tape, number: int) -> str:
    """ "pre-norm" where the sum itself goes on (a later addition takes it, or the module around returns it)."""
    op = tape.ops[number]
    result = memory(op.outputs[0])
    if op.inside:
        around = tape.calls[op.inside[-1]]
        if around.output is not None and memory(around.output) == result and around.path:
            return "pre-norm"
    own = {result}
    for later in tape.ops[number + 1 :]:
        hit = [value for value in later.inputs if memory(value) in own]
        if hit and later.name in ADDS:
            return "pre-norm"
        if hit and later.name in MOVES:
            own |= {memory(value) for value in later.outputs}
    return "post-norm"


class Without(TorchDispatchMode):
    """At the layer's additions, the other term is the sum."""

    def __init__(self, addition: Addition) -> None:
        super().__init__()
        self.terms, self.number = dict([(addition.number, addition.term), *addition.beside]), -1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += func._schema.name != UNSEEN
        if self.number not in self.terms:
            return func(*args, **(kwargs or {}))
        given = tensors((args, kwargs or {}))
        other = given[1 if self.terms[self.number] == 0 else 0]
        if not func._schema.name.endswith("_"):
            return other.clone()
        return args[0] if other is args[0] else args[0].copy_(other)


def without(model: nn.Module, run: Callable[[], Any], addition: Addition) -> Any:
    """What the model returns with the addition's term left out."""
    with torch.no_grad(), Without(addition):
        return run()
