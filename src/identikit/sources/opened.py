"""An opened MODEL: the network with what its library knows about its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from identikit.batches import Batch

EMBEDDING = ("embedding", "feature-extraction")
CAUSAL = ("text-generation",)
MASKED = ("fill-mask",)
CLASSIFIER = ("text-classification", "sentiment-analysis")
TEXT_TO_TEXT = ("text2text-generation", "summarization", "translation")

_SENTENCES = ("A plane is taking off.", "A man is playing a large flute in the park.")


class Encoder(Protocol):
    """Turns examples into what the model takes. The batch has no target yet."""

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, max_length: int | None = None
    ) -> Batch:
        """One example per text; `pairs` holds the second text of each. Padded to the longest, cut at `max_length`."""


class ImageEncoder(Protocol):
    """Turns pictures (PIL images, or arrays with channels last) into what the model takes."""

    def __call__(self, images: Sequence[Any]) -> Batch:
        """One example per picture."""


@dataclass(frozen=True)
class Opened:
    """A model in eval mode, and how to feed it.

    `task` is a name of `transformers.pipeline` or "embedding"; None where nobody knows. `folder` is where the
    checkpoint lies. `encode` is None for a model without a tokenizer, `encode_images` for one without an image
    processor. `labels` are the classes by name, `regression` says that the head gives numbers instead. `longest`
    is how many tokens the model reads at most.
    """

    model: nn.Module
    name: str
    task: str | None = None
    folder: Path | None = None
    encode: Encoder | None = None
    encode_images: ImageEncoder | None = None
    tokenizer: Any = None
    processor: Any = None
    labels: Mapping[str, int] = field(default_factory=dict)
    regression: bool = False
    longest: int | None = None

    @property
    def inputs(self) -> Batch | None:
        """Two sentences as the model takes them, on its device; None where it takes no text."""
        if self.encode is None:
            return None
        longest = None if self.longest is None else min(self.longest, 32)
        device = next((value.device for value in self.model.parameters()), torch.device("cpu"))
        return self.encode(_SENTENCES, max_length=longest).to(device)
