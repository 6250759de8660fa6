"""The files of a timm folder: config.json and weights written, loaded again by timm itself, and compared."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from identikit.errors import ModelError, SaveError, needs_extra
from identikit.families.hushed import hushed
from identikit.families.made import made
from identikit.families.plain import WEIGHTS
from identikit.families.timm_construct import current
from identikit.families.transformers_files import device_of

CONFIG = "config.json"
INSTEAD = 'No argument of its constructor says what is left of it; save the plan instead: format="plan".'
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.pth", "*.pt")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pth.tar")
_OURS = "identikit-weights.safetensors"  # a plan folder's; loaded without the plan they are another model's


def is_folder(folder: Path) -> bool:
    """Whether timm wrote `folder`: its config.json names an architecture, and weights lie beside it."""
    if not (folder / CONFIG).is_file() or (folder / _OURS).is_file():
        return False
    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):  # its own reader will say what is wrong with it
        return False
    named = isinstance(told, dict) and "architecture" in told and "model_type" not in told
    return named and any(True for pattern in _WEIGHTS for _ in folder.glob(pattern))


def write(model: Any, folder: Path) -> None:
    """What `timm.models.save_for_hf` writes; weights that are not contiguous or share memory are written whole.

    Raises SaveError where timm refuses to describe this model.
    """
    from timm.models._hub import save_config_for_hf

    name = type(model).__name__
    try:
        with hushed("timm"):
            save_config_for_hf(model, str(folder / CONFIG), model_args=current(model))
    except (AttributeError, KeyError, TypeError, ValueError) as refused:
        raise SaveError(f"timm cannot describe this {name}: {_said(refused)}. {INSTEAD}") from refused
    held = model.state_dict()
    odd = next((key for key, value in held.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None:
        raise SaveError(f"{name} keeps {odd} in its state, which is no tensor. Take it out first.")
    times = Counter(value.untyped_storage().data_ptr() for value in held.values())
    whole = {
        key: value.clone(memory_format=torch.contiguous_format)
        if times[value.untyped_storage().data_ptr()] > 1
        else value.contiguous()
        for key, value in held.items()
    }
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})


def opened(folder: Path) -> nn.Module:
    """`timm.create_model("local-dir:FOLDER", pretrained=True)`. Raises ModelError where that fails."""
    _refuse_code(folder)
    try:
        return _loaded(folder)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as refused:
        raise ModelError(f'timm cannot load "{folder}": {_said(refused)}.') from refused


def _refuse_code(folder: Path) -> None:
    """Raise ModelError for a pickle that holds more than weights, where timm may read one: older ones would run it."""
    if (folder / WEIGHTS).is_file():  # which timm prefers
        return
    for path in sorted(path for pattern in _PICKLES for path in folder.glob(pattern)):
        try:
            torch.load(path, map_location="meta", weights_only=True)
        except Exception as refused:  # whatever it is: a file that this reader refuses may run code in another
            raise ModelError(
                f'"{path}" is damaged, or a pickle with more than weights in it, which could run code. '
                "Only safetensors and plain weights are read: save the model again with timm.models.save_for_hf."
            ) from refused


def load_again(folder: Path, model: nn.Module) -> nn.Module:
    """`folder` as timm loads it, in the dtype and on the device of `model`, in eval mode.

    Raises SaveError where timm refuses, or a weight is missing, unexpected or not the one that was written.
    """
    try:
        again = _loaded(folder)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as refused:
        raise SaveError(f'timm does not load "{folder}": {_said(refused)}. {INSTEAD}') from refused
    dtypes = {value.dtype for value in model.parameters() if value.is_floating_point()}
    again = again.to(device=device_of(model), dtype=dtypes.pop() if len(dtypes) == 1 else None)
    loaded, written = again.state_dict(), load_file(folder / WEIGHTS)
    for key in sorted({*loaded, *written}):
        if key not in loaded or key not in written:
            raise SaveError(f'"{folder}" loaded again: the weight {key} is on one side only. {INSTEAD}')
        if loaded[key].shape != written[key].shape or not torch.equal(loaded[key], written[key].to(loaded[key])):
            raise SaveError(f'"{folder}" loaded again: the weight {key} is not what was saved. {INSTEAD}')
    return again.eval()


def _loaded(folder: Path) -> nn.Module:
    try:
        import timm
    except ImportError as cause:
        raise needs_extra("timm", "timm", f'opening "{folder}"') from cause
    with hushed("timm"):
        return made(lambda: timm.create_model(f"local-dir:{folder}", pretrained=True))


def _said(refused: BaseException) -> str:
    text = " ".join(str(refused).split()).rstrip(".")
    return f"{text[:300]} ..." if len(text) > 300 else text
