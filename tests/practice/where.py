"""What the tests of this folder share: one input, the logits for it, and the two ways that layers go."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import tiny

PLACE = "model.layers.1"
INPUTS = {"input_ids": tiny.IDS}


def logits(model: nn.Module) -> torch.Tensor:
    """What `model` computes for INPUTS, in eval mode and without gradients."""
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**INPUTS).logits
    return found


def without(kind: str, *layers: int, **extra: Any) -> Any:
    """A fresh tiny model whose layers are gone by hand: container shortened, layers numbered, configuration in step."""
    model = tiny.model(kind, **extra)
    stack = model.model.layers if kind == "causal" else model.base_model.encoder.layer
    for layer in sorted(layers, reverse=True):
        del stack[layer]
    for number, layer in enumerate(stack):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number
    model.config.num_hidden_layers = len(stack)
    return model


def steps(model: nn.Module, count: int = 2) -> list[float]:
    """The losses of `count` training steps on INPUTS."""
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.05)
    model.train()
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model(**INPUTS).logits.float().square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
