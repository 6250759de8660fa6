"""Which layers hand one stream to the next with nothing else on the way: runs of them may be called one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from identikit.places import inside
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.recording import Recording, Step
from identikit.replaying.stacking import Dims, batch_dims
from identikit.structure.operations import memory
from identikit.structure.trees import Path, leaves
from identikit.structure.watch import Call, Watched


@dataclass(frozen=True)
class Link:
    """One layer of a chain: the batch dimension of each tensor it takes and returns, and where the stream enters.

    `carried`: an argument, and which output of the layer before it is (of the first layer: none).
    """

    path: str
    dims: Dims
    outs: Dims
    carried: Mapping[Path, Path]


@dataclass(frozen=True)
class Segment:
    """Layers in a row, each called once, the stream handed on untouched."""

    links: tuple[Link, ...]

    def position(self, path: str) -> int | None:
        """The number of the layer that `path` is or lies in; None where it is outside."""
        found = (number for number, link in enumerate(self.links) if path == link.path or inside(path, link.path))
        return next(found, None)


def segments(watched: Watched, one: Recording, two: Recording, layers: Collection[str]) -> list[Segment]:
    """The chains of two layers and more. `one` and `two` are passes over one example and over two.

    Raises NotReplayableError, saying why, where there is none.
    """
    steps = [_steps(recording, layers) for recording in (one, two)]
    if [step.path for step in steps[0]] != [step.path for step in steps[1]]:
        raise NotReplayableError("other layers are called with another number of examples")
    reason, run = "no two of its layers stand in a row", list[Link]()
    found: list[list[Link]] = []
    reached: set[int] = set()
    for number, (single, double) in enumerate(zip(*steps, strict=True)):
        try:
            before = steps[1][number - 1] if run else None
            carried = _carried(watched, before, double, reached) if before is not None else {}
        except NotReplayableError as cause:
            reason, carried = str(cause), {}
        try:
            link = _link(single, double, carried)
        except NotReplayableError as cause:
            reason, link = str(cause), None
        if not carried or link is None:
            found, run = [*found, run], []
            reached = watched.reached_from(watched.by_path[double.path][0].output)
        if link is not None:
            run.append(link)
    chains = [Segment(tuple(links)) for links in [*found, run] if len(links) > 1]
    if not chains:
        raise NotReplayableError(reason)
    return chains


def _steps(recording: Recording, layers: Collection[str]) -> list[Step]:
    """The layers that were called once, in order, none of them inside another."""
    calls = Counter(step.path for step in recording.steps)
    once = [step for step in recording.steps if step.path in layers and calls[step.path] == 1]
    outer = [step for step in once if not any(inside(step.path, each.path) for each in once)]
    return [step for step in outer if not step.computed and step.kwargs is not None]


def _link(one: Step, two: Step, carried: Mapping[Path, Path]) -> Link:
    what = f'the arguments of "{two.path}"'
    dims = batch_dims((one.args, one.kwargs), (two.args, two.kwargs), what)
    return Link(two.path, dims, batch_dims(one.output, two.output, f'the outputs of "{two.path}"'), carried)


def _carried(watched: Watched, before: Step, step: Step, reached: set[int]) -> dict[Path, Path]:
    """The arguments of `step` that are what the layer before returned. NotReplayableError where more is between."""
    made = {id(leaf): path for path, leaf in leaves(before.output) if isinstance(leaf, torch.Tensor)}
    taken = {place: leaf for place, leaf in leaves((step.args, step.kwargs)) if isinstance(leaf, torch.Tensor)}
    carried = {place: made[id(leaf)] for place, leaf in taken.items() if id(leaf) in made}
    if not carried:
        raise NotReplayableError(f'"{step.path}" does not take what "{before.path}" returns')
    one, other = watched.by_path[before.path], watched.by_path[step.path]
    if len(one) != 1 or len(other) != 1:
        raise NotReplayableError(f'"{step.path}" is called more than once')
    _require_sealed(watched, one[0], other[0])
    for place, leaf in leaves((other[0].args, other[0].kwargs)):
        if isinstance(leaf, torch.Tensor) and place not in carried and memory(leaf) in reached:
            raise NotReplayableError(f'"{step.path}" takes a second value that depends on the layers before it')
    return carried


def _require_sealed(watched: Watched, call: Call, following: Call) -> None:
    """What `call` returns goes into `following` and nowhere else. Raises NotReplayableError where it does not."""
    entered = {memory(value) for _, value in call.tensors_in()}
    returned = {memory(value) for _, value in leaves(watched.output) if isinstance(value, torch.Tensor)}
    streams = {id(value) for _, value in following.tensors_in()}
    for _, value in call.tensors_out():
        if memory(value) in entered and id(value) not in streams:
            continue  # handed through: it depends on nothing in the chain
        later = (read for read in watched.readers(value, following) if read.tick > call.end)
        if any(True for _ in later) or memory(value) in returned or call.collected:
            raise NotReplayableError(f'what "{call.path}" returns is read again later, past "{following.path}"')
