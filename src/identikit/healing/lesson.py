"""Student and teacher on the same batch: how far apart their outputs and their hidden states are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.healing.capture import Capture
from identikit.healing.measure import Measure
from identikit.healing.pairs import Pair
from identikit.healing.spread import Spread
from identikit.metrics.positions import wide
from identikit.structure.valueless import home_of

Autocast = Callable[[], AbstractContextManager[Any]]
_KEPT = 1 << 28  # bytes of the teacher's outputs on what is held out; more are worked out again at each look


@dataclass(frozen=True)
class Distance:
    """Of one batch: `output` at each position [positions], `hidden` of each pair, over the teacher's variance."""

    output: torch.Tensor
    hidden: list[torch.Tensor]


class Lesson:
    """Both models, what is compared of them, and how much each of it varies over the held-out part."""

    def __init__(self, student: Anatomy, teacher: Anatomy, measure: Measure, pairs: tuple[Pair, ...]) -> None:
        self.student, self.teacher = student.model, teacher.model
        self.measure, self.pairs = measure, pairs
        self._anatomies = (student, teacher)
        self._spreads = [Spread() for _ in pairs]
        self._own = Capture([pair.student for pair in pairs])
        self._taught = Capture([pair.teacher for pair in pairs])
        self._outputs: list[tuple[torch.Tensor, torch.Tensor | None] | None] = []

    @contextmanager
    def in_session(self) -> Iterator[None]:
        """Hidden states are read, caches are off, and torch's fused encoder layers take the path that can learn."""
        with ExitStack() as stack:
            stack.enter_context(no_fast_path())
            for anatomy, capture in zip(self._anatomies, (self._own, self._taught), strict=True):
                stack.enter_context(anatomy.family.quiet(anatomy.model))
                stack.enter_context(capture.on(anatomy.model))
            yield

    def prepare(self, batches: Sequence[Batch]) -> None:
        """Learn how much the teacher's values vary, on the `batches` that are judged later. Its outputs are kept."""
        size = 0
        for batch in batches:
            output, index, hidden = self._teach(batch.copied())
            self.measure.spread.add(output)
            for spread, rows in zip(self._spreads, hidden, strict=True):
                spread.add(rows)
            size += output.numel() * output.element_size()
            self._outputs.append((output, index) if size <= _KEPT else None)

    def compare(self, batch: Batch, *, temperature: float = 1.0, autocast: Autocast = nullcontext) -> Distance:
        """Both models on `batch`; gradients flow into the student where they are enabled."""
        taught, index, taught_hidden = self._teach(batch)
        with self._own.reading(), autocast():
            output = _on(self.student, batch).call(self.student)
        own, _ = self.measure.rows(output, batch, index)
        hidden = []
        for pair, spread, theirs in zip(self.pairs, self._spreads, taught_hidden, strict=True):
            mine = wide(pair.rows(self._own.state(pair.student), self._anatomies[1], batch))
            hidden.append((mine - theirs.to(mine.device)).square().mean() / spread.value)
        self._own.forget()
        return Distance(self.measure.distance(taught, own, temperature), hidden)

    @torch.no_grad()
    def _teach(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None, list[torch.Tensor]]:
        with self._taught.reading():
            output = _on(self.teacher, batch).call(self.teacher)
        rows, index = self.measure.rows(output, batch)
        hidden = [wide(pair.rows(self._taught.state(pair.teacher), self._anatomies[1], batch)) for pair in self.pairs]
        self._taught.forget()
        return rows, index, hidden

    @torch.no_grad()
    def judge(self, batches: Sequence[Batch], autocast: Autocast = nullcontext) -> float:
        """The mean distance of the outputs over all positions of the `batches` that this was prepared on."""
        total, count = 0.0, 0
        for batch, kept in zip(batches, self._outputs, strict=True):
            taught, index = kept or self._teach(batch.copied())[:2]
            with autocast():
                output = _on(self.student, batch.copied()).call(self.student)
            found = self.measure.distance(taught, self.measure.rows(output, batch, index)[0])
            total += float(found.double().sum())
            count += found.numel()
        return total / max(1, count)

    @torch.no_grad()
    def judge_hidden(self, batches: Sequence[Batch]) -> float:
        """The mean distance of the hidden states, over batches and pairs; 0 where there are none."""
        found = [each for batch in batches for each in self.compare(batch.copied()).hidden] if self.pairs else []
        return sum(float(each) for each in found) / max(1, len(found))


@contextmanager
def no_fast_path() -> Iterator[None]:
    """nn.TransformerEncoder's layers run as in training: without nested tensors, which have no shape to compare."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _on(model: torch.nn.Module, batch: Batch) -> Batch:
    device = home_of(model)
    return batch if device is None else batch.to(device)
