"""Which tokens of a layer's output are padding: by the batch's own masks, of the side that the layer is on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from identikit.batches import Batch
from identikit.metrics.positions import counting
from identikit.structure.operations import memory
from identikit.structure.watch import Watched

_DECODER = "decoder_input_ids"


def counted(watched: Watched, recorded: torch.Tensor, batch: Batch, output: torch.Tensor) -> torch.Tensor | None:
    """Which tokens of `output` [rows, tokens, features] count: [rows, tokens] of bool; None where no mask is known.

    `recorded`: the same layer's output in the watched pass.

    `metrics.positions` knows the masks. In a model with an encoder and a decoder it judges what the decoder returns;
    a layer that nothing of the decoder's input reaches belongs to the encoder, and the encoder's mask holds there.
    Models that take their tokens first ([tokens, rows, features]) are understood too.
    """
    sided = _of_its_side(watched, recorded, batch)
    mask = counting(None, sided, output)
    if mask is None and output.ndim == 3 and output.shape[0] != output.shape[1]:
        turned = counting(None, sided, output.transpose(0, 1))
        mask = None if turned is None else turned.T
    return mask


def _of_its_side(watched: Watched, recorded: torch.Tensor, batch: Batch) -> Batch:
    """The batch with the masks of the other side left out."""
    given: dict[str, Any] = watched.calls[0].kwargs
    named = next((name for name in (_DECODER, "labels") if isinstance(given.get(name), torch.Tensor)), None)
    if named is None:
        return batch
    reached = watched.reached_from(given[named])
    if memory(recorded) in reached:
        return batch if _DECODER in batch.kwargs else replace(batch, kwargs={**batch.kwargs, _DECODER: given[named]})
    kwargs = {name: value for name, value in batch.kwargs.items() if not name.startswith("decoder_")}
    return replace(batch, kwargs={**kwargs, "labels": None}, target=None)
