"""The training loop: steps on shuffled batches, a running average of the weights, an end where that gets no better."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import nn

from identikit.errors import TableError
from identikit.progress import Bar

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: How far a step moves the average towards the weights, once there were 9,000 of them.
_SLOWEST = 1e-3
_CHUNK = 8192  # rows that are judged at once


class Rows(NamedTuple):
    """Rows as the network takes them, and their targets."""

    numbers: torch.Tensor
    codes: torch.Tensor | None
    target: torch.Tensor

    def at(self, index: torch.Tensor | slice) -> Rows:
        """Some of the rows."""
        codes = None if self.codes is None else self.codes[index]
        return Rows(self.numbers[index], codes, self.target[index])

    def to(self, device: torch.device) -> Rows:
        """The rows on `device`."""
        codes = None if self.codes is None else self.codes.to(device)
        return Rows(self.numbers.to(device), codes, self.target.to(device))

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Recipe:
    """How to train: what the estimators' arguments of these names say."""

    learning_rate: float
    weight_decay: float
    batch_size: int | None
    max_epochs: int
    patience: int


@dataclass
class History:
    """Per epoch: the mean training loss, the averaged network's loss on the held-out part. And which one was kept."""

    training: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    best: int = 0


class Trainer(Generic[Network]):
    """A network in training: its weights as they move, and their running average, which is what one predicts with.

    The average gets what a falling learning rate would get, without having to know beforehand when the end will come
    (Polyak and Juditsky 1992; Izmailov et al. 2018, arXiv 1803.05407).
    """

    def __init__(self, network: Network, loss: Loss, recipe: Recipe, device: torch.device) -> None:
        self.network: Network = copy.deepcopy(network).to(device)
        self.averaged = copy.deepcopy(self.network).eval()
        self.loss, self.recipe, self.device, self.steps = loss, recipe, device, 0
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )

    def goes_on(self, recipe: Recipe, device: torch.device) -> Trainer[Network]:
        """A copy that trains on by another recipe, or on another device; this one stays as it is."""
        after = copy.deepcopy(self)
        after.recipe, after.device = recipe, device
        after.network.to(device)
        after.averaged.to(device)
        for group in after.optimizer.param_groups:
            group.update(lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        after.optimizer.load_state_dict(after.optimizer.state_dict())  # its moments go where the weights are
        return after

    def epoch(self, rows: Rows, shuffle: torch.Generator) -> float:
        """Go once through `rows`, in an order drawn from `shuffle`; the mean loss.

        The rows are dealt out evenly to as many full batches as there are, so none is left over: batch norm cannot
        learn from a batch of one.
        """
        self.network.train()
        size = self.recipe.batch_size or automatic_batch_size(len(rows))
        order = torch.randperm(len(rows), generator=shuffle).to(self.device)
        total = torch.zeros((), device=self.device)
        for index in torch.tensor_split(order, max(1, len(rows) // size)):
            total += self._step(rows.at(index)) * len(index)
        return self._finite(float(total) / len(rows), "the rows trained on")

    def _step(self, batch: Rows) -> torch.Tensor:
        loss = self.loss(self.network(batch.numbers, batch.codes), batch.target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self._average()
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average towards the weights; at first by more: it then spans the last ninth of the steps so far."""
        self.steps += 1
        share = max(_SLOWEST, 9 / (self.steps + 9))
        for mean, value in zip(_state(self.averaged), _state(self.network), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def judged(self, rows: Rows) -> float:
        """The averaged network's mean loss on `rows`."""
        total = 0.0
        for start in range(0, len(rows), _CHUNK):
            chunk = rows.at(slice(start, start + _CHUNK))
            total += float(self.loss(self.averaged(chunk.numbers, chunk.codes), chunk.target)) * len(chunk)
        return self._finite(total / len(rows), "the rows held out")

    def _finite(self, loss: float, where: str) -> float:
        if not math.isfinite(loss):
            raise TableError(
                f"the loss on {where} became {loss} after {self.steps} steps. "
                f"Lower learning_rate ({self.recipe.learning_rate:g})."
            )
        return loss


def train(trainer: Trainer[Network], rows: Rows, held_out: Rows | None, shuffle: torch.Generator, bar: Bar) -> History:
    """Train until the averaged network was no better on `held_out` for `patience` epochs; `averaged` is then the best.

    Without a held-out part there are `max_epochs`, and the last average stays.
    """
    history, kept, lowest = History(), None, math.inf
    for epoch in range(1, trainer.recipe.max_epochs + 1):
        history.training.append(trainer.epoch(rows, shuffle))
        bar.advance()
        if held_out is None:
            history.best = epoch
            continue
        history.held_out.append(trainer.judged(held_out))
        if history.held_out[-1] < lowest:
            history.best, lowest = epoch, history.held_out[-1]
            kept = copy.deepcopy(trainer.averaged.state_dict())
        bar.say(f"held out {history.held_out[-1]:.4g}, best {lowest:.4g}")
        if epoch - history.best >= trainer.recipe.patience:
            break
    if kept is not None:
        trainer.averaged.load_state_dict(kept)
    return history


def automatic_batch_size(rows: int) -> int:
    """A power of two from 32 to 1,024 that gives some 50 to 100 steps an epoch, where there are rows enough."""
    return int(min(1024, max(32, 2 ** round(math.log2(max(1, rows / 64))))))


def _state(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
