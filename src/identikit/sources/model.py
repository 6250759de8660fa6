"""MODEL, as a user names it, opened: a folder, `file.py:function`, `timm:NAME`, `torchvision:NAME` or a hub id."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from identikit.errors import ModelError, did_you_mean
from identikit.families import FAMILIES
from identikit.functions import call_function, names_function
from identikit.sources.checkpoint import open_checkpoint
from identikit.sources.device import DeviceMap, read_device, read_device_map, read_dtype
from identikit.sources.folder import is_sentence_folder
from identikit.sources.hub import fetch, looks_like_hub
from identikit.sources.named import described, names_library, open_named
from identikit.sources.opened import Opened
from identikit.sources.sentences import open_sentences


def open_model(
    name: str | Path,
    *,
    task: str | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    device_map: DeviceMap | None = None,
    trust_remote_code: bool = False,
    seed: int = 0,
) -> Opened:
    """The model that `name` means, in eval mode.

    `name`: a folder of sentence-transformers, transformers or timm, `file.py:function` (returns an nn.Module; it may
    name the arguments seed, device and dtype), `timm:NAME`, `torchvision:NAME`, or a hub id. `task` is a name of
    `transformers.pipeline` or "embedding"; without it the checkpoint says what it is. dtype None or "auto" keeps the
    checkpoint's. `device_map` spreads a transformers checkpoint over devices, memory and disk (accelerate): "auto", or
    which module lies where, as a dict or a .json file; then `device` is not asked. `seed` is set while a function makes
    its model. No code of a checkpoint runs without `trust_remote_code`; pickles hold weights alone.
    Raises ModelError, in one line, where there is no such model, or not all of it.
    """
    name = str(name)
    where, number, spread = read_device(device), read_dtype(dtype), read_device_map(device_map)
    if spread is not None and (names_function(name) or names_library(name)):
        raise ModelError(f'device_map spreads a folder of transformers over devices; "{name}" is none. Leave it out.')
    if names_function(name):
        return _from_function(name, task=task, device=where, dtype=number, seed=seed)
    if names_library(name):
        return open_named(name, task=task, device=where, dtype=number)
    folder = _folder(name)
    owner = next((family for family in FAMILIES if family.owns(folder)), None)
    sentences = task in (None, "embedding") and is_sentence_folder(folder)
    if spread is not None and (owner is not None or sentences):
        raise ModelError(f'device_map spreads a folder of transformers over devices; "{name}" is none. Leave it out.')
    if owner is not None:
        model = owner.opened(folder).to(device=where, dtype=number).eval()
        return described(model, name=name, task=task, folder=folder)
    if sentences:
        return open_sentences(folder, name, device=where, dtype=number, trust_remote_code=trust_remote_code)
    return open_checkpoint(
        folder, name, task=task, device=where, dtype=number, device_map=spread, trust_remote_code=trust_remote_code
    )


def _from_function(
    name: str, *, task: str | None, device: torch.device, dtype: torch.dtype | None, seed: int
) -> Opened:
    """The model that a user's function returns. The random state is put back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = call_function(name, {"seed": seed, "device": device, "dtype": dtype}, error=ModelError)
    if not isinstance(model, nn.Module):
        raise ModelError(f'"{name}" returned {type(model).__name__}, not a model. Return a torch.nn.Module.')
    return Opened(model=model.to(device=device, dtype=dtype).eval(), name=name, task=task)


def _folder(name: str) -> Path:
    """The local folder of `name`. Raises ModelError for a file, for nothing at all, for an unreachable hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelError(
            f'"{name}" is a file. MODEL is the folder it lies in (with config.json), or file.py:function that loads it.'
        )
    if looks_like_hub(name):
        return fetch(name)
    beside = [item.name for item in path.parent.iterdir() if item.is_dir()] if path.parent.is_dir() else []
    raise ModelError(
        f'no folder "{name}".{did_you_mean(path.name, beside)} MODEL is a folder, file.py:function or a hub id.'
    )
