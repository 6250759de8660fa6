"""One pass of a model recorded: what each call on the way to the edited layers was given and returned.

Recorded under `no_grad`, where tensors count how often they are written into. Three things are noted beside the
outputs, because a replay that ignores them is wrong without a word: a call that changes what it was given, an output
that is written into after the call, and the random state at the head of an edited layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.replaying.draws import Draws
from identikit.structure.operations import memory
from identikit.structure.override import Forward, overriding
from identikit.structure.same_layout import same_layout
from identikit.structure.trees import Path, leaves, rebuilt
from identikit.structure.watch import version


@dataclass(eq=False)
class Step:
    """One call: `number` counts in the order of beginnings, `after` is the first step that begins once it ended."""

    path: str
    number: int
    draws: Draws | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None  # None: the arguments were not asked for
    output: Any = None
    after: int = 0
    computed: bool = False  # it changed what it was given: always computed, never handed out
    written: bool = False  # what it returned is written into later: copies are handed out

    def handed(self) -> Any:
        """The output in containers of its own, which a parent may fill or empty."""
        return rebuilt(self.output, _copy if self.written else _same)


class Recording:
    """A pass of a model: its steps in order, its output, and whether it drew random numbers."""

    def __init__(self, asked: Collection[str], sites: Collection[str], written: Collection[int]) -> None:
        """`asked`: the layers whose arguments are kept. `sites`: the layers that are edited later.

        `written`: the steps whose outputs an earlier pass showed to be written into; they are kept as copies.
        """
        self.steps: list[Step] = []
        self.output: Any = None
        self.drew = False
        self._asked, self._sites, self._written = asked, sites, written
        self._held: list[tuple[Step, torch.Tensor, int]] = []
        self._sealed: list[tuple[torch.Tensor, int]] = []

    def wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        """`forward`, noting each call."""

        def recorded(*args: Any, **kwargs: Any) -> Any:
            step = self._begin(path, args, kwargs)
            given = [leaf for _, leaf in leaves((args, kwargs))]
            before = [version(leaf) for leaf in given if isinstance(leaf, torch.Tensor)]
            try:
                output = forward(*args, **kwargs)
            finally:
                step.after = len(self.steps)
            now = [leaf for _, leaf in leaves((args, kwargs))]
            step.computed = len(now) != len(given) or any(a is not b for a, b in zip(now, given, strict=True))
            step.computed |= [version(leaf) for leaf in given if isinstance(leaf, torch.Tensor)] != before
            self._finish(step, output, given)
            return output

        return recorded

    def _begin(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:
        draws = Draws.now() if path in self._sites or not self.steps else None
        step = Step(path, len(self.steps), draws)
        if path in self._asked:
            step.args, step.kwargs = rebuilt((args, kwargs), _same)
        self.steps.append(step)
        return step

    def _finish(self, step: Step, output: Any, given: list[Any]) -> None:
        step.written = step.number in self._written
        if step.written and _views(output, given):
            step.computed = True  # a copy would no longer share the memory that is written into
        step.output = rebuilt(output, _copy if step.written and not step.computed else _same)
        for _, leaf in leaves(step.output):
            if isinstance(leaf, torch.Tensor):
                self._held.append((step, leaf, version(leaf)))

    def written_into(self) -> set[int]:
        """The steps whose outputs were written into since they were recorded."""
        return {step.number for step, leaf, before in self._held if version(leaf) != before}

    def damaged(self) -> bool:
        """Whether a replay wrote into what is handed out."""
        return any(version(leaf) != after for leaf, after in self._sealed)

    def seal(self) -> None:
        """The pass is over: from here on nobody may write into what was recorded."""
        self._sealed = [(leaf, version(leaf)) for step, leaf, _ in self._held if not step.computed]

    def tensors(self) -> list[torch.Tensor]:
        """Every tensor that is held as an output, one a memory."""
        return list({memory(leaf): leaf for _, leaf, _ in self._held}.values())

    def first(self, paths: Collection[str]) -> int:
        """The number of the first step of one of `paths`; behind the last step where none was called."""
        return next((step.number for step in self.steps if step.path in paths), len(self.steps))


class Recorder:
    """Records passes; what the first ones showed of a model (which outputs are written into) is kept for the next."""

    def __init__(self, modules: dict[str, nn.Module], sites: Collection[str], asked: Collection[str] = ()) -> None:
        self.modules = modules
        self._sites, self._asked = sites, asked
        self._written: set[int] = set()

    def record(
        self, run: Callable[[], Any], counted: Callable[[str, nn.Module, Forward], Forward] | None = None
    ) -> Recording:
        """`run()` recorded; once more where it shows an output that has to be kept as a copy.

        `counted` wraps each layer's own forward first (to count the work).
        """
        while True:
            recording = Recording(self._asked, self._sites, frozenset(self._written))

            def wrap(path: str, module: nn.Module, forward: Forward, recording: Recording = recording) -> Forward:
                return recording.wrap(path, module, counted(path, module, forward) if counted else forward)

            with overriding(self.modules, wrap):
                recording.output = run()
            recording.drew = recording.steps[0].draws != Draws.now()
            late = recording.written_into() - {step.number for step in recording.steps if step.computed}
            if late <= self._written:
                recording.seal()
                return recording
            self._written |= late


def _same(_: Path, leaf: Any) -> Any:
    return leaf


def _copy(_: Path, leaf: Any) -> Any:
    return same_layout(leaf) if isinstance(leaf, torch.Tensor) else leaf


def _views(output: Any, given: list[Any]) -> bool:
    """Whether an output shares memory with what the call was given."""
    entered = {memory(leaf) for leaf in given if isinstance(leaf, torch.Tensor)}
    return any(isinstance(leaf, torch.Tensor) and memory(leaf) in entered for _, leaf in leaves(output))
