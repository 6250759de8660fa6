"""Decoding with a cache against decoding without one, in logits: step by step, and as `generate` does it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from identikit.batches import Batch

PROMPT, STEPS = 5, 4
EQUAL, CLOSE = 1e-4, 1e-3  # of the largest logit: what the unedited model must keep, and the edited one
_CACHES = ("past_key_values", "cache_params", "state")


def ways(model: nn.Module, batch: Batch) -> list[str]:
    """In which ways the model as it is decodes with a cache as it does without."""
    found = []
    for way in ("step", "generate"):
        try:
            if off(model, batch, way) < EQUAL:
                found.append(way)
        except (Exception, SystemExit):  # whatever it raises, it has no such equality to keep
            continue
    return found


def off(model: nn.Module, batch: Batch, way: str) -> float:
    """How far the cached logits are from the others, as a share of the largest."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cached, full = (_stepwise if way == "step" else _generated)(model, batch)
    if cached.shape != full.shape or not bool(cached.isfinite().all()):
        return float("inf")
    return float((cached - full).abs().max() / full.abs().max())


def _stepwise(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(60, 200, (2, PROMPT + STEPS), generator=torch.Generator().manual_seed(3))
    full = model(**_call(batch, tokens), use_cache=False).logits[:, PROMPT - 1 :]
    found, cache = [], {}
    for start, end in [(0, PROMPT), *((at, at + 1) for at in range(PROMPT, PROMPT + STEPS))]:
        output = model(**_call(batch, tokens[:, start:end]), **cache, use_cache=True)
        name = next(name for name in _CACHES if output.get(name) is not None)
        cache = {name: output[name]}
        found.append(output.logits[:, -1])
    return torch.stack(found, dim=1), full


def _generated(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(60, 200, (2, PROMPT), generator=torch.Generator().manual_seed(3))
    how = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "num_beams": 1, "use_cache": True}
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def noted(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        seen.append((input_ids.clone(), scores.clone()))
        return scores

    # not `output_logits`: for its answer Whisper's takes the cache of every layer apart, also of one that left it empty
    model.generate(**_call(batch, tokens), **how, logits_processor=[noted])
    full = model(**_call(batch, seen[-1][0]), use_cache=False).logits[:, -STEPS:]
    cached = torch.stack([scores for _, scores in seen], dim=1)
    return cached.where(cached.isfinite(), full), full  # a token that may not be chosen yet has no score


def _call(batch: Batch, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    if "decoder_input_ids" in batch.kwargs:
        return {**batch.copied().kwargs, "decoder_input_ids": tokens}
    return {"input_ids": tokens}
