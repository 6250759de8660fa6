"""What a transformers model makes of an example when it decodes: a few steps, with a cache or without."""

from __future__ import annotations

import copy
import inspect
import io
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from identikit.families.transformers_inputs import example
from identikit.families.transformers_quiet import silenced
from identikit.structure.traceless import traceless

STEPS = 3
_ROWS, _TOKENS = 2, 64  # of a prompt: what is wrong with a cache shows in a few, and a user's batch may be large
_TEXT = ("input_ids", "attention_mask")
_PROMPTS = (*_TEXT, "pixel_values", "input_features", "input_values")
_CACHES = ("cache_implementation", "cache_config")  # the settings that stay: which cache it is that is asked about
_OTHER_PASS = ("labels", "use_cache", "return_dict", "encoder_outputs")  # of a user's batch: not for these passes


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
        if not self._both:
            given = _prompt(given, _most_tokens(self._model))
        seen = _Seen()
        how = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "num_beams": 1, "use_cache": True}
        with silenced(), redirect_stdout(io.StringIO()), traceless(self._model):  # some models print in there
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
        if not self._both:
            return {name: value for name, value in own.items() if name in _PROMPTS and name not in _TEXT}
        others = ("decoder_", "past_", "output_")
        return {name: value for name, value in own.items() if name not in _OTHER_PASS and not name.startswith(others)}


def _prompt(given: dict[str, Any], most: int) -> dict[str, Any]:
    """What a decoder is given to go on from: of text alone a few tokens, no padding, so that more find room."""
    ids, mask = given.get("input_ids"), given.get("attention_mask")
    if ids is None or ids.ndim != 2 or set(given) - set(_TEXT):  # pictures and sound belong to certain tokens
        return given if mask is None else {**given, "attention_mask": torch.ones_like(mask)}
    counts = mask.bool() if mask is not None and mask.shape == ids.shape else torch.ones_like(ids, dtype=torch.bool)
    rows = [row[real][-most:] for row, real in zip(ids, counts, strict=True) if bool(real.any())][:_ROWS]
    length = min((len(row) for row in rows), default=0)
    cut = torch.stack([row[:length] for row in rows]) if length else ids[:_ROWS, -most:]
    return {"input_ids": cut, "attention_mask": torch.ones_like(cut)}


def _most_tokens(model: Any) -> int:
    """Of a prompt: behind it the model has room for the steps. On an accelerator a place too many ends the process."""
    config = model.config.get_text_config(decoder=True)
    room = getattr(config, "max_position_embeddings", None)
    return max(1, min(_TOKENS, room - 2 * STEPS)) if isinstance(room, int) and room > 0 else _TOKENS


def _own_scores(model: Any) -> Any:
    """A copy of the model's settings for generating, without what changes its scores or how tokens are looked for."""
    settings = copy.deepcopy(getattr(model, "generation_config", None))
    for name, value in vars(type(settings)()).items() if settings is not None else ():
        token = name.endswith("_token_id") and not name.startswith("forced_")
        if not token and not name.startswith("_") and name not in _CACHES:
            setattr(settings, name, value)
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
    """How `model` decodes from `batch`, or from its own example where that holds no prompt; None where it does not."""
    if not may_decode(model):
        return None
    batch = _named(model, batch)
    if not any(name in batch.kwargs for name in _PROMPTS if name != "attention_mask"):
        made, there = example(model), tensors_of((batch.args, batch.kwargs))
        if made is None:
            return None
        batch = made.to(there[0].device) if there else made
    return Decoder(model, batch) if any(name in _PROMPTS for name in batch.kwargs) else None


def _named(model: nn.Module, batch: Batch) -> Batch:
    """`batch` with what it gives by position under the names that the model's forward has for it."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes = [each.name for each in inspect.signature(model.forward).parameters.values() if each.kind in kinds]
    return replace(batch, args=(), kwargs={**dict(zip(takes, batch.args, strict=False)), **batch.kwargs})


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
