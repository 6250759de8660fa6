"""What a transformers model makes of an example when it decodes: a few steps, with a cache or without."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.transformers_quiet import silenced
from identikit.structure.traceless import traceless

STEPS = 3
_PROMPTS = ("input_ids", "attention_mask", "pixel_values", "input_features", "input_values")


def decoded(model: Any, batch: Batch, *, cached: bool) -> torch.Tensor | None:
    """The logits [steps, rows, vocabulary] that `generate` finds one after another; None where it makes none."""
    given = {name: value for name, value in batch.copied().kwargs.items() if name in _PROMPTS}
    if not given or not may_decode(model):
        return None
    settings = copy.deepcopy(getattr(model, "generation_config", None))
    how = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "num_beams": 1, "use_cache": cached}
    with silenced(), traceless(model):
        torch.manual_seed(0)
        made = model.generate(
            **given, generation_config=settings, **how, output_logits=True, return_dict_in_generate=True
        )
    logits = getattr(made, "logits", None)
    return torch.stack(list(logits)) if logits else None


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
