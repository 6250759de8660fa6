"""Greedy removal of 7 of 32 layers: SLEB's loop beside `ik.prune`, rows x layers and the choice (see scan.py)."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import torch
from scan_cases import Case, minilm, on_dev
from scan_rivals import MINILM_GONE, sleb
from scan_ways import engines
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

import identikit as ik
from identikit.batches import Batch

_LAYERS, _DROP, _MODELS = 32, 7, 20
_GOAL = {"most": 0.51, "mean": 0.40}


def greedy(data: Path | None) -> dict[str, Any]:
    """Twenty random models, ten of each kind of residual block; MiniLM where its sentences are there."""
    lines = [_one(seed) for seed in range(_MODELS)]
    ratios = [line["rows_x_layers_over_slebs"] for line in lines]
    found: dict[str, Any] = {
        "layers": _LAYERS, "drop": _DROP, "goal": _GOAL, "mean": round(statistics.mean(ratios), 3),
        "most": max(ratios), "same_choice": sum(line["same"] for line in lines), "models": lines,
    }  # fmt: skip
    for kind in ("post-norm", "pre-norm"):
        own = [line["rows_x_layers_over_slebs"] for line in lines if line["kind"] == kind]
        found[f"mean of the {kind} models"] = round(statistics.mean(own), 3)
    if data is not None:
        found["MiniLM"] = _minilm(data)
    return found


def _one(seed: int) -> dict[str, Any]:
    case = _random(seed)
    rival = sleb(case, _DROP)
    with engines() as seen:
        pruned = ik.prune(
            case.model, list(case.batches), at=f"{case.stack}.[1:{_LAYERS - 1}]", drop=_DROP, holdout=0, progress=False
        )
    facts = seen.facts()
    slebs = case.examples * sum((_LAYERS - 2 - gone) * (_LAYERS - 1 - gone) for gone in range(_DROP))
    return {
        "kind": "post-norm" if seed % 2 == 0 else "pre-norm",
        "gone": [int(path.rpartition(".")[2]) for path in pruned.plan.places],
        "same": set(rival.gone) == set(pruned.plan.places),
        "rows_x_layers_over_slebs": round(facts["rows_x_layers"] / slebs, 3),
        "engine": facts["engine"],
    }


def _random(seed: int) -> Case:
    """A small random model: BERT's blocks (post-norm) or LLaMA's (pre-norm) in turn."""
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "num_hidden_layers": _LAYERS, "num_attention_heads": 2, "intermediate_size": 64}
    model: Any
    if seed % 2 == 0:
        config = BertConfig(**size, vocab_size=100, initializer_range=0.2)
        model, stack = BertModel(config, add_pooling_layer=False), "encoder.layer"
    else:
        model, stack = LlamaModel(LlamaConfig(**size, vocab_size=100, initializer_range=0.2)), "layers"
        model.config.use_cache = False
    ids = torch.randint(0, 100, (4, 4, 8))
    batches = [Batch(kwargs={"input_ids": each}, examples=4) for each in ids]
    layers = tuple(f"{stack}.{number}" for number in range(_LAYERS))
    return Case(f"random {seed}", model.eval(), batches, layers, lambda path: model, stack)


def _minilm(data: Path) -> dict[str, Any]:
    """SLEB's loop (all six layers tried) and `ik.prune` on the sentences of STS-B's training part."""
    case, around = minilm(data, sentences=500)
    rival = sleb(case, 2, case.layers)
    pruned = ik.prune(case.model, list(case.batches), at=list(case.layers), drop=2, holdout=0, progress=False)
    chosen = tuple(pruned.plan.places)
    scores = {"SLEB": rival.gone, "identikit": chosen}
    dev = {name: round(on_dev(dataclasses.replace(case), around, data, gone), 2) for name, gone in scores.items()}
    return {"sleb": sorted(rival.gone), "identikit": sorted(chosen), "expected": sorted(MINILM_GONE), "dev": dev}
