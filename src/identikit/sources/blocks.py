"""Text for a causal language model: cut into blocks of tokens, each its own target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.sources.encode import IGNORED, padded, padding_id, parameters
from identikit.sources.opened import Opened

BLOCK = 256
"""Tokens in a block where neither the user nor the model asks for fewer."""


def block_batches(
    texts: Iterable[str], opened: Opened, *, name: str, batch_size: int, max_length: int | None, limit: int | None
) -> list[Batch]:
    """Batches of blocks. A block is an example; its target is its own ids, -100 in the padding (not shifted)."""
    length = max_length or min(opened.longest or BLOCK, BLOCK)
    if length < 2:
        raise DataError("--max-length 1 leaves no next token to predict. Give 2 or more.")
    rows = list(islice(_blocks(texts, opened, length), limit))
    if not rows:
        raise DataError(f'"{name}" holds less than two tokens of text. Give more.')
    return [_batch(rows[start : start + batch_size], opened) for start in range(0, len(rows), batch_size)]


def _blocks(texts: Iterable[str], opened: Opened, length: int) -> Iterator[list[int]]:
    """Each text's tokens in blocks; the last is shorter, and left out where nothing in it is predicted."""
    for text in texts:
        ids = opened.tokenizer(text, verbose=False)["input_ids"]
        for start in range(0, len(ids), length):
            block = ids[start : start + length]
            if len(block) > 1:
                yield block


def _batch(rows: list[list[int]], opened: Opened) -> Batch:
    """One batch; the mask is left out for a model that takes none."""
    kwargs = {"input_ids": padded(rows, padding_id(opened.tokenizer))}
    accepted = parameters(opened.model)
    if accepted is None or "attention_mask" in accepted:
        kwargs["attention_mask"] = padded([[1] * len(row) for row in rows], 0)
    target: torch.Tensor = padded(rows, IGNORED)
    return Batch(kwargs=kwargs, target=target, examples=len(rows))
