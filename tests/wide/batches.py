"""Batches that a model of the wide zoo may take: identikit's own example first, then what the rules add."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families import family_of


def batches(model: nn.Module) -> Iterator[Batch]:
    """Likely batches, likeliest first."""
    own = family_of(model).example(model)
    if own is not None:
        yield own
    takes, config = inspect.signature(type(model).forward).parameters, getattr(model, "config", None)
    for kwargs in _likely(takes, config):
        if "decoder_input_ids" in takes:
            yield Batch(kwargs={**kwargs, "decoder_input_ids": _ids(7)}, examples=2)
        yield Batch(kwargs=kwargs, examples=2)


def _likely(takes: Mapping[str, Any], config: Any) -> Iterator[dict[str, torch.Tensor]]:
    """What the model may be called with, by the names of its arguments."""
    if "spatial_shapes" in takes:  # pictures as patches, each picture of its own size
        sizes = {"pixel_attention_mask": torch.ones(2, 16, dtype=torch.long), "spatial_shapes": torch.full((2, 2), 4)}
        yield {"pixel_values": _noise(2, 16, 192), **sizes}
    if "input_ids" in takes:
        yield {"input_ids": _ids(12)}
        if books := getattr(config, "num_codebooks", None):
            yield {"input_ids": _ids(12).repeat(books, 1)}
        if ended := getattr(config, "eos_token_id", None):  # a classifier that reads the end of the text
            ids = _ids(12)
            ids[:, -1] = ended if isinstance(ended, int) else ended[0]
            yield {"input_ids": ids}
    for name, shapes in _SHAPES.items():
        if name in takes:
            yield from ({name: _noise(2, *shape)} for shape in shapes)


def _ids(tokens: int) -> torch.Tensor:
    return torch.randint(60, 250, (2, tokens), generator=torch.Generator().manual_seed(0))


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


_SHAPES: dict[str, list[tuple[int, ...]]] = {
    "input_features": [(64, 16), (16, 64), (64, 80), (80, 64), (128, 64)],
    "input_values": [(4000,), (1, 4000), (64, 16)],
    "pixel_values": [(3, side, side) for side in (32, 64, 224)],
}
