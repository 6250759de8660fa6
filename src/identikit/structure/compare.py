"""Are two outputs the same numbers? The one measure that every proof uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy
import torch
from torch import nn

from identikit.structure.trees import Path, children, shape_of

#: The share of its size that an output may differ by: for 16 bits about one step of rounding.
_TOLERANCE = {
    torch.float64: 1e-9,
    torch.complex128: 1e-9,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 8e-3,
}
_SINGLE = 4  # how much farther than the whole a single value may be off
_MASK = 1e4  # values from here on say "masked" where others are smaller: they do not count for the size
_CLOSED = (nn.Module, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, torch.dtype, torch.device)


def difference(one: Any, other: Any) -> float:
    """How far two outputs are apart, as a share of what their dtype allows: up to 1 they are equal.

    0 is bit-equal; infinity where they have other tensors, other shapes, not a number on one side only, or nothing
    that can be compared. Tensors, NumPy arrays and numbers are compared, inside objects too. Two things are measured,
    the worse counts: the root mean square of the difference against that of the values, and each value's difference
    against the larger of itself and that root mean square. Masks (1e4 and more, beside smaller values) stay out of
    the root mean squares and are measured against themselves: they make no difference elsewhere look small.
    """
    first, second = dict(_numbers(one)), dict(_numbers(other))
    if not first or first.keys() != second.keys():
        return math.inf
    return max(_one_difference(value, second[path]) for path, value in first.items())


def equal(one: Any, other: Any) -> bool:
    """Whether two outputs are the same up to what their dtype allows."""
    return difference(one, other) <= 1


def largest_gap(one: Any, other: Any) -> tuple[float, float]:
    """The largest difference of two outputs of one structure, and the largest value of `other`, in their own units.

    Values that are not finite, and masks beside smaller values (1e4 and more), are left out of both.
    """
    first = dict(_numbers(one))
    gap = size = 0.0
    for path, value in _numbers(other):
        if value.is_meta or not (value.is_floating_point() or value.is_complex()):
            continue
        left, right = _doubles(first[path]), _doubles(value)
        counts = left.isfinite() & right.isfinite()
        plain = counts & (left.abs() < _MASK) & (right.abs() < _MASK)
        counts = plain if bool(plain.any()) else counts
        if bool(counts.any()):
            gap = max(gap, float((left - right)[counts].abs().max()))
            size = max(size, float(right[counts].abs().max()))
    return gap, size


def comparable(output: Any) -> bool:
    """Whether an output holds anything that `difference` can look at."""
    return any(value.numel() for _, value in _numbers(output))


def _numbers(tree: Any, path: Path = (), around: tuple[int, ...] = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """Every tensor, array and number, as a tensor, with the way to it; `around`: the objects that it lies in."""
    if isinstance(tree, torch.Tensor):
        if shape_of(tree) is not None:
            yield path, tree
            return
        inner: list[tuple[Any, Any]] = list(enumerate(tree.unbind()))
    elif isinstance(tree, (numpy.ndarray, numpy.generic)):
        if tree.dtype.kind in "biufc":
            yield path, _from_numpy(numpy.asarray(tree))
            return
        inner = list(enumerate(tree.tolist())) if tree.dtype.kind == "O" and tree.ndim else []
    elif isinstance(tree, (int, float, complex)):
        yield path, _from_number(tree)
        return
    elif type(tree) in (list, tuple) and tree and all(type(each) is float for each in tree):
        yield path, torch.tensor(tree, dtype=torch.float32)  # as one, so that each has the size of all beside it
        return
    else:
        inner = _inside(tree)
    if id(tree) not in around:
        for key, value in inner:
            yield from _numbers(value, (*path, key), (*around, id(tree)))


def _inside(tree: Any) -> list[tuple[Any, Any]]:
    """What a container or an object holds; nothing for what is not data."""
    inner = children(tree)
    if inner is not None:
        return list(inner)
    if tree is None or isinstance(tree, (str, bytes, *_CLOSED)):
        return []
    names = [name for kind in type(tree).__mro__ for name in _slots(kind) if hasattr(tree, name)]
    return [*getattr(tree, "__dict__", {}).items(), *((name, getattr(tree, name)) for name in names)]


def _slots(kind: type) -> list[str]:
    slots = kind.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _from_numpy(array: Any) -> torch.Tensor:
    if array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):  # long doubles: torch has none
        array = array.astype(numpy.complex128 if array.dtype.kind == "c" else numpy.float64)
    return torch.from_numpy(numpy.array(array, dtype=array.dtype.newbyteorder("=")))


def _from_number(number: complex) -> torch.Tensor:
    """A number as a tensor; where it came from is not known, so it may differ as float32 does."""
    if isinstance(number, int):
        return torch.tensor(float(number), dtype=torch.float64) if abs(number) >= 2**63 else torch.tensor(number)
    return torch.tensor(number, dtype=torch.complex64 if isinstance(number, complex) else torch.float32)


def _one_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    if a.is_meta or a.numel() == 0 or torch.equal(a, b.to(a.device)):
        return 0.0
    if not a.is_floating_point() and not a.is_complex():
        return math.inf
    left, right = _doubles(a), _doubles(b)
    finite = left.isfinite()
    if not torch.equal(finite, right.isfinite()) or not _same_strange(left[~finite], right[~finite]):
        return math.inf
    left, right = left[finite], right[finite]
    if left.numel() == 0:
        return 0.0
    return _apart(left, right) / _TOLERANCE.get(a.dtype, 1e-5)


def _apart(left: torch.Tensor, right: torch.Tensor) -> float:
    """How far apart two lists of finite values are, as a share of their size."""
    gap, size = (left - right).abs(), right.abs()
    plain = (size < _MASK) & (left.abs() < _MASK)
    if not bool(plain.any()):
        plain = torch.ones_like(plain)
    scale = max(float(size[plain].square().mean().sqrt()), 1e-12)
    whole = float(gap[plain].square().mean().sqrt()) / scale
    return max(whole, float((gap / size.clamp_min(scale)).max()) / _SINGLE)


def _doubles(tensor: torch.Tensor) -> torch.Tensor:
    values = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
    return values.double().cpu()


def _same_strange(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether infinities have the same sign, and what is no number is so on both sides."""
    return torch.equal(left.isnan(), right.isnan()) and torch.equal(left[~left.isnan()], right[~right.isnan()])
