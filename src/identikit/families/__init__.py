"""The model libraries that identikit knows; a new one is one file and one entry below."""

from __future__ import annotations

from torch import nn

from identikit.families.plain import Family
from identikit.families.sentence_transformers import SentenceTransformers
from identikit.families.timm import Timm
from identikit.families.torchvision import TorchVision
from identikit.families.transformers import Transformers
from identikit.families.wrapped import Wrapped

__all__ = ["FAMILIES", "Family", "family_of"]

_LIBRARIES: tuple[Family, ...] = (SentenceTransformers(), Transformers(), Timm())

#: Asked in this order; the last is right for any nn.Module.
FAMILIES: tuple[Family, ...] = (*_LIBRARIES, TorchVision(), Wrapped(_LIBRARIES), Family())


def family_of(model: nn.Module, family: Family | None = None) -> Family:
    """The family to use for `model`: the user's own, else the first that matches."""
    return family or next(each for each in FAMILIES if each.matches(model))
