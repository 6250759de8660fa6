"""One output of one inner call on trial: the block around it run again with that output and a stream changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from identikit.structure.noise import first_floating, replaced, same, tensors
from identikit.structure.replay import Key, Recording, Seen
from identikit.structure.trees import Path, at
from identikit.structure.watch import Location


class Trial:
    """`y` is what the call `key` returned at `place`. Frozen: `y` itself, and all that it does not reach.

    The modules around it stay live, and so do those that hand their input through (a shortcut written as a module).
    """

    def __init__(self, recording: Recording, key: Key, place: Path) -> None:
        self.recording, self.key, self.place = recording, key, place
        self.record = recording.seen[key]
        self.y: torch.Tensor = at(self.record.output, place)
        reached = recording.downstream(key, place)
        held = {each: seen.output for each, seen in recording.seen.items() if each not in reached}
        self.unreached = {each: output for each, output in held.items() if key not in recording.seen[each].inside}
        through = {each for each in self.unreached if each != key and _hands_through(recording.seen[each])}
        self.frozen = {each: output for each, output in self.unreached.items() if each not in through}

    def repeats(self) -> bool:
        """Whether the block, run again unchanged, gives the recorded output bit for bit."""
        return same(self.recording.run(self.frozen), self.recording.output)

    def earlier(self) -> Iterator[Key]:
        """The calls that returned a tensor from which y is computed, and that lie in no other call."""
        for each, output in self.unreached.items():
            seen = self.recording.seen[each]
            nested = any(each in other.inside for other in self.recording.seen.values())
            before = seen.ended < self.record.ended and each not in self.record.inside
            held = before and not nested and first_floating(output) is not None
            if held and self.key in self.recording.downstream(each):
                yield each

    def held(self, stream: Location | Key) -> torch.Tensor:
        """What a stream held in the recorded call: an argument, or what an earlier inner call returned."""
        if isinstance(stream, Location):
            return dict(self.recording.entries())[stream]
        return next(value for value in tensors(self.unreached[stream]) if value.is_floating_point())

    def run(
        self, y: torch.Tensor, stream: Location | Key | None = None, moved: Any = None, *, live: bool = False
    ) -> Any:
        """The block's output with another y, and `moved` in the place of a stream.

        `live`: nothing but these two is frozen.
        """
        calls: dict[Key, Any] = {} if live else dict(self.frozen)
        calls[self.key] = replaced(self.record.output, y, self.place)
        if isinstance(stream, Location):
            return self.recording.run(calls, (stream, moved))
        if stream is not None:
            calls[stream] = replaced(self.unreached[stream], moved)
        return self.recording.run(calls)


def _hands_through(seen: Seen) -> bool:
    """Whether a call returned one of its arguments, value for value."""
    given = tensors((seen.args, seen.kwargs))
    return isinstance(seen.output, torch.Tensor) and any(_equal(seen.output, value) for value in given)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
