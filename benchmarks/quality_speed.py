"""The part `speedup` of benchmarks/quality.py: is a pass as many times as fast as `ik.prune(speedup=S)` was asked for?

Timed by this file's own clock: the full model, the smaller one and the one with a layer more (the point of the curve
before it) in turn, one thread; the median of the ratios of neighbouring passes. Random weights but for MiniLM:
what is asked here is speed.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from quality_minilm import subject as minilm
from torch import nn

import identikit as ik
from identikit.batches import Batch

ASKED = (1.2, 1.5)
ENOUGH = 0.95
TURNS = 31
Made = tuple[nn.Module, Batch, str | list[str]]


def sentences(folder: Path) -> Made:
    about = minilm(folder)
    return about.model, about.batches[0], "0.model.encoder.layer.*"


def vit(folder: Path) -> Made:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False).eval()
    return model, Batch(args=(torch.randn(4, 3, 224, 224),), examples=4), "blocks.*"


def resnet(folder: Path) -> Made:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("resnet50", pretrained=False).eval()
    batch = Batch(args=(torch.randn(2, 3, 224, 224),), examples=2)
    return model, batch, [f"layer{stage}.[1:]" for stage in (1, 2, 3, 4)]


SHAPES: dict[str, Callable[[Path], Made]] = {"MiniLM": sentences, "ViT-tiny": vit, "ResNet-50": resnet}


@torch.no_grad()
def times_as_fast(full: nn.Module, others: list[nn.Module], batch: Batch) -> list[float]:
    """For each of the others, the median over the turns of the full model's seconds over its own."""
    seconds: list[list[float]] = [[] for _ in (full, *others)]
    for turn in range(TURNS + 2):
        for model, taken in zip((full, *others), seconds, strict=True):
            began = time.perf_counter()
            batch.call(model)
            if turn >= 2:  # the first two warm up
                taken.append(time.perf_counter() - began)
    return [statistics.median(a / b for a, b in zip(seconds[0], each, strict=True)) for each in seconds[1:]]


def speedup(folder: Path) -> dict[str, Any]:
    """Each shape at each speed asked for."""
    found: dict[str, Any] = {"goals": []}
    for name, made in SHAPES.items():
        model, batch, at = made(folder)
        for asked in ASKED:
            pruned = ik.prune(model, [batch], at=at, speedup=asked, progress=False)
            gone = pruned.front.choice.dropped
            models = [pruned.model]
            if gone > 1:
                models.append(ik.remove(copy.deepcopy(model), pruned.front.plan(gone - 1), inputs=batch))
            with torch.inference_mode():
                reached, *before = times_as_fast(model, models, batch)
            less = before[0] if before else 1.0
            met = reached >= ENOUGH * asked and less < asked
            found[f"{name}, {asked} times"] = {
                "gone": gone, "times_as_fast": round(reached, 3), "with_a_layer_more": round(less, 3),
            }  # fmt: skip
            found["goals"].append(
                f"{name}, {asked} times as fast: {reached:.3f}, with a layer more {less:.3f}: "
                + ("met" if met else "missed")
            )
    return found
