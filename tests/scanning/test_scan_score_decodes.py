"""A score that lets the model decode sees the cache in order while a layer is left out."""

from __future__ import annotations

from typing import Any

import torch

import identikit as ik
from zoo import case


def test_what_a_score_decodes_is_what_one_pass_computes() -> None:
    entry = case("gpt2")
    model = entry.build()
    tokens = torch.arange(10, 16)[None]

    def apart(model: Any) -> float:
        """How far the logits of two steps with a cache are from those of one pass."""
        first = model(tokens[:, :4], use_cache=True)
        second = model(tokens[:, 4:], past_key_values=first.past_key_values, use_cache=True)
        full = model(tokens, use_cache=False).logits
        return float((torch.cat([first.logits, second.logits], dim=1) - full).abs().max() / full.abs().max())

    found = ik.scan(model, score=apart, inputs=entry.inputs(model))
    assert len(found) == len(model.transformer.h)
    assert all(row.edited < 1e-4 for row in found)
