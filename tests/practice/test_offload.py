"""Weights that accelerate keeps elsewhere until a layer runs: in memory, on the disk, or as a device map says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from identikit.errors import SaveError
from practice.where import PLACE, logits, without

HOW = ["cpu", "disk", "map"]


def offloaded(how: str, folder: Path) -> Any:
    """A tiny LLaMA none of whose layers (with a map: half of them) has its weights on it."""
    from accelerate import cpu_offload, disk_offload, dispatch_model

    model = tiny.model("causal")
    if how == "cpu":
        cpu_offload(model, execution_device="cpu")
    elif how == "disk":
        disk_offload(model, folder / "aside", execution_device="cpu")
    else:
        where = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"], "cpu")
        where |= {f"model.layers.{layer}": "disk" if layer % 2 else "cpu" for layer in range(4)}
        dispatch_model(model, where, offload_dir=folder / "aside", main_device="cpu", force_hooks=True)
    return model


@pytest.mark.parametrize("place", [PLACE, "model.layers.0", "model.layers.1.mlp"])
@pytest.mark.parametrize("how", HOW)
def test_a_bypass_computes_what_it_does_elsewhere_and_accelerates_forwards_come_back(
    how: str, place: str, tmp_path: Path
) -> None:
    model, plain = offloaded(how, tmp_path), tiny.model("causal")
    full = logits(model)
    held = {path: vars(module).get("forward") for path, module in model.named_modules()}
    assert any(held.values())
    with ik.bypass(model, place), ik.bypass(plain, place):
        assert torch.equal(logits(model), logits(plain))
    assert all(vars(module).get("forward") is held[path] for path, module in model.named_modules())
    assert torch.equal(logits(model), full)
    assert any(value.is_meta for value in model.parameters())


@pytest.mark.parametrize("how", HOW)
def test_sites_and_removal(how: str, tmp_path: Path) -> None:
    model = offloaded(how, tmp_path)
    assert [(site.path, site.ok) for site in ik.sites(model)] == [(f"model.layers.{layer}", True) for layer in range(4)]
    ik.remove(model, PLACE)
    assert model.config.num_hidden_layers == 3
    assert torch.equal(logits(model), logits(without("causal", 1)))


def test_what_a_device_map_put_aside_is_saved_by_the_library(tmp_path: Path) -> None:
    model = ik.remove(offloaded("map", tmp_path), PLACE)
    ik.save(model, tmp_path / "short")
    assert torch.equal(logits(ik.load(tmp_path / "short")), logits(without("causal", 1)))


@pytest.mark.parametrize(("how", "form"), [("cpu", "checkpoint"), ("disk", "checkpoint"), ("map", "plan")])
def test_what_cannot_be_saved_from_afar_is_refused_with_the_line_that_fetches_it(
    how: str, form: Any, tmp_path: Path
) -> None:
    from accelerate.hooks import remove_hook_from_submodules

    model = ik.remove(offloaded(how, tmp_path), PLACE)
    with pytest.raises(SaveError, match=r"Fetch the weights first: accelerate.hooks.remove_hook_from_submodules\(mod"):
        ik.save(model, tmp_path / "short", form)
    assert not (tmp_path / "short").exists()
    remove_hook_from_submodules(model)
    ik.save(model, tmp_path / "short", form)
    assert torch.equal(logits(ik.load(tmp_path / "short")), logits(without("causal", 1)))
