"""The checked pass: every edit ran, and nobody's tensor is written into through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.aftermath import written_later
from identikit.structure.trees import leaves
from identikit.structure.watch import counting, version
from identikit.surgery.forwards import EditedForward
from identikit.surgery.handle import Handle
from identikit.surgery.reach import not_called

#: What a forward pass may raise where a layer is missing that it relies on.
NOT_RUN = (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError)


def checked(anatomy: Anatomy, handle: Handle, edits: list[Edit], run: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    """The output of `run()` and each edit's calls in it; raises NotReachedError for an edit that never ran.

    The counting is gone afterwards: a counter in an edited forward would make torch.compile compile at every call.
    In this pass a bypassed layer hands out copies; where one of them was written into, or what the layer itself took
    or returned could be, it goes on doing so.
    """
    counters = {path: _Counted(override.forward) for path, override in handle.overrides.items()}
    for path, counter in counters.items():
        counter.written = written_later(anatomy.watched, path)
    for path, override in handle.overrides.items():
        override.replace(counters[path])
    try:
        with counting(anatomy.model):
            output = _run(anatomy, handle, run)
        for edit in edits:
            if not counters[edit.at].calls:
                not_called(anatomy, edit.at)
    finally:
        for path, override in handle.overrides.items():
            override.replace(counters[path].settled())
    return output, {edit.at: counters[edit.at].calls for edit in edits}


def _run(anatomy: Anatomy, handle: Handle, run: Callable[[], Any]) -> Any:
    """`run()`; raises RoleError where the model, which ran as it was, does not run without the layers."""
    try:
        return run()
    except NOT_RUN as cause:
        raise RoleError(
            f"{type(anatomy.model).__name__} does not run with {', '.join(handle.plan.places)} out of action "
            f"({type(cause).__name__}: {' '.join(str(cause).split())}); it was left as it was. Keep the layer, or edit "
            "one inside it."
        ) from cause


class _Counted(EditedForward):
    """An edited forward that counts its calls and watches the copies that it hands out."""

    def __init__(self, plain: EditedForward) -> None:
        self.plain = plain
        self._copying = plain.copying()
        self.calls = 0
        self.written = False
        self.handed: list[tuple[torch.Tensor, int]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        output = self._copying(*args, **kwargs)
        self.handed += [(value, version(value)) for _, value in leaves(output) if isinstance(value, torch.Tensor)]
        return output

    def settled(self) -> EditedForward:
        """The forward to keep: copying where somebody writes into the stream in place."""
        written = self.written or any(version(value) != before for value, before in self.handed)
        return self._copying if written else self.plain
