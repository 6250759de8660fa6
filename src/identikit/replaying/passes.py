"""One pass of a model over one batch, without a trace; cheaply many times over where a pass leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.replaying.draws import seed_all
from identikit.replaying.work import Work
from identikit.structure.override import Forward
from identikit.structure.traceless import traceless
from identikit.structure.watch import counting


class Passes:
    """Runs the model of `anatomy`. A model that draws random numbers draws the same ones under every plan.

    Noting all that a pass may change costs a fifth of a small pass. So it is done for each pass only where the first
    one showed that the model changes (it keeps a state); else once around all, by `session`.
    """

    def __init__(self, anatomy: Anatomy, seed: int, layers: Iterable[str]) -> None:
        """`layers`: the paths of the layers whose forwards count as work."""
        self.anatomy = anatomy
        self.model = anatomy.model
        self.work = Work()
        self._seed = seed
        self.layers = {path: self.model.get_submodule(path) for path in layers}
        self._open = False
        self._keeps_state: bool | None = None
        self.device = anatomy.device

    @property
    def keeps_state(self) -> bool:
        """Whether a pass changes the model, as far as the passes so far showed."""
        return self._keeps_state is not False

    @contextmanager
    def session(self) -> Iterator[None]:
        """Passes inside share one note of what the model was, put back at the end."""
        if self._open:
            yield
            return
        with self.anatomy.family.quiet(self.model), counting(self.model), traceless(self.model):
            self._open = True
            try:
                yield
            finally:
                self._open = False

    def runner(self, batch: Batch, number: int) -> Callable[[], Any]:
        """A function that runs the model on `batch`, the `number`-th of the data."""

        def run() -> Any:
            if not self._open or self._keeps_state is not False:
                return self._traceless(batch, number)
            return self._pass(batch, number)

        return run

    def _traceless(self, batch: Batch, number: int) -> Any:
        with self.anatomy.family.quiet(self.model), traceless(self.model) as changed:
            output = self._pass(batch, number)
            if self._keeps_state is not True:
                self._keeps_state = changed()
        return output

    def _pass(self, batch: Batch, number: int) -> Any:
        seed_all(self._seed + number, self.device)
        with torch.no_grad():  # `counting`, which may stand between this and the session, switches gradients on
            return batch.copied().call(self.model)  # a model may write into its inputs

    def counting(self, rows: int, less: frozenset[str] = frozenset()) -> Callable[[str, nn.Module, Forward], Forward]:
        """What wraps the forward of each layer to count `rows` at each call; those in `less` are out of action."""
        counted, work = self.layers.keys() - less, self.work

        def wrap(path: str, module: nn.Module, forward: Forward) -> Forward:
            if path not in counted:
                return forward

            def run(*args: Any, **kwargs: Any) -> Any:
                work.add(rows)
                return forward(*args, **kwargs)

            return run

        return wrap
