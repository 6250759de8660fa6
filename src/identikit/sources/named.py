"""A model of timm or torchvision by its name there, `timm:NAME`, `torchvision:NAME`; and how pictures go into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import ModelError, did_you_mean, needs_extra
from identikit.families.hushed import hushed
from identikit.families.timm_construct import is_model
from identikit.sources.checkpoint import loading_errors
from identikit.sources.opened import Opened

_CLASSIFIES = "image-classification"


def names_library(name: str) -> bool:
    """Whether `name` is a model's name with its library in front."""
    return name.partition(":")[0] in ("timm", "torchvision")


def open_named(name: str, *, task: str | None, device: torch.device, dtype: torch.dtype | None) -> Opened:
    """The model with the weights that its library has for it, in eval mode.

    Raises ModelError for a name that the library does not know, for one without weights, and where they cannot be
    fetched.
    """
    library, _, inner = name.partition(":")
    with loading_errors(name):
        opened = (_of_timm if library == "timm" else _of_torchvision)(name, inner, task)
    opened.model.to(device=device, dtype=dtype).eval()
    return opened


def described(model: nn.Module, *, name: str, task: str | None, folder: Path | None) -> Opened:
    """`model` with what timm knows of its pictures and labels, where it is timm's."""
    if not is_model(model):
        return Opened(model=model, name=name, task=task, folder=folder)
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    told: Any = model.pretrained_cfg
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    labels = told.get("label_names") or ()
    return Opened(
        model=model,
        name=name,
        task=task or (_CLASSIFIES if getattr(model, "num_classes", 0) else None),
        folder=folder,
        encode_images=Transformed(model, transform),
        labels={str(label): number for number, label in enumerate(labels)},
    )


@dataclass(frozen=True)
class Transformed:
    """Pictures for a model that takes one tensor, by the library's own transform."""

    model: nn.Module
    transform: Callable[[Any], torch.Tensor]

    def __call__(self, images: Sequence[Any]) -> Batch:
        """See `ImageEncoder`."""
        from PIL import Image

        whole = [image if hasattr(image, "convert") else Image.fromarray(image) for image in images]
        made = torch.stack([self.transform(image.convert("RGB")) for image in whole])
        weight = next((value for value in self.model.parameters() if value.is_floating_point()), made)
        return Batch(args=(made.to(weight.device, weight.dtype),), examples=len(images))


def _of_timm(name: str, inner: str, task: str | None) -> Opened:
    try:
        import timm
    except ImportError as cause:
        raise needs_extra("timm", "timm", f'opening "{name}"') from cause
    known = timm.list_models(include_tags=False)
    bare = inner.partition(".")[0]
    if bare not in known:
        raise ModelError(f'timm has no model "{inner}".{did_you_mean(bare, known)} timm.list_models() lists them.')
    if not timm.is_model_pretrained(inner):
        raise ModelError(
            f'timm has no weights for "{inner}". For random ones name file.py:function that returns '
            f'timm.create_model("{bare}").'
        )
    with hushed("timm"):
        model = timm.create_model(inner, pretrained=True)
    return described(model, name=name, task=task, folder=None)


def _of_torchvision(name: str, inner: str, task: str | None) -> Opened:
    try:
        from torchvision import models
    except ImportError as cause:
        raise needs_extra("torchvision", "timm", f'opening "{name}"') from cause
    known = models.list_models()
    if inner not in known:
        hint = did_you_mean(inner, known)
        raise ModelError(f'torchvision has no model "{inner}".{hint} torchvision.models.list_models() lists them.')
    weights = getattr(models.get_model_weights(inner), "DEFAULT", None)
    if weights is None:
        raise ModelError(
            f'torchvision has no weights for "{inner}". For random ones name file.py:function that returns '
            f'torchvision.models.get_model("{inner}").'
        )
    model = models.get_model(inner, weights=weights)
    labels = weights.meta.get("categories", ())
    classifies = models.get_model_builder(inner).__module__.count(".") == 2  # not one of detection, video, ...
    return Opened(
        model=model,
        name=name,
        task=task or (_CLASSIFIES if classifies else None),
        encode_images=Transformed(model, weights.transforms()) if classifies else None,
        labels={str(label): number for number, label in enumerate(labels)},
    )
