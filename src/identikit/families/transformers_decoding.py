"""What a transformers model makes of an example when it decodes: a few steps, with a cache or without."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.transformers_quiet import silenced
from identikit.structure.traceless import traceless

STEPS = 3
_FORCED = ("forced_bos_token_id", "forced_eos_token_id", "repetition_penalty")
_PROMPTS = ("input_ids", "attention_mask", "pixel_values", "input_features", "input_values")


class Decoder:
    """A model that decodes from a batch, with the library's own `generate` or step by step as a user would.

    Every result is the logits [steps, rows, vocabulary] that the next tokens are chosen by.
    """

    def __init__(self, model: nn.Module, batch: Batch) -> None:
        self._model: Any = model
        self._batch = batch
        self._both = bool(getattr(self._model.config, "is_encoder_decoder", False))
        self._name = "decoder_input_ids" if self._both else "input_ids"

    def generated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """With the cache that `generate` makes: the tokens [rows, length] that were read, and the logits.

        A token that may not be chosen has none there (infinite).
        """
        given = {name: value for name, value in self._batch.copied().kwargs.items() if name in _PROMPTS}
        if not self._both and "attention_mask" in given:
            given["attention_mask"] = torch.ones_like(given["attention_mask"])
        seen = _Seen()
        how = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "num_beams": 1, "use_cache": True}
        with silenced(), traceless(self._model):
            torch.manual_seed(0)
            self._model.generation_config = _own_scores(self._model)  # put back with all the rest
            self._model.generate(**given, **how, logits_processor=[seen])
        return seen.tokens, torch.stack(seen.scores)

    def plain(self, tokens: torch.Tensor) -> torch.Tensor:
        """Without a cache, in one pass over `tokens`."""
        with silenced(), traceless(self._model):
            logits: torch.Tensor = self._model(**self._beside(), **{self._name: tokens}, use_cache=False).logits
        return logits[:, -STEPS:].transpose(0, 1)

    def stepped(self, tokens: torch.Tensor) -> torch.Tensor:
        """With the cache that the model makes by itself and gets back, over `tokens`."""
        prompt, takes = tokens.shape[1] - STEPS + 1, inspect.signature(self._model.forward).parameters
        found: list[torch.Tensor] = []
        given = self._beside()
        kept: dict[str, Any] = {}
        with silenced(), traceless(self._model):
            for start, end in [(0, prompt), *((at, at + 1) for at in range(prompt, tokens.shape[1]))]:
                output = self._model(**given, **kept, **{self._name: tokens[:, start:end]}, use_cache=True)
                kept = {name: value for name, value in output.items() if name in takes and value is not None}
                found.append(output.logits[:, -1])
                given = given if self._both else {}  # pictures and sound belong to the prompt
        return torch.stack(found)

    def _beside(self) -> dict[str, Any]:
        """What forward takes beside the tokens: all that an encoder reads, or pictures and sound."""
        own = self._batch.copied().kwargs
        names = set(own) - {self._name} if self._both else set(_PROMPTS) - {"input_ids", "attention_mask"}
        return {name: value for name, value in own.items() if name in names}


def _own_scores(model: Any) -> Any:
    """A copy of the model's settings for generating, without what puts other scores in the place of its own."""
    settings = copy.deepcopy(getattr(model, "generation_config", None))
    for name in _FORCED:
        if hasattr(settings, name):
            setattr(settings, name, None)
    return settings


class _Seen:
    """A logits processor that changes nothing: `generate` shows it the tokens and the scores of each step.

    (Asked for the logits in its answer, Whisper's takes the cache apart, and fails on a layer that left it empty.)
    """

    def __init__(self) -> None:
        self.scores: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.tokens = input_ids.clone()
        self.scores.append(scores.detach().clone())
        return scores


def decoder(model: nn.Module, batch: Batch) -> Decoder | None:
    """How `model` decodes from `batch`; None where it does not, or not from what is in it."""
    prompts = [name for name in batch.kwargs if name in _PROMPTS]
    return Decoder(model, batch) if prompts and may_decode(model) else None


def cache_slots(config: Any) -> int:
    """For how many layers the library makes places in a cache; 0 where that cannot be known."""
    from transformers import DynamicCache

    try:
        return len(DynamicCache(config=config).layers)
    except Exception:  # whatever a configuration raises, it has no such cache
        return 0


def may_decode(module: nn.Module) -> bool:
    """Whether a module is a model that makes its output step by step."""
    can: Any = getattr(module, "can_generate", None)
    return callable(can) and bool(can())
