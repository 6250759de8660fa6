"""A .npz file as batches: arrays by the names of the model's own arguments, else by the usual names."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.sources.encode import parameters
from identikit.sources.opened import Opened

INPUTS = ("x", "inputs", "input", "images", "image", "features", "data", "pixel_values")
TARGETS = ("y", "labels", "label", "target", "targets")


def npz_batches(file: Path, opened: Opened, *, batch_size: int, limit: int | None) -> tuple[list[Batch], str]:
    """The batches in `file`, and what was read of it. Raises DataError where the arrays do not fit."""
    arrays = _arrays(file)
    target = next((name for name in arrays if name.lower() in TARGETS), None)
    accepted = (parameters(opened.model) or frozenset()) - set(TARGETS)
    named = [name for name in arrays if name in accepted and name != target]
    usual = [name for name in arrays if name.lower() in INPUTS]
    if not named and len(usual) != 1:
        takes = ", ".join(sorted(accepted)) or "whatever comes"
        raise DataError(
            f'"{file}" holds {_listed(arrays)}; the model takes: {takes}. '
            "Name an array after an argument of forward, or x (and y for the target)."
        )
    inputs = named or usual
    count = _count(file, arrays, [*inputs, *([target] if target else [])])
    kept = count if limit is None else min(limit, count)
    pictures = len(inputs) == 1 and opened.encode_images is not None and _is_picture(arrays[inputs[0]])
    whole = {
        name: arrays[name][:kept] if pictures else _input(file, name, arrays[name][:kept], opened) for name in inputs
    }
    answers = None if target is None else _target(file, target, arrays[target][:kept])
    batches = []
    for start in range(0, kept, batch_size):
        part = slice(start, start + batch_size)
        batch = _batch({name: value[part] for name, value in whole.items()}, bool(named), opened)
        examples = min(batch_size, kept - start)
        batches.append(Batch(batch.args, batch.kwargs, None if answers is None else answers[part], examples))
    return batches, ", ".join([*inputs, *([f"target {target}"] if target else [])])


def _arrays(file: Path) -> dict[str, Any]:
    """The arrays by name; pickles are not opened, nor what is larger unpacked than this machine's memory."""
    _refuse_too_large(file)
    try:
        with np.load(file, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except Exception as error:
        pickled = zipfile.is_zipfile(file) and "allow_pickle" in str(error)
        raise DataError(
            f'"{file}" holds Python objects, which are not read (they can run code). Save arrays of numbers.'
            if pickled
            else f'"{file}" cannot be read as .npz ({type(error).__name__}). Write it with numpy.savez.'
        ) from error


def _refuse_too_large(file: Path) -> None:
    """Raise DataError for arrays that cannot be held: a small file may unpack to any size."""
    memory = _memory()
    try:
        with zipfile.ZipFile(file) as packed:  # no more than these sizes is ever read
            size = sum(item.file_size for item in packed.infolist())
    except (zipfile.BadZipFile, OSError):
        return  # numpy's own reader says what is wrong with it
    if memory is not None and size > memory:
        raise DataError(
            f'"{file}" is {size:,} bytes unpacked, more than the {memory:,} of this machine\'s memory. '
            "Save fewer examples."
        )


def _memory() -> int | None:
    """The bytes of memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _count(file: Path, arrays: dict[str, Any], names: list[str]) -> int:
    """The number of examples: the first dimension, the same for all."""
    lengths = {name: len(arrays[name]) if arrays[name].ndim else 0 for name in names}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f'the arrays of "{file}" have different numbers of examples: {listed}. Make them equal.')
    count = next(iter(lengths.values()))
    if count == 0:
        raise DataError(f'"{file}" holds no examples ({names[0]} is empty). Give at least one.')
    return count


def _batch(parts: dict[str, Any], named: bool, opened: Opened) -> Batch:
    """One batch without its target; raw pictures (arrays, not tensors by now) go through the model's processor."""
    first = next(iter(parts.values()))
    if not isinstance(first, torch.Tensor) and opened.encode_images is not None:
        return opened.encode_images(list(first))
    return Batch(kwargs=parts) if named else Batch(args=tuple(parts.values()))


def _is_picture(value: Any) -> bool:
    """Whether an array holds raw pictures: bytes, of three or more dimensions."""
    return bool(value.dtype == np.uint8 and value.ndim >= 3)


def _input(file: Path, name: str, value: Any, opened: Opened) -> torch.Tensor:
    """An input as a tensor: real numbers in the model's dtype, whole ones as int64."""
    shape = "x".join(map(str, value.shape))
    if _is_picture(value):
        last = value.shape[-1] in (1, 3, 4)
        turned = ".transpose(0, 3, 1, 2)" if last and value.ndim == 4 else ""
        raise DataError(
            f'"{name}" of "{file}" holds raw pictures (uint8, {shape}{", channels last" if last else ""}); the model '
            "takes real numbers, channels first, scaled as in its training. Save them so: "
            f'{name} = (({name} / 255 - mean) / std){turned}.astype("float32").'
        )
    if value.dtype.kind not in "fiub":
        raise DataError(f'"{name}" of "{file}" holds {value.dtype}, not numbers. Save numbers.')
    if value.dtype.kind == "f":
        return torch.from_numpy(value).to(_dtype(opened))
    return torch.from_numpy(value) if value.dtype.kind == "b" else torch.from_numpy(value.astype(np.int64))


def _dtype(opened: Opened) -> torch.dtype:
    """The dtype of the model's weights."""
    return next((value.dtype for value in opened.model.parameters() if value.is_floating_point()), torch.float32)


def _target(file: Path, name: str, value: Any) -> torch.Tensor:
    """The target as a tensor. Raises DataError for NaN."""
    if value.dtype.kind not in "fiub":
        raise DataError(f'"{name}" of "{file}" holds {value.dtype}, not numbers. Save class numbers.')
    if value.dtype.kind == "f":
        holes = ~np.isfinite(value.reshape(len(value), -1)).all(axis=1)
        if holes.any():
            raise DataError(
                f'row {int(holes.argmax()) + 1} of "{file}" has no number in "{name}" '
                f"({int(holes.sum())} of {len(value)} rows). Fill these rows or take them out."
            )
        return torch.from_numpy(value.astype(np.float32))
    return torch.from_numpy(value.astype(np.int64))


def _listed(arrays: dict[str, Any]) -> str:
    """The arrays for a message."""
    return ", ".join(f"{name} ({'x'.join(map(str, value.shape)) or 'one number'})" for name, value in arrays.items())
