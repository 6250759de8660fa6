"""Hidden states read off a pass as it runs: the layers' `forward` is overridden, and gives what it gave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from identikit.healing.pairs import Tap
from identikit.structure.override import Forward, overriding
from identikit.structure.trees import at
from identikit.structure.watch import Location
from identikit.surgery.forwards import Taken


class Capture:
    """What each tap saw in the latest pass. States are copied as they pass by: a layer may write into them later."""

    def __init__(self, taps: Sequence[Tap]) -> None:
        self._taps = taps
        self._seen: dict[Tap, torch.Tensor] = {}
        self._open = False

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Read `model` while the block lasts."""
        by_path: dict[str, list[Tap]] = defaultdict(list)
        for tap in self._taps:
            by_path[tap.path].append(tap)
        modules = {path: model.get_submodule(path) for path in by_path}

        def reading(path: str, module: nn.Module, forward: Forward) -> Forward:
            taps = by_path[path]

            def read(*args: Any, **kwargs: Any) -> Any:
                for tap in taps:
                    if isinstance(tap.place, Location):
                        self._note(tap, Taken(tap.place).of(args, kwargs))
                output = forward(*args, **kwargs)
                for tap in taps:
                    if not isinstance(tap.place, Location):
                        self._note(tap, at(output, tap.place))
                return output

            return read

        with overriding(modules, reading):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One pass; what runs outside of it (a backward that computes layers again) is not read."""
        self._seen.clear()
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def state(self, tap: Tap) -> torch.Tensor:
        """What `tap` saw in the latest pass."""
        return self._seen[tap]

    def forget(self) -> None:
        """Let go of the states: they hold the graph of a pass."""
        self._seen.clear()

    def _note(self, tap: Tap, value: torch.Tensor) -> None:
        if self._open and tap not in self._seen:
            self._seen[tap] = value.clone()
