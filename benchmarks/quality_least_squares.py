"""ReplaceMe (Shopkhoev et al. 2025, arXiv 2505.02819) by its description: a run of layers becomes a matrix.

The span is the run of neighbours with the smallest cosine distance between what its layer before gives and what its
last layer gives. In the layer before, mlp(x) + y (y: what runs past the MLP) is to become what the span gave:
T = argmin |mlp(x) T + y - target|^2, in closed form, multiplied into the MLP's last projection. No bias, as there.

Post-norm layers, LayerNorm(mlp(x) + y), are not in the paper. The nearest reading: T is fitted to what the span's last
LayerNorm was given, and that LayerNorm takes the place of the one before the gap.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from quality_case import Gone, Subject
from quality_rivals import span
from torch import nn

import identikit as ik

RIDGE = 1e-6  # of the mean diagonal: none where the data fill the space


@dataclass(frozen=True)
class Anatomy:
    """Where in a layer: the MLP's last projection, and the LayerNorm behind the addition (post-norm) or None."""

    projection: str
    norm: str | None = None


LLAMA, BERT = Anatomy("mlp.down_proj"), Anatomy("output.dense", "output.LayerNorm")


def chosen_span(subject: Subject, drop: int) -> Gone:
    """The run; a layer has to stand before it."""
    return span(subject, drop, subject.positions, lambda cosine: 1 - cosine, first=1)


@torch.no_grad()
def least_squares(subject: Subject, gone: Gone, where: Anatomy) -> nn.Module:
    """A model of its own without the run `gone`, with T in the layer before it."""
    names = list(subject.layers)
    before = names[names.index(gone[0]) - 1]
    projection = subject.model.get_submodule(f"{before}.{where.projection}")
    made, past, target = _seen(subject, before, gone[-1], where)
    square = made.T @ made
    square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    solution = torch.linalg.solve(square, made.T @ (target - past))  # rows: mlp(x) T
    model = copy.deepcopy(subject.model)
    edited: Any = model.get_submodule(f"{before}.{where.projection}")
    edited.weight.copy_((solution.T @ projection.weight.double()).to(edited.weight.dtype))
    if edited.bias is not None:
        edited.bias.copy_((solution.T @ projection.bias.double()).to(edited.bias.dtype))
    if where.norm is not None:
        norm = subject.model.get_submodule(f"{gone[-1]}.{where.norm}")
        model.get_submodule(f"{before}.{where.norm}").load_state_dict(norm.state_dict())
    return ik.remove(model, list(gone), inputs=subject.batches[0])


def _seen(subject: Subject, before: str, last: str, where: Anatomy) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """At the positions that count, in float64: what the MLP before gave, what ran past it, and what it is to become."""
    found: dict[str, list[torch.Tensor]] = {"made": [], "given": [], "target": []}
    now: dict[str, Any] = {}

    def note(name: str, *, entering: bool = False) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            value = args[0] if entering else output
            found[name].append(subject.positions(value, now["batch"]).double())

        return hook

    def at(path: str, hook: Callable[..., None]) -> Callable[[], None]:
        return subject.model.get_submodule(path).register_forward_hook(hook).remove

    with ExitStack() as held:
        held.callback(at(f"{before}.{where.projection}", note("made")))
        if where.norm is None:
            held.callback(at(before, note("given")))
            held.callback(at(last, note("target")))
        else:  # what a LayerNorm is given is the sum
            held.callback(at(f"{before}.{where.norm}", note("given", entering=True)))
            held.callback(at(f"{last}.{where.norm}", note("target", entering=True)))
        for batch in subject.batches:
            now["batch"] = batch
            batch.call(subject.model)
    made, given, target = (torch.cat(found[name]) for name in ("made", "given", "target"))
    return made, given - made, target
