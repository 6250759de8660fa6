"""Half precision: dtypes are kept through every verb, and the proofs hold in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from practice.where import logits
from zoo import case

HALF = [torch.bfloat16, torch.float16]
STACK = {"causal": "model.layers", "masked": "bert.encoder.layer"}


def dtypes(model: nn.Module) -> set[torch.dtype]:
    return {value.dtype for value in model.parameters()}


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("kind", STACK)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_bypass_remove_save_and_load(dtype: torch.dtype, kind: str, layer: int, form: Any, tmp_path: Path) -> None:
    """`.to(dtype)` rounds the angles of the rotary embedding too; a loader makes those anew in full precision."""
    model, place = tiny.model(kind).to(dtype), f"{STACK[kind]}.{layer}"
    full = logits(model)
    with ik.bypass(model, place):
        bypassed = logits(model)
    assert torch.equal(logits(model), full)
    ik.remove(model, place)
    assert torch.equal(logits(model), bypassed)
    ik.save(model, tmp_path / "short", form)
    again = ik.load(tmp_path / "short")
    assert dtypes(model) == dtypes(again) == {dtype}
    assert bypassed.dtype == dtype
    torch.testing.assert_close(logits(again), bypassed, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_proofs_hold_in_half_precision_for_what_they_hold_for_in_full(dtype: torch.dtype) -> None:
    for kind, inner in (("causal", "model.layers.1.mlp"), ("masked", "bert.encoder.layer.1.attention")):
        full, half = (ik.sites(tiny.model(kind).to(each), at=inner)[0] for each in (torch.float32, dtype))
        assert (half.role, half.ok) == (full.role, True)
    entry = case("resnet")
    model = entry.build()
    pictures = entry.inputs(model)
    roles = [(site.path, site.role) for site in ik.sites(model, pictures)]
    assert [(site.path, site.role) for site in ik.sites(model.to(dtype), pictures.to(None, dtype))] == roles


def test_what_is_wrong_is_still_refused_in_half_precision(tmp_path: Path) -> None:
    """DiffLlama ties a constant to each layer's number: rounding must not hide that a checkpoint has another one."""
    model = ik.remove(tiny.model("diff").to(torch.bfloat16), "model.layers.1")
    with pytest.raises(ik.IdentikitError, match="computes something else"):
        ik.save(model, tmp_path / "wrong")
    ik.save(model, tmp_path / "plan", "plan")
    torch.testing.assert_close(logits(ik.load(tmp_path / "plan")), logits(model), atol=0.1, rtol=0.1)


def test_autocast_around_a_bypass() -> None:
    model = tiny.model("causal")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        full = logits(model)
        with ik.bypass(model, "model.layers.1"):
            edited = logits(model)
        assert torch.equal(logits(model), full)
    assert edited.dtype == torch.bfloat16
    assert not torch.allclose(edited, full, atol=0.1)
