"""What enters a block compared with what leaves it, for all blocks in one pass over the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from identikit.batches import Batch, nth
from identikit.errors import MetricError, NotReachedError
from identikit.families.anatomy import Anatomy
from identikit.metrics.base import Floats
from identikit.metrics.positions import wide
from identikit.plan import Plan
from identikit.replacing.layout import LAST
from identikit.replacing.padding import counted_on, decoder_side
from identikit.scoring.by_example import as_rows, finite
from identikit.scoring.passes import run_plainly
from identikit.scoring.spans import Span, Strand, spans_of
from identikit.structure.override import Forward
from identikit.structure.trees import Path, at
from identikit.surgery.forwards import Taken

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # [..., features] twice -> [...], float64


def compared(
    anatomy: Anatomy,
    data: Iterable[Batch],
    plans: Mapping[str, Plan],
    measure: Measure,
    *,
    method: str,
    seed: int = 0,
    last: bool = False,
) -> dict[str, Floats]:
    """`measure` of each plan's span, averaged over the positions that count: name to [examples], in the data's order.

    One forward pass a batch, whatever the number of plans. `last`: of a stack that decodes with a cache (the family
    says so) only the last counted token of each row. A layer that is called several times in a pass has the mean of
    its calls. Raises RoleError for a plan that is no run of whole blocks, NotReachedError for one that did not run,
    MetricError for a value that is not finite or not one for each example.
    """
    reader = _Reader(anatomy, spans_of(anatomy, plans, method), measure, method, last)
    modules = {path: anatomy.model.get_submodule(path) for path in reader.paths}
    parts: list[dict[str, Floats]] = []
    device = anatomy.device
    for number, batch in enumerate(data):
        reader.begin(batch.to(device))
        run_plainly(anatomy, reader.batch, seed + number, modules, reader.around)
        parts.append(reader.end(number))
    return {name: np.concatenate([part[name] for part in parts]) for name in plans}


class _Reader:
    """Reads the calls of one batch: keeps what enters a span until it has left."""

    def __init__(self, anatomy: Anatomy, spans: Mapping[str, Span], measure: Measure, method: str, last: bool) -> None:
        self.batch = Batch()
        self.paths = sorted({path for span in spans.values() for path in (span.first, span.last)})
        self._anatomy = anatomy
        self._spans = spans
        self._measure = measure
        self._method = method
        self._last = {name for name, span in spans.items() if last and _decodes(anatomy, span.first)}
        self._entered: dict[str, dict[Path, torch.Tensor]] = {}
        self._open: Counter[str] = Counter()
        self._decoder: dict[str, bool | None] = {}
        self._sums: dict[str, torch.Tensor] = {}
        self._calls: Counter[str] = Counter()

    def begin(self, batch: Batch) -> None:
        self.batch = batch
        self._entered, self._open, self._sums, self._calls = {}, Counter(), {}, Counter()

    def end(self, number: int) -> dict[str, Floats]:
        """The values of the batch: name to [examples]."""
        found = {}
        for name in self._spans:
            if name not in self._sums:
                raise NotReachedError(
                    f'"{name}" did not run on the {nth(number)} batch of the data, so {self._method} has nothing to '
                    'compare there. Use method="exact", or leave it out (at=...).'
                )
            values = (self._sums[name] / self._calls[name]).cpu()
            found[name] = np.asarray(finite(values, layer=name, method=self._method).numpy(), dtype=np.float64)
        return found

    def around(self, path: str, _: nn.Module, forward: Forward) -> Forward:
        """`forward`, read at every call. What goes in is copied first: a layer may write into it."""
        starting = [span for span in self._spans.values() if span.first == path]
        ending = [span for span in self._spans.values() if span.last == path]
        strands = {strand.leaves: strand for span in starting for strand in span.strands}

        def read(*args: Any, **kwargs: Any) -> Any:
            if starting:
                entered = {leaf: Taken(each.enters).of(args, kwargs).clone() for leaf, each in strands.items()}
                self._entered[path] = entered
                self._open[path] = len(starting)
            output = forward(*args, **kwargs)
            for span in ending:
                self._take(span, output)
            return output

        return read

    def _take(self, span: Span, output: Any) -> None:
        entered = self._entered.get(span.first)
        if entered is None:
            raise MetricError(
                f'"{span.last}" ran without "{span.first}" before it, so {self._method} cannot compare what enters '
                'and leaves them. Use method="exact".'
            )
        pairs = [(strand, entered[strand.leaves], at(output, strand.leaves)) for strand in span.strands]
        parts = [self._strand(span, *pair) for pair in pairs]
        sums, counts = (torch.cat([part[which] for part in parts], dim=1).sum(dim=1) for which in (0, 1))
        if bool((counts == 0).any()):
            raise MetricError(
                f"row {int((counts == 0).nonzero()[0])} of a batch is all padding (attention_mask or labels) in "
                f'"{span.name}"; leave it out of the data.'
            )
        examples = (sums / counts).reshape(self.batch.examples, -1).mean(dim=1)
        self._sums[span.name] = self._sums[span.name] + examples if span.name in self._sums else examples
        self._calls[span.name] += 1
        self._open[span.first] -= 1
        if not self._open[span.first]:
            del self._entered[span.first]

    def _strand(
        self, span: Span, strand: Strand, entered: torch.Tensor, left: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The measure at each position, zero where it does not count, and which count: [rows, positions] of both."""
        if entered.shape != left.shape:
            shapes = " and returns ".join("x".join(map(str, value.shape)) for value in (entered, left))
            raise MetricError(f'"{span.name}" takes {shapes} on the data, so {self._method} cannot compare them.')
        here: dict[str, Any] = {"turned": strand.turned, "layer": span.name, "method": self._method}
        values = self._measure(*(wide(value).movedim(strand.axis, -1) for value in (entered, left)))
        mask = self._counted(span, strand, left) if strand.axis == LAST else None
        counts = torch.ones_like(values) if mask is None else mask.to(values)
        values, counts = as_rows(values, self.batch, **here), as_rows(counts, self.batch, **here)
        if span.name in self._last and strand.axis == LAST and left.ndim == 3:
            counts = _last_only(counts)
        return values.where(counts > 0, 0.0), counts

    def _counted(self, span: Span, strand: Strand, left: torch.Tensor) -> torch.Tensor | None:
        """Which tokens are no padding, by the mask of the layer's side, which is looked for once."""
        if span.last not in self._decoder:
            self._decoder[span.last] = decoder_side(self._anatomy.watched, strand.recorded)
        return counted_on(self._decoder[span.last], self._anatomy.watched, self.batch, left)


def _last_only(counts: torch.Tensor) -> torch.Tensor:
    """Of each row the last position that counts: [rows, positions]."""
    behind = counts.flip(1).cumsum(1).flip(1)
    return counts * (behind == 1)


def _decodes(anatomy: Anatomy, path: str) -> bool:
    """Whether the model is known to make its output step by step with a cache that the stack of this layer feeds."""
    return anatomy.family.decodes(anatomy.model, path.rpartition(".")[0]) is True
