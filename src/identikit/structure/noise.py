"""Seeded noise, and how an answer to it is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from identikit.structure.trees import Path, leaves, rebuilt


def noise_for(value: Any, level: float, *, seed: int = 0) -> torch.Tensor:
    """Seeded noise of `level` times the root mean square of the first floating tensor of `value`."""
    tensor = next(leaf for leaf in tensors(value) if leaf.is_floating_point())
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    size = tensor.double().square().mean().sqrt().clamp_min(1e-3)
    return (noise * level * size.cpu()).to(device=tensor.device, dtype=tensor.dtype)


def shifted(output: Any, delta: torch.Tensor, place: Path | None = None) -> Any:
    """`output` with `delta` added to its tensor at `place`, or to its first floating one."""
    return _changed(output, lambda leaf: leaf + delta, place)


def replaced(output: Any, value: torch.Tensor, place: Path | None = None) -> Any:
    """`output` with `value` for its tensor at `place`, or for its first floating one."""
    return _changed(output, lambda leaf: value, place)


def _changed(output: Any, change: Callable[[torch.Tensor], torch.Tensor], place: Path | None) -> Any:
    where = first_floating(output) if place is None else place
    return rebuilt(output, lambda path, leaf: change(leaf) if path == where else leaf)


def first_floating(output: Any) -> Path | None:
    """Where the first floating tensor of an output is; None if it has none."""
    found = ((path, leaf) for path, leaf in leaves(output) if isinstance(leaf, torch.Tensor))
    return next((path for path, leaf in found if leaf.is_floating_point()), None)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """The cosine between two tensors as long vectors; 0 where one of them vanishes."""
    return float(torch.nn.functional.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0))


def same(one: Any, other: Any) -> bool:
    """Whether two outputs hold bit-equal tensors."""
    first, second = tensors(one), tensors(other)
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether the floating tensors of two outputs differ by at most `tolerance`, as a share of their largest value."""
    pairs = zip(tensors(one), tensors(other), strict=True)
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    return bool(floats) and all(float((a - b).abs().max()) <= tolerance * float(b.abs().max()) for a, b in floats)


def tensors(output: Any) -> list[torch.Tensor]:
    """Every tensor of an output, in order."""
    return [leaf for _, leaf in leaves(output) if isinstance(leaf, torch.Tensor)]
