"""The family of torchvision's models: examples by what they are for, and the builder found that makes such a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.plain import Family
from identikit.families.torchvision_construct import arguments_of, built, first_configuration
from identikit.families.trial import EXAMPLES, first_that_runs, pictures

_HOME = "torchvision.models"
#: Sides of pictures and videos in pixels, small ones first: the smallest that runs is taken.
SIDES = (64, 96, 128, 224, 299, 518)
FRAMES = (8, 16)


class TorchVision(Family):
    """Models of torchvision.models. It has no folder format: a checkpoint is plain, weights beside a plan."""

    name = "torchvision"

    def matches(self, model: nn.Module) -> bool:
        """Whether `model`'s class, or one that it inherits from, lives in torchvision.models."""
        return any(_lives_in(each, _HOME) for each in type(model).__mro__)

    def example(self, model: nn.Module) -> Batch | None:
        """Two pictures, two videos, two pairs of pictures or a list of pictures; None where it takes none of these."""
        return first_that_runs(model, _examples(model))

    def decodes(self, model: nn.Module, stack: str) -> bool:
        """No model of torchvision keeps a cache."""
        return False

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """The builder that makes a model of this structure, and its arguments; None where none does."""
        return first_configuration(model)

    def construct(self, folder: Path, configuration: dict[str, Any], model: str) -> nn.Module | None:
        """The full model of a first configuration, with random weights."""
        arguments = arguments_of(configuration)
        return built(*arguments) if arguments is not None else None


def _examples(model: Any) -> Iterator[Batch]:
    """What the model may take, by the first weight that is a kernel and by the part of torchvision it comes from."""
    kernel = next((value for value in model.parameters() if value.ndim >= 4), torch.empty(0, 3, 0, 0))
    sides = [model.image_size] if isinstance(getattr(model, "image_size", None), int) else list(SIDES)
    if kernel.ndim == 5:
        yield from (pictures(model, (3, frames, side, side)) for frames in FRAMES for side in sides[:4])
    elif any(_lives_in(each, f"{_HOME}.optical_flow") for each in type(model).__mro__):
        yield from (pictures(model, (3, side, side), (3, side, side)) for side in sides[2:])
    elif any(_lives_in(each, f"{_HOME}.detection") for each in type(model).__mro__):
        (picture,) = pictures(model, (3, 128, 128)).args
        yield Batch(args=(list(picture),), examples=EXAMPLES)
    else:
        yield from (pictures(model, (3, side, side)) for side in sides)


def _lives_in(kind: type, home: str) -> bool:
    return kind.__module__ == home or kind.__module__.startswith(f"{home}.")
