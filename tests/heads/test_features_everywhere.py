"""`features` over libraries: each classifier is cut right or refused by name. A few; all in benchmarks/heads.py."""

from __future__ import annotations

import random
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import IdentikitError, RoleError
from identikit.families import family_of
from identikit.structure.compare import equal
from identikit.structure.trees import leaves
from wide import NotBuilt, build, types

WIDTHS = {
    "alexnet": 9216,
    "resnet18": 512,
    "convnext_tiny": 768,
    "squeezenet1_1": 512,
    "mobilenet_v3_small": 576,
    "googlenet": 1024,
}


def cut(model: nn.Module, call: Any, inputs: Any) -> str:
    """ "right", or "refused"; an AssertionError where the features are not what the first layer that goes took."""
    full = {path: module for path, module in model.named_modules() if path}
    taken: dict[str, Any] = {}

    def note(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(_: nn.Module, args: Any) -> None:
            taken.setdefault(path, _first(args))

        return hook

    hooks = [module.register_forward_pre_hook(note(path)) for path, module in full.items()]
    with torch.no_grad():
        call(model)
    for hook in hooks:
        hook.remove()
    try:
        ik.features(model, inputs=inputs)
    except RoleError:
        return "refused"
    with torch.no_grad():
        features = next(leaf for path, leaf in leaves(call(model)) if path in ((), ("logits",), ("last_hidden_state",)))
    record = model.identikit_features
    first = next(path for path in taken if path in record.removed)
    assert _is_from(taken[first], features), first
    assert record.width == features.shape[1] == features.numel() // len(features)
    return "right"


def _first(args: Any) -> Any:
    return next((leaf.clone() for _, leaf in leaves(args) if isinstance(leaf, torch.Tensor)), None)


def _is_from(taken: torch.Tensor, features: torch.Tensor) -> bool:
    """Whether features are what was taken, one token of it, or its mean over places."""
    if taken.numel() == features.numel():
        return equal(features.reshape(taken.shape), taken)
    if taken.ndim == 4:
        return equal(features, taken.mean((2, 3)))
    return bool((taken == features[:, None]).all(-1).any(1).all())


def torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def of_torchvision(name: str) -> str:
    from torchvision import models

    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, **extra).eval()
    side = 96 if name == "inception_v3" else 224 if name.startswith(("vit", "maxvit")) else 64
    inputs = torch.randn(2, 3, side, side)
    told = cut(model, lambda one: one(inputs), inputs)
    assert name not in WIDTHS or model.identikit_features.width == WIDTHS[name]
    return told


def timm_names() -> list[str]:
    """One model of each of timm's files, a small one where the names say so."""
    from timm.models import _registry

    files: dict[str, list[str]] = defaultdict(list)
    for name, file in sorted(_registry._model_to_module.items()):
        files[file].append(name)
    draw, small = random.Random(0), ("tiny", "nano", "atto", "pico", "small", "_xs", "xxs", "_s_", "test_", "b0", "18")
    return [
        draw.choice([one for one in names if any(word in one for word in small)] or names) for names in files.values()
    ]


def of_timm(name: str) -> str:
    import timm

    model = timm.create_model(name).eval()
    batch = family_of(model).example(model)
    assert batch is not None
    return cut(model, batch.call, batch)


def transformers_names() -> list[str]:
    autos = ("sequence-classification", "image-classification", "audio-classification")
    return [f"{auto}/{kind}" for auto in autos for kind in types(auto)]


def of_transformers(name: str) -> str:
    try:
        model, batch = build(*name.split("/"))
    except NotBuilt:
        return "not built"
    with family_of(model).quiet(model):
        return cut(model, batch.call, batch)


LIBRARIES: dict[str, Any] = {
    "torchvision": (torchvision_names, of_torchvision, ["squeezenet1_1", "mobilenet_v3_small"]),
    "timm": (timm_names, of_timm, ["test_vit", "test_byobnet"]),
    "transformers": (
        transformers_names,
        of_transformers,
        ["sequence-classification/roberta", "image-classification/resnet"],
    ),
}


def told(library: str, names: list[str]) -> dict[str, list[str]]:
    """What became of each model, by outcome; a crash and a wrong cut are outcomes too."""
    found: dict[str, list[str]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says as it builds is its own affair
        for name in names:
            try:
                found[LIBRARIES[library][1](name)].append(name)
            except AssertionError as wrong:
                found["wrong"].append(f"{name}: {wrong}")
            except (IdentikitError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as crash:
                found["crash"].append(f"{name}: {type(crash).__name__}: {crash}")
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_few(library: str) -> None:
    names = LIBRARIES[library][2]
    assert told(library, names) == {"right": names}
