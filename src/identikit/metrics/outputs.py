"""Finding what a metric compares in the output of a model: a sentence embedding, logits, a hidden state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

#: Never compared: a trained head that no one reads any more (BERT's pooler), and sums over the batch.
NOT_COMPARED = ("pooler_output", "loss")
HIDDEN = ("last_hidden_state", "token_embeddings")


def names(output: Any) -> list[str]:
    """The names under which `output` holds floating-point tensors; none for a tensor or a plain tuple."""
    if isinstance(output, Mapping):
        found = [str(key) for key in output]
    elif isinstance(output, torch.Tensor):
        found = []
    elif is_dataclass(output):
        found = [item.name for item in fields(output)]
    elif isinstance(output, tuple):
        found = list(getattr(output, "_fields", ()))
    else:
        found = list(getattr(output, "__dict__", {}))
    return [name for name in found if field(output, name) is not None]


def field(output: Any, name: str) -> torch.Tensor | None:
    """The floating-point tensor that `output` holds under `name` (a key or an attribute), else None."""
    if isinstance(output, torch.Tensor):
        return None
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return None
    return value.to_dense() if value.is_sparse else value


def embedding(output: Any) -> torch.Tensor | None:
    """The sentence embedding [rows, width] of a sentence-transformers model."""
    return field(output, "sentence_embedding")


def hidden(output: Any) -> torch.Tensor | None:
    """The last hidden state [rows, tokens, width]."""
    return next((value for name in HIDDEN if (value := field(output, name)) is not None), None)


def logits(output: Any) -> torch.Tensor | None:
    """What `output` calls logits: `logits`, `scores` (a cross-encoder), or start and end logits as two positions."""
    for name in ("logits", "scores"):
        if (value := field(output, name)) is not None:
            return value
    start, end = field(output, "start_logits"), field(output, "end_logits")
    return torch.stack([start, end], dim=1) if start is not None and end is not None else None


def plain(output: Any) -> torch.Tensor | None:
    """A tensor with no name that says what it is: the output itself, or its first floating-point tensor with examples.

    A sum such as the loss in front of a tuple has no dimension and is passed over.
    """
    if isinstance(output, torch.Tensor):
        candidates = [output]
    elif found := names(output):
        candidates = [
            value for name in found if name not in NOT_COMPARED and (value := field(output, name)) is not None
        ]
    elif isinstance(output, (tuple, list)):
        candidates = [item for item in output if isinstance(item, torch.Tensor)]
    else:
        candidates = []
    return next((item for item in candidates if item.is_floating_point() and item.ndim), None)


def predictions(output: Any) -> torch.Tensor | None:
    """Logits by name, else a tensor that nothing says is an embedding or a hidden state: a loss takes it for logits."""
    found = logits(output)
    if found is None and embedding(output) is None and hidden(output) is None:
        found = plain(output)
    return found


def own_loss(output: Any) -> float | None:
    """The loss that the model computed itself, where its output has one that is finite."""
    value = field(output, "loss")
    if value is None and isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
        value = output[0] if output[0].ndim == 0 and output[0].is_floating_point() else None
    if value is None or value.numel() == 0 or not bool(torch.isfinite(value).all()):
        return None
    return float(value.detach().cpu().double().mean())


def described(output: Any) -> str:
    """The output in words, for a message: its names, or its shape, or its class."""
    if isinstance(output, torch.Tensor):
        return f"a {shape(output)} tensor of {str(output.dtype).removeprefix('torch.')}"
    found = names(output)
    return f"{type(output).__name__} with {', '.join(found)}" if found else type(output).__name__


def shape(value: torch.Tensor) -> str:
    """`8x12x100`; `()` for a number."""
    return "x".join(map(str, value.shape)) or "()"
