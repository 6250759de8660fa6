"""One recorded call of a layer, run again in float64 with some inner calls answered otherwise: what its last sum is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from identikit.compensating.sums import Sums, summing
from identikit.structure.override import Forward, overriding
from identikit.structure.replay import Key, Recording, Seen
from identikit.structure.watch import Call


class Rerun:
    """A layer's call; `numel` is how many values its stream has.

    sum: the last sum of so many values; None where there is none. tail: the modules that were called after it.
    """

    def __init__(self, call: Call, numel: int) -> None:
        self._numel = numel
        with summing():
            self._recording = Recording(call)
        self.sum, self.tail = self._run({})

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules inside the copy, by their path there."""
        return self._recording.modules

    def once(self) -> dict[str, Seen]:
        """What the modules that are called once took and returned, by path."""
        seen = self._recording.seen
        return {path: call for (path, nth), call in seen.items() if path in self.modules and (path, 1) not in seen}

    def moved(self, answers: dict[str, torch.Tensor] | None = None) -> torch.Tensor | None:
        """By how much the last sum changes with the calls of these modules answered so; None where it is another."""
        after, _ = self._run({(path, 0): value for path, value in (answers or {}).items()})
        return None if after is None or self.sum is None or after.shape != self.sum.shape else after - self.sum

    def _run(self, frozen: dict[Key, Any]) -> tuple[torch.Tensor | None, tuple[str, ...]]:
        with summing() as sums:
            noted = _Noted(sums, self._numel)
            with overriding(self.modules, noted.around):
                self._recording.run(frozen)
        return sums.last.get(self._numel), noted.after_the_last()


class _Noted:
    """Which modules were called since the last sum."""

    def __init__(self, sums: Sums, numel: int) -> None:
        self._sums, self._numel = sums, numel
        self._calls: list[tuple[int, str]] = []

    def around(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            self._calls.append((self._made, path))
            return forward(*args, **kwargs)

        return run

    def after_the_last(self) -> tuple[str, ...]:
        return tuple(path for made, path in self._calls if made == self._made)

    @property
    def _made(self) -> int:
        return self._sums.count.get(self._numel, 0)
