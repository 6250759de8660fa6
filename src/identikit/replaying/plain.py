"""The plain loop: every plan runs the whole model on every batch. The truth that the other engines are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from identikit.batches import Batch
from identikit.replaying.edited import Edited
from identikit.replaying.passes import Passes
from identikit.structure.override import overriding

Numbered = tuple[int, Batch]  # a batch and its number in the data
#: (the plan, the batch's place in the group, the model's output); None for a plan is the full model.
Outputs = Iterator[tuple[Edited | None, int, Any]]


class Plain:
    """The plain loop."""

    name = "loop"

    def __init__(self, passes: Passes) -> None:
        self._passes = passes

    def outputs(self, group: Sequence[Numbered], plans: Sequence[Edited], *, full: bool) -> Outputs:
        """The full model's outputs where asked for, then those under each plan."""
        for place, (number, batch) in enumerate(group):
            if full:
                yield None, place, self.output(number, batch)
            for edited in plans:
                yield edited, place, self.output(number, batch, edited)

    def group_size(self) -> int:
        """How many batches the next group should hold."""
        return 1

    def output(self, number: int, batch: Batch, edited: Edited | None = None) -> Any:
        """One pass."""
        less = edited.idle if edited is not None else frozenset[str]()
        run = self._counted(self._passes.runner(batch, number), batch.examples, less)
        return edited.run(run) if edited is not None else run()

    def _counted(self, run: Callable[[], Any], rows: int, less: frozenset[str]) -> Callable[[], Any]:
        def counting() -> Any:
            layers = {path: module for path, module in self._passes.layers.items() if path not in less}
            with overriding(layers, self._passes.counting(rows, less)):
                return run()

        return counting
