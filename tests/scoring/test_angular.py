"""Angular distance: arccos of the cosine over pi, over spans; the last counted token where the model decodes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from identikit.families.anatomy import anatomy_of
from identikit.scoring import angular
from scoring.cheap import plans, streams, together
from zoo import case
from zoo.from_transformers import TOKENS, ids, mask


def by_hand(entered: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(entered.double(), left.double(), dim=-1).arccos() / math.pi


def test_all_counted_tokens_of_an_encoder() -> None:
    model = case("bert").build()
    batch = case("bert").inputs(model)
    anatomy = anatomy_of(model, batch)
    found = angular.scores(anatomy, [batch], plans(anatomy))
    for path, (entered, left) in streams(model, batch, found).items():
        angles = by_hand(entered, left)
        assert np.allclose(found[path], (angles * mask()).sum(1) / mask().sum(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_last_counted_token_of_a_model_that_decodes(side: str) -> None:
    model = case("llama").build()
    padding = mask() if side == "right" else mask().flip(1)
    last = [TOKENS - 1, TOKENS - 4] if side == "right" else [TOKENS - 1, TOKENS - 1]
    batch = replace(case("llama").inputs(model), kwargs={"input_ids": ids(), "attention_mask": padding})
    anatomy = anatomy_of(model, batch)
    blocks = anatomy.blocks()
    found = angular.scores(anatomy, [batch], together(anatomy, *([path] for path in blocks), blocks[1:3]))
    seen = streams(model, batch, blocks)
    seen[" + ".join(blocks[1:3])] = seen[blocks[1]][0], seen[blocks[2]][1]
    assert len(found) == 5
    for path, (entered, left) in seen.items():
        assert np.allclose(found[path], by_hand(entered, left)[[0, 1], last], atol=1e-6, rtol=0)


def test_small_angles_are_exact() -> None:
    """arccos(1 - 6e-8) would be 1e-4: half an angle is found by its tangent instead."""
    one = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    assert float(angular.angle(one, one).max()) == 0.0
    tiny = one.double() + 1e-6 * torch.randn(64, 128, generator=torch.Generator().manual_seed(1))
    exact = by_hand(one.double(), tiny)
    assert torch.allclose(angular.angle(one, tiny.float()), exact, rtol=0.1, atol=0)
    assert angular.angle(one, -one).mean().item() == pytest.approx(1.0)
    zero = torch.zeros(1, 3)
    assert angular.angle(zero, zero).item() == 0.0
    assert angular.angle(zero, torch.ones(1, 3)).item() == pytest.approx(0.5)
