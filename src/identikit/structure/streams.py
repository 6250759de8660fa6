"""Which output of a call goes on in place of which input: read off the chain in which layers hand tensors on.

A chain shows itself: the very tensor that one layer returns is what the next one takes. Nothing is perturbed here;
`replay.py` proves what a chain does not show.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from identikit.structure.operations import memory
from identikit.structure.trees import Path, leaves, shape_of
from identikit.structure.watch import Call, Location, Watched, version

_SMALL = 256


@dataclass(frozen=True)
class Flow:
    """What becomes of the tensors, numbers and objects that a layer returns, should the layer be absent.

    `streams`: this output goes on in place of that input. `passed`: this output is that input, handed through.
    `unread`: nothing reads this output later. `needed`: something does (or looks at it), and no input can stand in for
    it (of a number or an object nobody can see whether it is read).
    """

    streams: dict[Path, Location] = field(default_factory=dict)
    passed: dict[Path, Location] = field(default_factory=dict)
    unread: tuple[Path, ...] = ()
    needed: tuple[Path, ...] = ()


def flow(watched: Watched, call: Call) -> Flow:
    """Sort the outputs of `call`. A layer without a stream has no input of its output's shape and dtype."""
    result = Flow()
    unread: list[Path] = []
    needed: list[Path] = []
    taken: set[Location] = set()
    for path, output in sorted(call.tensors_out(), key=lambda item: not goes_on(watched, call, item[1])):
        through = next((place for place, value in call.tensors_in() if value is output), None)
        source = through or _source(watched, call, path, output, taken)
        read = _read_later(watched, call, output)
        if through is not None and version(output) == 0 and (result.streams or not goes_on(watched, call, output)):
            result.passed[path] = through
        elif source is not None and (read or not result.streams):
            result.streams[path] = source
            taken.add(source)
        else:
            viewed = any(tick > call.end for tick in watched.looks[memory(output)])  # and None has no view
            (needed if read or viewed else unread).append(path)
    for path, value in leaves(call.output):
        if isinstance(value, torch.Tensor) or fixed(value):
            continue
        given = _given(call, path, value)
        if given is None:
            needed.append(path)
        else:
            result.passed[path] = given
    return Flow(result.streams, result.passed, tuple(unread), tuple(needed))


def fixed(value: Any) -> bool:
    """Whether a layer returns this, other than a tensor, whatever it is given: nothing, a switch, a name."""
    return value is None or isinstance(value, (bool, str))


def _given(call: Call, path: Path, value: Any) -> Location | None:
    """The argument that a number or an object among the outputs is: the same object, or as large at the same place."""
    number = isinstance(value, (int, float, complex, torch.Size))
    same = [place for place, each in call.inputs if each is value or (number and _as_large(each, value))]
    for place in same:
        if path in ((place.position, *place.path), (place.name, *place.path)):
            return place
    # Python keeps one object for each small integer, and a number may stand in several places: neither tells anything.
    if number and (len(same) != 1 or (isinstance(value, int) and abs(value) <= _SMALL)):
        return None
    return next((place for place, each in call.inputs if each is value), None)


def _as_large(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def goes_on(watched: Watched, call: Call, output: torch.Tensor) -> bool:
    """Whether the very tensor is what a later call takes, or what the model returns."""
    if any(taker.start > call.end for taker, _ in watched.takers[id(output)]):
        return True
    return any(value is output for _, value in leaves(watched.output))


def in_chain(watched: Watched, call: Call, found: Flow) -> bool:
    """Whether `call` is a link of a chain: each stream is handed on, read by nobody else, and not added to anything."""
    inputs = dict(call.tensors_in())
    outputs = dict(call.tensors_out())
    if not found.streams or found.needed:
        return False
    for path, place in found.streams.items():
        output, entered = outputs[path], inputs[place]
        if not goes_on(watched, call, output) and not _sibling_flow(watched, call, path, place):
            return False
        since = call.start if _next_of_kind(watched, call, output, place) else 0
        if memory(output) != memory(entered) and _read_elsewhere(watched, call, entered, since):
            return False
        if _added_by_parents(watched, call, output):
            return False
    return True


def in_sequential(watched: Watched, call: Call, found: Flow) -> bool:
    """Whether `call` is a shape-keeping step of a running nn.Sequential: there, absent means handed on, by definition.

    An nn.Sequential whose parent loops over it does not run, and one whose forward was replaced may do anything.
    """
    parent = call.parent
    if parent is None or found.needed or () not in found.streams or parent.path in watched.patched:
        return False
    plain = type(parent.module).forward is nn.Sequential.forward
    return plain and _very_tensors(watched, call, parent, found) and not _added_by_parents(watched, call, call.output)


def _very_tensors(watched: Watched, call: Call, parent: Call, found: Flow) -> bool:
    """Whether the step takes what the one before it returned, and the next one what it returns: no hook between."""
    entered = dict(call.tensors_in())[found.streams[()]]
    inside = itertools.takewhile(lambda each: each.start < parent.end, watched.calls[parent.number + 1 :])
    steps = [each for each in inside if each.parent is parent]
    before = [each for each in steps if each.number < call.number][-1:]
    after = [each for each in steps if each.number > call.number][:1]
    given = before[0].tensors_out() if before else parent.tensors_in()
    taken = after[0].tensors_in() if after else parent.tensors_out()
    return any(value is entered for _, value in given) and any(value is call.output for _, value in taken)


def _source(
    watched: Watched, call: Call, path: Path, output: torch.Tensor, taken: Iterable[Location]
) -> Location | None:
    """The input that `output` could stand in for: same shape and dtype; of several, the one that the chain shows."""
    fitting = {
        place: value
        for place, value in call.tensors_in()
        if shape_of(value) == shape_of(output) and value.dtype == output.dtype and place not in taken
    }
    for taker, place in watched.takers[id(output)]:  # the next layer of the same class takes it under the same name
        if taker.start > call.end and type(taker.module) is type(call.module):
            mine = next((one for one in fitting if (one.name, one.path) == (place.name, place.path)), None)
            if mine is not None:
                return mine
    for place, value in fitting.items():  # the layer before handed it over at this place of its own output
        for before, where in watched.makers[id(value)]:
            if type(before.module) is type(call.module) and before.end < call.start and where == path:
                return place
    return next(iter(fitting)) if len(fitting) == 1 else None


def _sibling_flow(watched: Watched, call: Call, path: Path, place: Location) -> bool:
    """Whether the layer before, of the same class, handed its output at `path` to this call's `place`."""
    entered = dict(call.tensors_in())[place]
    return any(
        type(before.module) is type(call.module) and before.parent is call.parent and where == path
        for before, where in watched.makers[id(entered)]
        if before.end < call.start
    )


def _read_later(watched: Watched, call: Call, output: torch.Tensor) -> bool:
    """Whether any operation reads `output` after the call. Being returned by the model is not being read."""
    return any(read.tick > call.end for read in watched.readers(output, call))


def _next_of_kind(watched: Watched, call: Call, output: torch.Tensor, place: Location) -> bool:
    """Whether the next layer of the same class takes `output` where this call took its stream.

    Then what was computed from the stream before the call (a context, a mask) is no shortcut around it.
    """
    return any(
        type(taker.module) is type(call.module) and taker.start > call.end and where.name == place.name
        for taker, where in watched.takers[id(output)]
    )


def _read_elsewhere(watched: Watched, call: Call, entered: torch.Tensor, since: int) -> bool:
    """Whether an operation outside the call, after `since`, reads what the call takes, less those that made it."""
    makers = [each for each in watched.returned[memory(entered)] if each.end < call.start]
    for read in watched.readers(entered, call):
        if read.tick < since:
            continue
        made = any(maker.start <= read.tick <= maker.end for maker in makers)
        written = read.mutates and read.tick < call.start
        if not made and not written and not _prepares(watched, read.caller, call):
            return True
    return False


def _prepares(watched: Watched, reader: Call | None, call: Call) -> bool:
    """Whether a layer beside `call` read the stream for it alone: the norm in front, whose output goes nowhere else.

    A layer with matrices is no such preparation: it is half of what the two compute together.
    """
    while reader is not None and reader.parent is not call.parent:
        reader = reader.parent
    if reader is None or reader.end > call.start or any(p.ndim > 1 for p in reader.module.parameters()):
        return False
    taken = {id(value) for _, value in call.tensors_in()}
    made = [value for _, value in reader.tensors_out()]
    later = (read for value in made for read in watched.readers(value, call) if read.tick > reader.end)
    return bool(made) and all(id(value) in taken for value in made) and not any(later)


def _added_by_parents(watched: Watched, call: Call, output: torch.Tensor) -> bool:
    """Whether a module around the call adds the output to something: then it may be a branch.

    An operation inside a module without weights that writes another tensor into the output counts for the call around.
    """
    parents: list[Call | None] = [None]
    parent = call.parent
    while parent is not None:
        parents.append(parent)
        parent = parent.parent
    later = [read for read in watched.readers(output, call) if read.tick > call.end]
    if any(read.adds and read.caller in parents for read in later):
        return True
    joining = [read for read in later if read.others and _worked_in(read.caller) in parents]
    own = _made_of(watched, call, output) if joining else set()
    return any(other not in own for read in joining for other in read.others)


def _worked_in(caller: Call | None) -> Call | None:
    """The call that an operation belongs to, modules without weights looked through."""
    while caller is not None and not any(True for _ in caller.module.parameters()):
        caller = caller.parent
    return caller


def _made_of(watched: Watched, call: Call, output: torch.Tensor) -> set[int]:
    """The memory of what was computed after the call from its output alone (as an activation does), and its own."""
    own = {memory(output)}
    for inputs, result in watched.operations[watched.during(call).stop :]:
        known = {memory(value) for value in inputs}
        operands = {memory(v) for v in inputs if v.is_floating_point() and v.numel() == output.numel()}
        if known & own and operands <= own:
            own |= {memory(value) for _, value in leaves(result) if isinstance(value, torch.Tensor)}
    return own
