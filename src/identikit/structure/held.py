"""What attributes hold, noted cheaply so that it can be put back in place: containers' members, arrays, tensors."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn.parameter import is_lazy

# Only the plain types: what another class does when it is emptied and filled again is not known.
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_CONTAINERS = frozenset((*_MAPPINGS, list, deque, set))
_OPENED = frozenset((*_CONTAINERS, tuple, numpy.ndarray))
_SMALL = 16384  # values: up to here a weight is copied before a pass, above it a sample of it is
_SAMPLES = 32


def may_change(value: Any) -> bool:
    """Whether `value` is of a kind that is noted here."""
    return type(value) in _OPENED or isinstance(value, torch.Tensor)


class Contents:
    """The members of containers, however nested, and the values of NumPy arrays."""

    def __init__(self) -> None:
        self._empty: list[Any] = []  # most containers of a module are empty: those cost nothing but their place here
        self._members: dict[int, tuple[Any, Any]] = {}
        self._arrays: dict[int, tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]] = {}

    def note(self, value: Any) -> list[torch.Tensor]:
        """Note all that lies inside `value`, and return the tensors met on the way. Other objects are not opened."""
        tensors: list[torch.Tensor] = []
        if type(value) in _CONTAINERS and not value:
            self._empty.append(value)
            return tensors
        open_: list[Any] = [value]
        while open_:
            each = open_.pop()
            kind = type(each)
            if kind in _CONTAINERS:
                if id(each) not in self._members:
                    members = dict(each) if kind in _MAPPINGS else (set(each) if kind is set else list(each))
                    self._members[id(each)] = (each, members)
                    inside = members.values() if isinstance(members, dict) else members
                    open_ += [member for member in inside if may_change(member)]
            elif kind is tuple:
                open_ += each
            elif isinstance(each, torch.Tensor):
                tensors.append(each)
            elif kind is numpy.ndarray and id(each) not in self._arrays:
                self._arrays[id(each)] = (each, each.copy())
        return tensors

    def changed(self) -> bool:
        """Whether a container holds something else now. Tensors without values of their own may stand for others."""
        return any(self._empty) or not all(_same_members(*pair, meta=True) for pair in self._members.values())

    def put_back(self) -> None:
        """Fill every container and array with what it held; the objects themselves stay the same."""
        for container in self._empty:
            if container:
                container.clear()
        for container, members in self._members.values():
            if not _same_members(container, members):
                _refill(container, members)
        for array, content in self._arrays.values():
            changed = array.shape == content.shape and (array.dtype.hasobject or array.tobytes() != content.tobytes())
            if changed and array.flags.writeable:
                numpy.copyto(array, content)


def _same_members(container: Any, members: Any, *, meta: bool = False) -> bool:
    """Whether a container holds the same objects in the same order (they may be tensors: no plain equality).

    With `meta`, one weight on the meta device is as good as another: a library that puts weights aside makes new ones.
    """
    if len(container) != len(members):
        return False
    if isinstance(members, set):
        return {id(each) for each in container} == {id(each) for each in members}
    if isinstance(members, dict):
        if list(container) != list(members):
            return False
        container, members = list(container.values()), list(members.values())
    pairs = zip(container, members, strict=True)
    return all(value is before or (meta and _both_meta(value, before)) for value, before in pairs)


def _both_meta(one: Any, other: Any) -> bool:
    return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.is_meta and other.is_meta


def _refill(container: Any, members: Any) -> None:
    container.clear()
    if isinstance(members, dict):
        for key, value in members.items():  # not update: a Counter's adds
            container[key] = value
    elif isinstance(members, set):
        container.update(members)
    else:
        container.extend(members)


class Values:
    """One tensor's values before a pass.

    Of a buffer, a plain tensor and a small weight a copy; of a large weight how often it was written into and a few
    of its values, for writing through `.data` is not counted.
    """

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self._memory = tensor.data  # the memory itself: `weight.data = other` only leaves it
        self._version = _version(tensor)
        small = not isinstance(tensor, nn.Parameter) or tensor.numel() <= _SMALL
        self._copy = tensor.detach().clone() if small else None
        self._sample = None if small else _sample(tensor).clone()

    @staticmethod
    def readable(tensor: torch.Tensor) -> bool:
        """Whether a tensor has values of its own that can be copied and compared."""
        if is_lazy(tensor) or tensor.is_meta or tensor.layout is not torch.strided or tensor.is_nested:
            return False
        own_dispatch: bool = type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
        return not own_dispatch and not tensor.is_quantized

    def changed(self) -> bool:
        """Whether the tensor holds other values now; of a large weight as far as is known."""
        if self._copy is None:
            return _version(self.tensor) != self._version
        return not _alike(self.tensor.detach(), self._copy)

    def put_back(self) -> bool:
        """Put the values back; False where they were changed and no copy is there."""
        tensor, memory = self.tensor, self._memory
        if tensor.data_ptr() != memory.data_ptr() or tensor.shape != memory.shape or tensor.dtype != memory.dtype:
            tensor.data = memory
        if self._copy is None:
            return _version(tensor) == self._version and _alike(_sample(tensor), self._sample)
        if not _alike(tensor.detach(), self._copy):
            with torch.inference_mode(tensor.is_inference()), torch.no_grad():
                tensor.data.copy_(self._copy)  # .data: graphs made before stay good, for their values are there again
        return True


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    """A few values from all over a tensor; none where they do not lie in a row."""
    if not tensor.is_contiguous():
        return tensor.detach().new_empty(0)
    return tensor.detach().view(-1)[:: tensor.numel() // _SAMPLES]


def _alike(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    """Whether two tensors hold the same values, what is no number included."""
    if other is None or torch.equal(one, other):
        return True
    if not one.is_floating_point() or one.shape != other.shape:
        return False
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
