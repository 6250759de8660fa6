"""Student and teacher on the same batch: how far apart their outputs and their hidden states are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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

    @contextmanager
    def in_session(self) -> Iterator[None]:
        """Hidden states are read, caches are off, and torch's fused encoder layers take the path that can learn."""
        with ExitStack() as stack:
            stack.enter_context(no_fast_path())
            for anatomy, capture in zip(self._anatomies, (self._own, self._taught), strict=True):
                stack.enter_context(anatomy.family.quiet(anatomy.model))
                stack.enter_context(capture.on(anatomy.model))
            yield

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Learn how much the teacher's values vary."""
        for batch in batches:
            output, _, hidden = self._teach(batch)
            self.measure.spread.add(output)
            for spread, rows in zip(self._spreads, hidden, strict=True):
                spread.add(rows)

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
    def judge(self, batches: Iterable[Batch], autocast: Autocast = nullcontext) -> tuple[float, float]:
        """The mean distance of the outputs over all positions, and that of the hidden states over batches and pairs."""
        total, count, hidden = 0.0, 0, []
        for batch in batches:
            found = self.compare(batch.copied(), autocast=autocast)
            total += float(found.output.double().sum())
            count += found.output.numel()
            hidden += [float(each) for each in found.hidden]
        return total / max(1, count), sum(hidden) / max(1, len(hidden))


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
