"""A plan made ready to be put on and taken off thousands of times: checked once, then only `forward`s change hands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from identikit.families.anatomy import Anatomy
from identikit.plan import REPLACING, Edit, Plan
from identikit.structure.override import Override
from identikit.surgery.check import checked
from identikit.surgery.forwards import EditedForward
from identikit.surgery.install import install


class Edited:
    """The model under `plan`. The first run is the plan's checked pass: an edit that never ran is an error there."""

    def __init__(self, anatomy: Anatomy, plan: Plan, edits: list[Edit]) -> None:
        """`edits`: what `check_plans` says that the plan means in the model as it is now."""
        self.plan = plan
        self.edits = edits
        self.paths = frozenset(edit.at for edit in self.edits)
        #: The layers that are not computed: one that is resampled is.
        self.idle = frozenset(edit.at for edit in self.edits if edit.op in REPLACING)
        self._anatomy = anatomy
        self._settled: dict[str, EditedForward] | None = None
        self._copying: dict[str, EditedForward] | None = None
        self._reached: frozenset[str] = frozenset()

    def reached(self) -> None:
        """All edits have run, outside of `run`: a later batch need not reach them."""
        self._reached = self.paths

    def run(self, run: Callable[[], Any], but: frozenset[str] = frozenset()) -> Any:
        """What `run()` gives while the plan is applied. `but`: edited layers that a replay hands out."""
        if not self.edits:
            return run()
        if self._settled is None:
            but |= self._reached
            with install(self._anatomy, self.plan, check=False, decoding=False, edits=self.edits) as handle:
                output = checked(self._anatomy, handle, [edit for edit in self.edits if edit.at not in but], run)[0]
                settled = {path: override.forward for path, override in handle.overrides.items()}
                self._settled = {path: own.copying() if path in but else own for path, own in settled.items()}
            return output
        with self._on(self._settled):
            return run()

    @contextmanager
    def applied(self, edits: Iterable[Edit]) -> Iterator[None]:
        """Some of the plan's edits on the model, handing out copies: for a layer that is called by itself."""
        if self._copying is None:
            with install(self._anatomy, self.plan, check=False, decoding=False, edits=self.edits) as handle:
                self._copying = {path: override.forward.copying() for path, override in handle.overrides.items()}
        with self._on({edit.at: self._copying[edit.at] for edit in edits}):
            yield

    @contextmanager
    def _on(self, forwards: dict[str, EditedForward]) -> Iterator[None]:
        with ExitStack() as undo:
            for path, forward in forwards.items():
                undo.callback(Override(self._anatomy.model.get_submodule(path), forward).undo)
            yield
