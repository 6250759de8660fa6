"""Two outputs compared position by position: which count, in chunks that fit, averaged to one row per example.

Legend of the suffixes: r rows of the model, t positions (tokens, pixels), c classes or width, n positions that count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.outputs import shape

IGNORED = -100
_CHUNK = {"cpu": 1 << 22}  # numbers compared at once: larger buys nothing on a CPU; elsewhere 2**25 fills the device
Compare = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Kept:
    """What is kept of the full model's output: the values at the positions that count, in the model's dtype."""

    how: str
    source: str
    values_nc: torch.Tensor
    index_n: torch.Tensor | None
    shape_rtc: tuple[int, int, int]


def keep(value_rtc: torch.Tensor, mask_rt: torch.Tensor | None, *, how: str, source: str) -> Kept:
    """Keep a copy of `value_rtc` at the positions where `mask_rt` is True (everywhere where it is None).

    Raises MetricError where a row has no position that counts.
    """
    rows, tokens, width = value_rtc.shape
    flat = value_rtc.detach().reshape(rows * tokens, width)
    if mask_rt is None or bool(mask_rt.all()):
        return Kept(how, source, flat.clone(), None, (rows, tokens, width))
    empty = (~mask_rt.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise MetricError(
            f"row {empty[0]} of the batch is all padding (attention_mask or labels); leave it out of the data."
        )
    index = mask_rt.to(flat.device).flatten().nonzero().flatten()
    return Kept(how, source, flat[index], index, (rows, tokens, width))


def kept_of(reference: Any, *, metric: str) -> Kept:
    """`reference`, where it is what the metric kept. MetricError where it was not asked to keep anything."""
    if not isinstance(reference, Kept):
        raise MetricError(
            f'metric "{metric}" compares with the full model: pass what metric.reference(output, batch) gave for the '
            f"full model's output, not {type(reference).__name__}."
        )
    return reference


def compared(kept: Kept, value_rtc: torch.Tensor, batch: Batch, compare: Compare, *, metric: str) -> torch.Tensor:
    """`compare(kept, value)` at each position, averaged over a row and over the rows of an example: [examples]."""
    if tuple(value_rtc.shape) != kept.shape_rtc:
        raise MetricError(
            f'metric "{metric}" compares outputs of one shape (rows, positions, width): the full model gave '
            f"{'x'.join(map(str, kept.shape_rtc))}, the edited one {shape(value_rtc)}. "
            "Write the metric yourself: file.py:function."
        )
    rows, tokens, width = kept.shape_rtc
    flat = value_rtc.detach().reshape(rows * tokens, width)
    reference = kept.values_nc.to(flat.device)
    step = max(1, _CHUNK.get(flat.device.type, 1 << 25) // max(1, width))
    parts = []
    for start in range(0, len(reference), step):
        stop = start + step
        chunk = flat[start:stop] if kept.index_n is None else flat[kept.index_n[start:stop].to(flat.device)]
        parts.append(compare(wide(reference[start:stop]), wide(chunk)).cpu().double())
    values = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
    return per_example(_row_means(kept, values), batch, metric=metric)


def _row_means(kept: Kept, values_n: torch.Tensor) -> torch.Tensor:
    """The mean over the positions of each row, summed in their order."""
    rows, tokens, _ = kept.shape_rtc
    if kept.index_n is None:
        return values_n.reshape(rows, tokens).mean(dim=1)
    index = kept.index_n.cpu()
    sums = torch.zeros(rows * tokens, dtype=torch.float64)
    counts = torch.zeros(rows * tokens, dtype=torch.float64)
    sums[index], counts[index] = values_n, 1.0
    return sums.reshape(rows, tokens).sum(dim=1) / counts.reshape(rows, tokens).sum(dim=1)


def per_example(values_r: torch.Tensor, batch: Batch, *, metric: str) -> torch.Tensor:
    """The mean over the rows that belong to one example (a pair of sentences is two): [examples]."""
    return rows_by_example(values_r, batch, metric=metric).mean(dim=1)


def rows_by_example(values_r: torch.Tensor, batch: Batch, *, metric: str) -> torch.Tensor:
    """The rows of the model, grouped: [examples, rows of an example]. MetricError where they do not divide."""
    rows = len(values_r)
    if batch.examples < 1 or rows % batch.examples:
        raise MetricError(
            f'metric "{metric}": the model gave {rows} rows for {batch.examples} examples; '
            "the first dimension of the output must be the examples (batch first), the same number of rows for each."
        )
    return values_r.reshape(batch.examples, rows // batch.examples)


def counting(output: Any, batch: Batch, value: torch.Tensor) -> torch.Tensor | None:
    """Which tokens of `value` [rows, tokens, ...] are no padding: [rows, tokens] of bool, or None where nothing says.

    Read from `decoder_attention_mask` or the labels (not -100) where there is a decoder, else from `attention_mask`
    (or torch's `src_key_padding_mask`), else from the labels; each only where its shape is that of the tokens.
    """
    if value.ndim != 3:
        return None
    decoder = _named(batch, "decoder_input_ids") is not None or _held(output, "encoder_last_hidden_state") is not None
    labels = batch.target if isinstance(batch.target, torch.Tensor) else _named(batch, "labels")
    integer = isinstance(labels, torch.Tensor) and not labels.is_floating_point()
    marked = labels != IGNORED if integer and labels is not None else None
    masks = [_padding(batch)] if not decoder else []
    masks += [_named(batch, "decoder_attention_mask") if decoder else _named(batch, "attention_mask")]
    masks += [] if decoder else [_held(output, "attention_mask")]
    for mask in (*masks, marked):
        if isinstance(mask, torch.Tensor) and mask.shape == value.shape[:2]:
            return mask.to(value.device) > 0
    return None


def classes_last(value: torch.Tensor) -> torch.Tensor:
    """Logits as [rows, positions, classes]: [R, C], [R, T, C], or classes in dimension 1 of an image, [R, C, H, W]."""
    if value.ndim == 1:
        return value.reshape(-1, 1, 1)
    if value.ndim == 2:
        return value.unsqueeze(1)
    return value if value.ndim == 3 else value.flatten(2).transpose(1, 2)


def wide(value: torch.Tensor) -> torch.Tensor:
    """`value` in float32, or as it is in float64: half precision is too coarse for a sum over a vocabulary."""
    return value if value.dtype == torch.float64 else value.float()


def _named(batch: Batch, name: str) -> Any:
    """An input of the batch by name: a keyword argument, or an entry of a positional dict (sentence-transformers)."""
    for source in (batch.kwargs, *batch.args):
        if isinstance(source, Mapping) and source.get(name) is not None:
            return source[name]
    return None


def _padding(batch: Batch) -> torch.Tensor | None:
    """What torch's own transformer layers call padding, turned round: True where a token counts."""
    mask = _named(batch, "src_key_padding_mask")
    return ~mask if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool else None


def _held(output: Any, name: str) -> Any:
    """What the output holds under `name`, whatever its type."""
    if isinstance(output, Mapping):
        return output.get(name)
    return None if isinstance(output, torch.Tensor) else getattr(output, name, None)
