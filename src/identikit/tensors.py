"""The tensors that a plan refers to: each named by a hash of what it is, in one safetensors file beside the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from identikit.errors import PlanError, SaveError
from identikit.files import write_bytes

#: What the file says of itself: a file that does not is somebody's weights, and is not written over.
_KIND = {"format": "pt", "identikit": "tensors of a plan"}
_BYTES = 16  # of the hash: enough that no two tensors ever share a name


def name_of(tensor: torch.Tensor) -> str:
    """ "sha256:" and a hash of dtype, shape and bytes: equal tensors have equal names, on every machine."""
    held = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{str(held.dtype).removeprefix('torch.')}{tuple(held.shape)}".encode())
    if held.numel():
        digest.update(held.reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()[: 2 * _BYTES]}"


def write_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write named tensors, replacing `file` only when the new one is whole.

    Raises SaveError where another kind of file stands there, and PlanError where a tensor is not what its name says.
    """
    if file.exists() and not _ours(file):
        raise SaveError(
            f"{file} is not a plan's, so the plan's tensors are not written over it. Give the plan another name."
        )
    held = {name: value.detach().cpu().contiguous().clone() for name, value in sorted(tensors.items())}
    for name, value in held.items():
        _check(name, value, file)
    write_bytes(file, save(held, metadata=_KIND))


def read_tensors(file: Path, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """The tensors of these names; each is what its name says. Raises PlanError for one that is missing or is not."""
    try:
        with safe_open(file, framework="pt") as opened:
            there = set(opened.keys())
            lacking = sorted(set(names) - there)
            if lacking:
                raise PlanError(f'{file} lacks the tensor "{lacking[0]}" of its plan. Copy both files, or save again.')
            found: dict[str, torch.Tensor] = {name: opened.get_tensor(name) for name in names}
    except FileNotFoundError as cause:
        raise PlanError(f"the plan's tensors lie in {file}, which is not there. Copy it beside the plan.") from cause
    except (SafetensorError, OSError) as cause:
        raise PlanError(f"{file} is damaged: {' '.join(str(cause).split())}. Copy it again.") from cause
    for name, value in found.items():
        _check(name, value, file)
    return found


def _check(name: str, value: torch.Tensor, file: Path) -> None:
    if name_of(value) != name:
        raise PlanError(f'the tensor "{name}" of {file} is another one: its hash is {name_of(value)}. Save again.')


def _ours(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt") as opened:
            return (opened.metadata() or {}).get("identikit") == _KIND["identikit"]
    except (SafetensorError, OSError):
        return False
