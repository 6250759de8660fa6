"""Weights under which every layer matters; three ways, the strongest first: some architectures bear only the gentle."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator

import torch
from torch import nn

from zoo import weigh


def weights(seed: int) -> Iterator[Callable[[nn.Module], nn.Module]]:
    """Functions that give a model with other weights; the model that they take stays as it is."""
    yield lambda model: _with_unsaved(model, weigh(copy.deepcopy(model), seed=seed))
    yield lambda model: _with_unsaved(model, gentle(copy.deepcopy(model), 1.0, seed))
    yield lambda model: _with_unsaved(model, gentle(copy.deepcopy(model), 0.3, seed))


def _with_unsaved(made: nn.Module, weighed: nn.Module) -> nn.Module:
    """What the library never writes down (Marian's sinusoidal positions) is in every model as its class made it."""
    patterns = [pattern for each in made.modules() for pattern in getattr(each, "_keys_to_ignore_on_save", None) or ()]
    unsaved = {name: v for name, v in made.state_dict().items() if any(re.search(each, name) for each in patterns)}
    weighed.load_state_dict(unsaved, strict=False)
    return weighed


def gentle(model: nn.Module, gain: float, seed: int) -> nn.Module:
    """New matrices in linear layers, convolutions and embeddings alone; all else as the class made it."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for value in module.parameters(recurse=False):
                if isinstance(module, nn.Embedding):
                    value.copy_(torch.randn(value.shape, generator=draw))
                elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)) and value.ndim > 1:
                    value.copy_(gain * torch.randn(value.shape, generator=draw) / value[0].numel() ** 0.5)
                elif bool((value == value.flatten()[0]).all()) and value.is_floating_point():
                    value.add_(0.1 * torch.randn(value.shape, generator=draw))
    return model.eval()
