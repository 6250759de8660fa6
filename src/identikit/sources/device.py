"""The words of --device and --dtype, read."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from identikit import strict_json
from identikit.errors import ModelError, did_you_mean, needs_extra

DeviceMap = str | dict[str, Any]  # a word of accelerate's, or module to device ("cpu" and "disk" are some too)

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def read_device(device: str | torch.device) -> torch.device:
    """The device meant; "auto" is CUDA where there is one, else the CPU. ModelError for one that is not there.

    Under torchrun "auto" is this rank's own GPU.
    """
    if device == "auto":
        own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "cuda"
        return read_device(own) if torch.cuda.is_available() else torch.device("cpu")
    try:
        meant = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f'unknown device "{device}". Use auto, cpu, cuda or cuda:0.') from error
    if meant.type == "cuda" and (meant.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA devices" if torch.cuda.is_available() else "no CUDA device"
        raise ModelError(f'device "{device}" is not there: this PyTorch sees {found}. Use --device cpu.')
    if meant.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError(f'device "{device}" is not there: this PyTorch sees no Metal device. Use --device cpu.')
    return meant


def read_device_map(device_map: DeviceMap | None) -> DeviceMap | None:
    """The words of --device-map, or the dict in the .json file that it names. Raises ModelError, MissingExtraError."""
    if device_map is None:
        return None
    if find_spec("accelerate") is None:
        raise needs_extra("accelerate", "scale", "a device map")
    if not isinstance(device_map, str) or not device_map.endswith(".json"):
        return device_map
    try:
        found = strict_json.parse(Path(device_map).read_text(encoding="utf-8"), device_map, ModelError)
    except OSError as error:
        raise ModelError(f'the device map "{device_map}" cannot be read: {error}.') from error
    if not isinstance(found, dict) or not found:
        raise ModelError(f'"{device_map}" is no device map. It says where modules lie: {{"model.layers.0": 0}}.')
    return found


def read_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The dtype meant; None ("auto") keeps the checkpoint's. Raises ModelError for an unknown word."""
    if dtype is None or dtype == "auto" or isinstance(dtype, torch.dtype):
        return None if dtype == "auto" else dtype  # type: ignore[return-value]  # "auto" is the only str left
    if dtype not in DTYPES:
        raise ModelError(
            f'unknown dtype "{dtype}".{did_you_mean(dtype, DTYPES)} Use auto, float32, bfloat16 or float16.'
        )
    return DTYPES[dtype]
