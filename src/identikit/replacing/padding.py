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
    return counted_on(decoder_side(watched, recorded), watched, batch, output)


def counted_on(decoder: bool | None, watched: Watched, batch: Batch, output: torch.Tensor) -> torch.Tensor | None:
    """`counted` for a layer whose side is known (`decoder_side`)."""
    sided = _of_its_side(decoder, watched, batch)
    mask = counting(None, sided, output)
    if mask is None and output.ndim == 3 and output.shape[0] != output.shape[1]:
        turned = counting(None, sided, output.transpose(0, 1))
        mask = None if turned is None else turned.T
    return mask


def decoder_side(watched: Watched, recorded: torch.Tensor) -> bool | None:
    """Whether the layer that made `recorded` is the decoder's; None where nothing is given to a decoder."""
    given = _given_to_decoder(watched)
    return None if given is None else memory(recorded) in watched.reached_from(given)


def _of_its_side(decoder: bool | None, watched: Watched, batch: Batch) -> Batch:
    """The batch with the masks of the other side left out."""
    if decoder is None:
        return batch
    if decoder:
        kwargs = batch.kwargs if _DECODER in batch.kwargs else {**batch.kwargs, _DECODER: _given_to_decoder(watched)}
        return replace(batch, kwargs=kwargs)
    kwargs = {name: value for name, value in batch.kwargs.items() if not name.startswith("decoder_")}
    return replace(batch, kwargs={**kwargs, "labels": None}, target=None)


def _given_to_decoder(watched: Watched) -> torch.Tensor | None:
    """What the watched pass gave to a decoder, where it gave anything."""
    given: dict[str, Any] = watched.calls[0].kwargs
    found = (given.get(name) for name in (_DECODER, "labels"))
    return next((value for value in found if isinstance(value, torch.Tensor)), None)
