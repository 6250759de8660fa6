"""Low-rank adapters instead of all weights (PEFT): put beside the linear layers of the blocks, merged at the end.

Source: Hu et al. 2021, "LoRA" (arXiv:2106.09685).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from identikit.errors import ModelError, needs_extra

_NAME = "identikit"


def targets_of(model: nn.Module, blocks: Iterable[str]) -> list[str]:
    """The linear layers inside `blocks`; of the whole model where there are none. Raises ModelError without any."""
    linear = [path for path, module in model.named_modules() if path and _takes_an_adapter(module)]
    inside = tuple(f"{path}." for path in blocks)
    found = [path for path in linear if path.startswith(inside)] or linear
    if not found:
        raise ModelError(f"{type(model).__name__} has no linear layer for an adapter. Heal it without lora.")
    return found


class Adapters:
    """PEFT's adapters in a model, until they are merged or taken away."""

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner

    def merge(self) -> None:
        """Add what was learned to the weights, and take the adapters away."""
        self._tuner.merge_and_unload()
        self._tuner = None

    def drop(self) -> None:
        """Take the adapters away where they are there still; the weights beside them were never changed."""
        if self._tuner is not None:
            self._tuner.unload()


@contextmanager
def beside(model: nn.Module, targets: list[str], rank: int) -> Iterator[Adapters]:
    """Adapters of rank `rank` beside `targets` of `model`; everything else is frozen. None is left behind.

    Raises MissingExtraError without peft.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise needs_extra("peft", "heal", "lora=") from error
    names = "|".join(re.escape(path) for path in targets)
    before = set(vars(model))
    with warnings.catch_warnings():  # what it says of tied weights and kept names is about saving adapters
        warnings.simplefilter("ignore")
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names)
        adapters = Adapters(LoraModel(model, config, _NAME))
    model.eval()
    try:
        yield adapters
    finally:
        adapters.drop()
        for name in set(vars(model)) - before:
            del vars(model)[name]


def weights_at(targets: Iterable[str]) -> Callable[[nn.Module], dict[str, torch.Tensor]]:
    """What merging adapters beside `targets` changes."""
    names = [f"{path}.weight" for path in targets]
    return lambda model: {name: model.get_parameter(name) for name in names}


def _takes_an_adapter(module: nn.Module) -> bool:
    """A linear layer, or one that PEFT knows as such: GPT-2 keeps its own, transposed."""
    return type(module) is nn.Linear or type(module).__name__ == "Conv1D"
