"""The tensors that a plan refers to: each named by a hash of what it is, in one safetensors file beside the plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from identikit.errors import PlanError, SaveError
from identikit.files import refuse_link, write_bytes

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


def tensors_beside(path: str | Path) -> Path:
    """The file of the tensors of the plan file `path`: plan.safetensors of plan.json, mean.1.safetensors of mean.1."""
    file = Path(path)
    return file.with_name(f"{file.stem if file.suffix == '.json' else file.name}.safetensors")


@contextmanager
def writing_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Write named tensors; inside the block their plan is written, and whichever plan stands then finds its own.

    For those of the plan that is replaced stay in `file` until the block has ended. Raises SaveError where another
    kind of file stands there, and PlanError where a tensor is not what its name says.
    """
    _check_place(file)
    old = {} if not file.exists() else {name: value for name, value in load_file(file).items() if name not in tensors}
    _write(file, {**old, **tensors})
    yield
    if old:
        _write(file, tensors)


def _check_place(file: Path) -> None:
    refuse_link(file)
    if file.exists() and not _ours(file):
        raise SaveError(
            f"{file} is not a plan's, so the plan's tensors are not written over it. Give the plan another name."
        )


def _write(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
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
