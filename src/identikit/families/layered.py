"""Weights beside a stack that hold a part for each of its layers (Gemma's embeddings per layer): they follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def layered_dim(full: Shape, left: Shape, kept: int, depth: int) -> int | None:
    """The dimension in which `full` has one part for each of `depth` layers and `left` one for each of `kept`.

    None where they are equal, or differ in any other way.
    """
    if len(full) != len(left):
        return None
    differing = [dim for dim, (one, other) in enumerate(zip(full, left, strict=True)) if one != other]
    if len(differing) != 1:
        return None
    (dim,) = differing
    return dim if full[dim] % depth == 0 and left[dim] * depth == full[dim] * kept else None


def layered_weights(own: Shapes, built: Shapes, kept: int, depth: int) -> dict[str, int]:
    """The weights that a model with the new depth has smaller (or larger) by the layers' share, each with its dim."""
    found = {name: layered_dim(shape, built[name], kept, depth) for name, shape in own.items() if name in built}
    return {name: dim for name, dim in found.items() if dim is not None}


def follow(
    module: nn.Module, dims: Mapping[str, int], keep: Sequence[int], depth: int, sizes: Mapping[str, Any]
) -> Callable[[], None]:
    """Give each weight of `dims` the parts of the layers `keep`, in place; returns the undo.

    `sizes`: what their modules then say of themselves ("embed_tokens.embedding_dim": 48). The parts lie one after the
    other, a layer's together; that they do is for the caller's proof to show. A weight in two places stays one.
    """
    undos: list[Callable[[], None]] = []
    made: dict[int, torch.Tensor] = {}
    for name, dim in dims.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        home: dict[str, Any] = owner._parameters if last in owner._parameters else owner._buffers
        old = home[last]
        if id(old) not in made:
            made[id(old)] = _parts(old, dim, keep, depth)
        undos.append(_put(home, last, made[id(old)]))
    for name, value in sizes.items():
        path, _, last = name.rpartition(".")
        undos.append(_put(vars(module.get_submodule(path)), last, value))

    def undo() -> None:
        for each in reversed(undos):
            each()

    return undo


def _parts(weight: torch.Tensor, dim: int, keep: Sequence[int], depth: int) -> torch.Tensor:
    chunks = weight.detach().chunk(depth, dim)
    chosen = torch.cat([chunks[layer] for layer in keep], dim)
    return nn.Parameter(chosen, weight.requires_grad) if isinstance(weight, nn.Parameter) else chosen


def _put(home: dict[str, Any], name: str, value: Any) -> Callable[[], None]:
    before = home[name]
    home[name] = value

    def undo() -> None:
        home[name] = before

    return undo
