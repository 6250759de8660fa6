"""Text and pictures as a model takes them, padded per batch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch

IGNORED = -100
"""The label that no loss counts."""


@dataclass(frozen=True)
class SentenceEncoder:
    """For a SentenceTransformer, whose forward takes one dict. A pair is two adjacent rows: a0, b0, a1, b1, ..."""

    model: Any

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> Batch:
        """See `Encoder`."""
        rows = interleaved(texts, pairs)
        prompt = self.model.prompts.get(self.model.default_prompt_name)  # as model.encode does
        with _cut_at(self.model, max_length):
            if hasattr(self.model, "preprocess"):
                features = self.model.preprocess(rows, prompt=prompt) if prompt else self.model.preprocess(rows)
            else:  # sentence-transformers before 5.3
                features = self.model.tokenize([(prompt or "") + row for row in rows])
        return Batch(args=(dict(features),), examples=len(texts))


@dataclass(frozen=True)
class TextEncoder:
    """For a transformers model with a tokenizer.

    `paired`: a pair is one row (a classifier reads both texts together); otherwise it is two adjacent rows.
    """

    model: nn.Module
    tokenizer: Any
    longest: int | None
    paired: bool

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> Batch:
        """See `Encoder`."""
        joined = list(pairs) if pairs is not None and self.paired else None
        rows = list(texts) if joined is not None else interleaved(texts, pairs)
        limit = max_length or self.longest
        encoded = self.tokenizer(rows, joined, truncation=limit is not None, max_length=limit, verbose=False)
        accepted = parameters(self.model)
        kwargs = {
            name: padded(values, self._filling(name))
            for name, values in encoded.items()
            if accepted is None or name in accepted
        }
        return Batch(kwargs=with_decoder(self.model, kwargs), examples=len(texts))

    def _filling(self, name: str) -> int:
        """What stands in the padding of one of the tokenizer's outputs."""
        if name == "input_ids":
            return padding_id(self.tokenizer)
        return int(self.tokenizer.pad_token_type_id) if name == "token_type_ids" else 0


@dataclass(frozen=True)
class PictureEncoder:
    """For a model with an image processor."""

    model: nn.Module
    processor: Any

    def __call__(self, images: Sequence[Any]) -> Batch:
        """See `ImageEncoder`."""
        whole = [image.convert("RGB") if hasattr(image, "convert") else image for image in images]
        encoded = self.processor(images=whole, return_tensors="pt")
        accepted = parameters(self.model)
        kwargs = {name: value for name, value in encoded.items() if accepted is None or name in accepted}
        return Batch(kwargs=kwargs, examples=len(images))


def interleaved(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str]:
    """a0, b0, a1, b1, ...; the texts alone where there are no pairs."""
    if pairs is None:
        return list(texts)
    return [text for pair in zip(texts, pairs, strict=True) for text in pair]


def padded(rows: Sequence[Sequence[int]], filling: int) -> torch.Tensor:
    """The rows as one tensor [rows, longest], filled up on the right (positions then start at the first token)."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows], dtype=torch.long)


def padding_id(tokenizer: Any) -> int:
    """The padding token; where there is none any id does, since the mask and the labels leave it out."""
    return next((int(i) for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def with_decoder(model: Any, kwargs: dict[str, Any], labels: torch.Tensor | None = None) -> dict[str, Any]:
    """`kwargs` with what a decoder reads beside an encoder: the labels moved one to the right, else the text."""
    if "input_ids" not in kwargs or not getattr(model.config, "is_encoder_decoder", False):
        return kwargs
    given = kwargs["input_ids"] if labels is None else labels
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        return {**kwargs, "decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=given)}
    first = model.config.decoder_start_token_id
    start = torch.full_like(given[:, :1], model.config.pad_token_id or 0 if first is None else first)
    return {**kwargs, "decoder_input_ids": torch.cat([start, given[:, :-1]], dim=1)}


def parameters(model: nn.Module) -> frozenset[str] | None:
    """The names that `model.forward` takes; None where it takes whatever comes (`*args, **kwargs` alone)."""
    named = [item for item in inspect.signature(model.forward).parameters.values() if item.kind not in _SEVERAL]
    return frozenset(item.name for item in named) if named else None


_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@contextmanager
def _cut_at(model: Any, max_length: int | None) -> Iterator[None]:
    """A SentenceTransformer's maximum length, for the time of the block."""
    if max_length is None:
        yield
        return
    before = model.max_seq_length
    model.max_seq_length = max_length
    try:
        yield
    finally:
        model.max_seq_length = before
