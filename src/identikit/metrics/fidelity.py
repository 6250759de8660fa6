"""fidelity: how much of what the full model says an edited one still says, in 0 to 1. It needs no labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Metric
from identikit.metrics.distances import cosine, overlap, overlap_each
from identikit.metrics.outputs import described, embedding, hidden, logits, plain, shape
from identikit.metrics.positions import Kept, classes_last, compared, counting, keep, kept_of

_COMPARE = {"cosine": cosine, "logits": overlap, "sigmoid": overlap_each}


class Fidelity(Metric):
    """Agreement with the full model, one number in 0 to 1 per example; 1 where nothing changed.

    What is compared, the first that the output has: its `sentence_embedding` (cosine), its logits (the overlap of the
    two distributions: the sum of the smaller softmax probabilities, averaged over the tokens), its last hidden state
    (cosine, averaged over the tokens). Padding is left out. `pooler_output` is never compared: few models train it.

    A bare tensor, or the first one of a tuple, may be logits or features, and nothing in it says which: it is
    compared by cosine, which means something for both. Say `kind="logits"` ("fidelity:logits") where they are logits
    and `kind="sigmoid"` where each is a yes or no of its own; `kind="cosine"` compares directions in any output.
    Feature maps of three or more dimensions after the batch are one vector each. A negative cosine counts as 0.

    Source: the overlap is one minus the total variation distance; in speculative sampling (Leviathan et al. 2023,
    arXiv:2211.17192) it is the rate at which the full model accepts a token of the edited one.
    """

    kinds: ClassVar[tuple[str, ...]] = ("logits", "cosine", "sigmoid")

    def __init__(self, kind: str | None = None) -> None:
        self.name = "fidelity" if kind is None else f"fidelity:{kind}"
        self.kind = kind

    def reference(self, output: Any, batch: Batch) -> Kept:
        """The part of the full model's `output` that is compared, without padding.

        Raises MetricError where there is nothing to compare or one number per example is all there is.
        """
        how, source, value = self.part(output)
        value_rtc = arranged(value, how, metric=self.name)
        mask = counting(output, batch, value_rtc) if value.ndim == 3 else None
        return keep(value_rtc, mask, how=how, source=source)

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """The agreement of each example: [examples]."""
        kept = kept_of(reference, metric=self.name)
        _, _, value = self.part(output, source=kept.source)
        value_rtc = arranged(value, kept.how, metric=self.name)
        return compared(kept, value_rtc, batch, _COMPARE[kept.how], metric=self.name)

    def part(self, output: Any, source: str | None = None) -> tuple[str, str, torch.Tensor]:
        """How, what and the tensor; the same `source` as the full model's where one is given.

        Raises MetricError where the output has nothing to compare.
        """
        known = {"sentence_embedding": embedding, "logits": logits, "last_hidden_state": hidden, "output": plain}
        order = ["sentence_embedding", "logits", "last_hidden_state", "output"]
        if self.kind == "cosine":
            order = ["sentence_embedding", "last_hidden_state", "logits", "output"]
        elif self.kind is not None:
            order = ["logits", "output"]
        for name in order if source is None else [source]:
            value = known[name](output)
            if value is not None and value.ndim:
                natural = "logits" if name == "logits" else "cosine"
                return self.kind or natural, name, value
        wanted = source or "a sentence embedding, logits, a hidden state or a tensor of floating-point numbers"
        raise MetricError(
            f'metric "{self.name}" found no {wanted.removeprefix("a ")} in the model\'s output ({described(output)}). '
            "Let the model return one, or write the metric yourself: file.py:function."
        )


def arranged(value: torch.Tensor, how: str, *, metric: str) -> torch.Tensor:
    """`value` as [rows, positions, width], for the way it is compared.

    Raises MetricError for one number per example, which has no direction and no distribution.
    """
    if how == "sigmoid":
        return classes_last(value)
    squeezed = value.squeeze(-1) if value.ndim > 1 and value.shape[-1] == 1 else value
    if squeezed.ndim == 1 or (how == "logits" and classes_last(value).shape[-1] == 1):
        raise MetricError(
            f'metric "{metric}" compares directions or distributions, and this output has a single number '
            f'({shape(value)}). Use "{metric.split(":")[0]}:sigmoid" where it is a logit, '
            'or judge it against a target: "loss" or "spearman".'
        )
    if how == "logits":
        return classes_last(value)
    if squeezed.ndim == 2:
        return squeezed.unsqueeze(1)
    return squeezed if squeezed.ndim == 3 else squeezed.flatten(1).unsqueeze(1)
