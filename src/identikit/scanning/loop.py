"""The plain loop: every plan is applied and run on all the data, example by example paired with the full model."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from identikit.batches import Batch, tensors_of
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric, rows_of
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.sources.readings import Data
from identikit.structure.traceless import traceless
from identikit.surgery.apply import checked, install
from identikit.surgery.choose import check_plan
from identikit.surgery.handle import Handle

ENGINE = "loop"
_KEPT = 2**30  # bytes of the full model's outputs that are kept; the rest is computed again for every plan
Rows = dict[str, Floats]


class Loop:
    """Runs the full model once, then any number of plans; `full` holds the full model's rows by metric."""

    def __init__(self, anatomy: Anatomy, data: Data, metrics: Sequence[Metric], seed: int = 0) -> None:
        self.anatomy = anatomy
        self.metrics = metrics
        self._data = data
        self._seed = seed
        self._kept: list[list[Any] | None] = []
        inputs = tensors_of((anatomy.batch.args, anatomy.batch.kwargs))
        self._device = next((value.device for value in inputs), torch.device("cpu"))
        self.full: Rows = {}

    def run_full(self) -> Iterator[None]:
        """Judge the full model, yielding after each batch (for a progress bar)."""
        parts: list[Rows] = []
        budget = _KEPT
        for number, batch in self._batches():
            output = self._output(batch, number)
            references = [metric.reference(output, batch) for metric in self.metrics]
            parts.append(self._judge(output, batch, references))
            budget -= sum(value.numel() * value.element_size() for value in tensors_of(references))
            self._kept.append(references if budget > 0 else None)
            yield
        self.full = self._joined(parts)

    def run(self, plan: Plan) -> Rows:
        """The rows of the model under `plan`; an edit that never runs on the first batch is an error."""
        parts: list[Rows] = []
        edits = check_plan(self.anatomy, plan)
        with ExitStack() as applied:
            handle: Handle | None = None
            for number, batch in self._batches():
                references = self._kept[number]
                if references is None:
                    applied.close()
                    handle, references = None, self._references(batch, number)
                run = functools.partial(self._output, batch, number)
                if handle is None:
                    handle = applied.enter_context(install(self.anatomy, plan, check=False, decoding=False))
                    output = checked(self.anatomy, handle, edits, run)[0]
                else:
                    output = run()
                parts.append(self._judge(output, batch, references))
        return self._joined(parts)

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        for number, batch in enumerate(self._data):
            yield number, batch.to(self._device)

    def _output(self, batch: Batch, number: int) -> Any:
        """One pass; a model that draws random numbers draws the same ones under every plan."""
        model = self.anatomy.model
        with self.anatomy.family.quiet(model), traceless(model):
            torch.manual_seed(self._seed + number)
            output = batch.copied().call(model)  # a model may write into its inputs
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return output

    def _references(self, batch: Batch, number: int) -> list[Any]:
        output = self._output(batch, number)
        return [metric.reference(output, batch) for metric in self.metrics]

    def _judge(self, output: Any, batch: Batch, references: list[Any]) -> Rows:
        pairs = zip(self.metrics, references, strict=True)
        return {metric.name: rows_of(metric, output, batch, reference) for metric, reference in pairs}

    def _joined(self, parts: list[Rows]) -> Rows:
        return {metric.name: np.concatenate([part[metric.name] for part in parts]) for metric in self.metrics}
