"""The stacks of blocks of a model and what each block hands on, read off one pass; nothing of identikit takes part."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

Path = tuple[Any, ...]


@dataclass
class Call:
    """One call of a module: every tensor that it took and gave, cloned, by its place."""

    path: str
    taken: dict[Path, torch.Tensor]
    given: dict[Path, torch.Tensor]


@dataclass
class Stack:
    """A container whose children run one after another. `streams`: which output goes on in place of which input."""

    path: str
    depth: int
    blocks: list[str] = field(default_factory=list)
    streams: dict[Path, Path] = field(default_factory=dict)
    staged: bool = False  # not one to count: see `stacks_of`
    makes: dict[str, bool] = field(default_factory=dict)
    """Of each block, whether later blocks take a tensor from it that is no stream and that it did not take itself."""

    def cases(self) -> dict[str, list[str]]:
        """What to remove: one block (first, middle, last) and two neighbours in the middle; each choice once."""
        blocks, middle = self.blocks, (len(self.blocks) - 1) // 2
        found = {"first": blocks[:1], "middle": [blocks[middle]], "last": blocks[-1:]}
        pair = blocks[middle : middle + 2]
        numbers = [int(path.rpartition(".")[2]) for path in pair]
        if len(pair) == 2 and numbers[1] == numbers[0] + 1 and self.depth > 2:
            found["two"] = pair
        seen: list[list[str]] = []
        return {name: places for name, places in found.items() if not (places in seen or seen.append(places))}


def stacks_of(model: nn.Module, run: Any) -> list[Stack]:
    """The stacks of `model`'s blocks, in its order; `run()` is one pass.

    Of a stack in a member of a stack, one counts: the inner one where not all of the members keep the shape and what
    goes through the member goes through it (the members are stages), else the outer one (it is part of a block).
    """
    calls = _recorded(model, run)
    found: dict[str, Stack] = {}
    for path, module in model.named_modules():
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(module) > 1:
            own = [call for call in calls if call.path.rpartition(".")[0] == path]
            stack = _stack(path, module, own)
            if stack is not None:
                found[path] = stack
    for inner in list(found):
        outer = next((path for path in reversed(found) if inner.startswith(f"{path}.")), None)
        if outer is not None:
            member = f"{outer}.{inner.removeprefix(f'{outer}.').partition('.')[0]}"
            stages = len(found[outer].blocks) < found[outer].depth and _runs_through(calls, member, inner)
            found[outer if stages else inner].staged = True
    return [stack for stack in found.values() if not stack.staged]


def _runs_through(calls: list[Call], member: str, stack: str) -> bool:
    """Whether what the last layer of `stack` gives is what `member` gives, or what another module in it takes."""
    last = next(call for call in reversed(calls) if call.path.rpartition(".")[0] == stack)
    behind = [call for call in calls if call.path.startswith(f"{member}.") and not call.path.startswith(stack)]
    taken = [value for call in behind for value in call.taken.values()]
    given = [value for call in calls if call.path == member for value in call.given.values()]
    made = [value for value in last.given.values() if value.is_floating_point()]
    return any(a.shape == b.shape and torch.equal(a, b) for a in made for b in [*taken, *given])


def _stack(path: str, module: Any, calls: list[Call]) -> Stack | None:
    calls = [call for call in calls if call.path.rpartition(".")[2].isdecimal()]
    links = [(a, b, _handed(a, b)) for a, b in itertools.pairwise(calls) if a.path != b.path]
    if not any(handed for _, _, handed in links):
        return None
    stack = Stack(path, len(module))
    for a, _, handed in links:
        for out, into in handed:
            if into in a.taken and a.taken[into].shape == a.given[out].shape:
                stack.streams.setdefault(out, into)
    for call in calls:
        block = module[int(call.path.rpartition(".")[2])]
        composite = any(True for _ in block.children()) and any(True for _ in block.parameters())
        if call.path not in stack.blocks and composite and streams_of(call, stack.streams):
            stack.blocks.append(call.path)
    for a, _, handed in links:
        made = [out for out, into in handed if out not in stack.streams and into not in a.taken]
        made += [out for out, into in handed if stack.streams.get(out) == into and into not in a.taken]
        stack.makes[a.path] = bool(made)
    stack.blocks.sort(key=lambda each: int(each.rpartition(".")[2]))
    return stack if stack.blocks else None


def streams_of(call: Call, known: dict[Path, Path]) -> dict[Path, Path]:
    """Which outputs of this call stand for which inputs: what its stack hands on, else the first that fits."""
    fitting = {
        out: into
        for out, into in known.items()
        if out in call.given and into in call.taken and call.given[out].shape == call.taken[into].shape
    }
    if fitting or known:
        return fitting
    first = next(iter(call.given), None)
    if first is None:
        return {}
    into = next((name for name, value in call.taken.items() if value.shape == call.given[first].shape), None)
    return {first: into} if into is not None else {}


def _handed(a: Call, b: Call) -> list[tuple[Path, Path]]:
    """Outputs of `a` that `b` takes, with the place where it takes them; what `a` only hands through is none."""
    pairs = []
    for out, given in a.given.items():
        if not given.is_floating_point():
            continue
        for into, taken in b.taken.items():
            if given.shape == taken.shape and torch.equal(given, taken):
                own = a.taken.get(into)
                if own is None or own.shape != given.shape or not torch.equal(own, given):
                    pairs.append((out, into))
    return pairs


def _recorded(model: nn.Module, run: Any) -> list[Call]:
    """Every call, in the order in which they began."""
    calls: list[Call] = []
    undo = []
    for path, module in list(model.named_modules()):
        if path and not isinstance(module, nn.ModuleList):
            undo.append(override(module, _recording(path, module.forward, calls)))
    try:
        run()
    finally:
        for each in undo:
            each()
    return calls


def _recording(path: str, forward: Any, calls: list[Call]) -> Any:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        taken = {place: value.clone() for place, value in tensors(bound(forward, args, kwargs))}
        call = Call(path, taken, {})
        calls.append(call)
        output = forward(*args, **kwargs)
        call.given.update({place: value.clone() for place, value in tensors(output)})
        return output

    return recorded


def override(module: nn.Module, forward: Any) -> Any:
    """`forward` on the instance instead of the module's own; returns what puts it back."""
    before = vars(module).get("forward")
    vars(module)["forward"] = forward

    def undo() -> None:
        if before is None:
            vars(module).pop("forward", None)
        else:
            vars(module)["forward"] = before

    return undo


def bound(forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    found = inspect.signature(forward).bind(*args, **kwargs)
    flat: dict[str, Any] = {}
    for name, value in found.arguments.items():
        kind = found.signature.parameters[name].kind
        flat |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return flat


def tensors(tree: Any, place: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """Every tensor in nested tuples, lists and dictionaries, with the way to it."""
    if isinstance(tree, torch.Tensor):
        yield place, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from tensors(value, (*place, key))
    elif isinstance(tree, (list, tuple)):
        for key, value in enumerate(tree):
            yield from tensors(value, (*place, key))
