"""What benchmarks/quality.py makes smaller: a model, its layers, the data to choose on, what a removal costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scan_rivals import left_out
from torch import nn

import identikit as ik
from identikit.batches import Batch
from identikit.metrics import Metric, rows_of

Gone = tuple[str, ...]  # the paths of the layers that are dropped


def every_row(stream: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Each example as one vector: [examples, features]."""
    return stream.flatten(1)


@dataclass(frozen=True)
class Subject:
    """A model in evaluation mode and the data to choose on; the same for every method.

    layers: the paths of those that may go, in order. chains: their indices, neighbours together. metric: what an exact
    method judges a set of layers by. positions: of a stream, the vectors that count, [positions, features]; last: the
    one of each example that is read last. loss: of an output, what Taylor differentiates. judging: how a model
    without some layers is judged in a search, and settle: what makes it ready for good (batch norm's statistics).
    """

    name: str
    model: nn.Module
    layers: Gone
    batches: Sequence[Batch]
    metric: Metric
    loss: Callable[[Any, Batch], torch.Tensor]
    positions: Callable[[torch.Tensor, Batch], torch.Tensor] = every_row
    last: Callable[[torch.Tensor, Batch], torch.Tensor] = every_row
    chains: tuple[tuple[int, ...], ...] = ()
    judging: Callable[[nn.Module], AbstractContextManager[None]] = nullcontext
    settle: Callable[[nn.Module], object] = id
    kept: list[Any] = field(default_factory=list)  # what the full model said, once worked out
    known: dict[frozenset[str], float] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)  # what one pass over the data showed

    @property
    def runs(self) -> tuple[tuple[int, ...], ...]:
        return self.chains or (tuple(range(len(self.layers))),)

    def paths(self, numbers: Sequence[int]) -> Gone:
        return tuple(self.layers[number] for number in sorted(numbers))

    @torch.no_grad()
    def cost(self, gone: Sequence[str]) -> float:
        """The metric without these layers on the data to choose on, turned so that less is better."""
        if not self.kept:
            self.kept.extend(self.metric.reference(batch.call(self.model), batch) for batch in self.batches)
        if frozenset(gone) not in self.known:
            with without(self.model, gone):
                self.known[frozenset(gone)] = self.cost_of(self.model)
        return self.known[frozenset(gone)]

    @torch.no_grad()
    def cost_of(self, model: nn.Module) -> float:
        """The same of a model as it is."""
        with self.judging(model):
            pairs = zip(self.batches, self.kept, strict=True)
            rows = [rows_of(self.metric, batch.call(model), batch, kept) for batch, kept in pairs]
        score = self.metric.aggregate(np.concatenate(rows))
        return -score if self.metric.higher_is_better else score

    def check(self) -> None:
        """Raise where a layer removed for good does not cost what it costs bypassed: then no figure here means much."""
        bypassed, removed = self.cost(self.layers[:1]), self.cost_of(self.smaller(self.layers[:1]))
        if abs(bypassed - removed) > 1e-5 * max(1.0, abs(bypassed)):
            raise ValueError(f"{self.name} without {self.layers[0]}: {bypassed} bypassed, {removed} removed.")

    def smaller(self, gone: Sequence[str]) -> nn.Module:
        """A model of its own without these layers, made by `ik.remove`: the same for every method."""
        model = copy.deepcopy(self.model)
        model = ik.remove(model, list(gone), inputs=self.batches[0]) if gone else model
        self.settle(model)
        return model


@contextmanager
def without(model: nn.Module, gone: Sequence[str]) -> Iterator[None]:
    """Each of these layers returns a clone of what it takes."""
    with ExitStack() as held:
        for path in gone:
            held.enter_context(left_out(model, path))
        yield


@dataclass(frozen=True)
class Streams:
    """What enters and leaves each layer, at the positions that count: [positions, features] each, by layer."""

    before: list[torch.Tensor]
    after: list[torch.Tensor]


def streams(subject: Subject, pick: Callable[[torch.Tensor, Batch], torch.Tensor]) -> Streams:
    """What one pass over the data to choose on shows; the pass is made once."""
    if pick not in subject.memo:
        subject.memo[pick] = _streams(subject, pick)
    found: Streams = subject.memo[pick]
    return found


@torch.no_grad()
def _streams(subject: Subject, pick: Callable[[torch.Tensor, Batch], torch.Tensor]) -> Streams:
    before: list[list[torch.Tensor]] = [[] for _ in subject.layers]
    after: list[list[torch.Tensor]] = [[] for _ in subject.layers]
    with ExitStack() as held:
        seen: dict[str, Batch] = {}

        def note(number: int) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
                taken = args[0] if args else kwargs["hidden_states"]
                before[number].append(pick(taken, seen["batch"]).clone())
                after[number].append(pick(output, seen["batch"]).clone())

            return hook

        for number, path in enumerate(subject.layers):
            layer = subject.model.get_submodule(path)
            held.callback(layer.register_forward_hook(note(number), with_kwargs=True).remove)
        for batch in subject.batches:
            seen["batch"] = batch
            batch.call(subject.model)
    return Streams([torch.cat(each) for each in before], [torch.cat(each) for each in after])
