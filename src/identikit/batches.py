"""A batch, whatever the user handed over: what goes into the model, what it is judged against, how many examples."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from identikit.errors import DataError


@dataclass(frozen=True)
class Batch:
    """One call of a model.

    `args` and `kwargs` are what `forward` takes. `target` is what the outputs are judged against (labels,
    scores) or None. `examples` counts the examples: the rows of a metric. A model may see several rows for one
    example (a pair of sentences is two), always the same number and next to each other.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None
    examples: int = 0

    def call(self, model: Callable[..., Any]) -> Any:
        """The output of `model` on this batch. Its dicts and lists are fresh ones: a model may write into them."""
        args, kwargs = map_tensors((self.args, self.kwargs), lambda value: value)
        return model(*args, **kwargs)

    def head(self, examples: int) -> Batch:
        """The first `examples` examples; tensors without the batch dimension stay whole."""
        if examples >= self.examples:
            return self
        rows = _rows((self.args, self.kwargs))
        kept = examples * max(1, rows // self.examples)

        def cut(value: torch.Tensor) -> torch.Tensor:
            return value[:kept] if value.ndim and len(value) == rows else value

        def cut_target(value: torch.Tensor) -> torch.Tensor:
            return value[:examples] if value.ndim and len(value) == self.examples else cut(value)

        args, kwargs = map_tensors((self.args, self.kwargs), cut)
        if isinstance(self.target, list) and len(self.target) == self.examples:
            target = self.target[:examples]
        else:
            target = map_tensors(self.target, cut_target)
        return replace(self, args=args, kwargs=kwargs, target=target, examples=examples)

    def copied(self) -> Batch:
        """The same batch with tensors and caches of its own, which a model may edit in place."""
        args, kwargs, target = map_tensors((self.args, self.kwargs, self.target), torch.clone, _own)
        return replace(self, args=args, kwargs=kwargs, target=target)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """The batch on `device`; floating-point *inputs* in `dtype` where one is given."""

        def move(value: torch.Tensor) -> torch.Tensor:
            wanted = dtype if dtype is not None and value.is_floating_point() else None
            return value.to(device=device, dtype=wanted)

        args, kwargs = map_tensors((self.args, self.kwargs), move)
        return replace(self, args=args, kwargs=kwargs, target=map_tensors(self.target, lambda value: value.to(device)))


def as_batch(raw: Any) -> Batch:
    """Read a user's batch: a `Batch`, a tensor, a dict of keyword arguments, or `(inputs, target)`.

    Of a dict, `labels` is the target too. Where the inputs are a tuple or a list, they are positional arguments.
    Raises DataError where it is none of these or holds no tensor.
    """
    if isinstance(raw, Batch):
        return raw
    if isinstance(raw, torch.Tensor):
        return Batch(args=(raw,), examples=_rows(raw))
    if isinstance(raw, Mapping):
        kwargs = dict(raw)
        return Batch(kwargs=kwargs, target=kwargs.get("labels"), examples=_rows(kwargs))
    if isinstance(raw, (tuple, list)) and len(raw) in (1, 2):  # a DataLoader over one tensor gives [tensor]
        several = isinstance(raw[0], (tuple, list))
        inputs = as_inputs(tuple(raw[0])) if several else as_batch(raw[0])
        return replace(inputs, target=raw[1]) if len(raw) == 2 else inputs
    raise DataError(
        f"a batch is a tensor, a dict of keyword arguments or (inputs, target); found {type(raw).__name__}"
        + (f" of {len(raw)} elements" if isinstance(raw, (tuple, list)) else "")
        + ". Wrap it: (inputs, target), or {'name': tensor} for several inputs."
    )


def as_inputs(raw: Any) -> Batch:
    """Read the `inputs=` of a verb: like a batch, except that a tuple is the positional arguments of `forward`."""
    if isinstance(raw, tuple):
        return Batch(args=raw, examples=_rows(raw))
    return as_batch(raw)


def nth(index: int) -> str:
    """The number of a batch as messages say it, counted from the first: "1st" for index 0."""
    number = index + 1
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def so_many(count: int) -> str:
    """1 batch, 2 batches."""
    return f"{count:,} batch" if count == 1 else f"{count:,} batches"


def map_tensors(
    tree: Any, function: Callable[[torch.Tensor], Any], other: Callable[[Any], Any] = lambda value: value
) -> Any:
    """`tree` with every tensor replaced; containers are rebuilt: tuples (named ones too), lists, model outputs, dicts.

    Any other mapping (a tokenizer's BatchEncoding) becomes a dict. What is neither becomes what `other` makes of it.
    """
    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        items = [map_tensors(item, function, other) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [map_tensors(item, function, other) for item in tree]
    if isinstance(tree, Mapping):
        mapped = {key: map_tensors(value, function, other) for key, value in tree.items()}
        # transformers' model outputs are dicts whose items are read as attributes.
        return replace(tree, **mapped) if is_dataclass(tree) else mapped
    return other(tree)


def _own(value: Any) -> Any:
    """A copy of an object that keeps tensors, as a cache does: each pass of a model writes its tokens into it.

    Models and functions that it refers to stay the same; so does an object without tensors, or one that no copy of
    can be made.
    """
    copies: dict[int, Any] = {}
    seen: set[int] = set()
    open_ = [value]
    while open_:
        each = open_.pop()
        if id(each) in seen or isinstance(each, (str, bytes, int, float, complex, type(None))):
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            copies[id(each)] = each.clone()
        elif callable(each):
            copies[id(each)] = each
        elif isinstance(each, (Mapping, list, tuple, set)):
            open_ += each.values() if isinstance(each, Mapping) else each
        open_ += [] if callable(each) else getattr(each, "__dict__", {}).values()
    if not any(isinstance(each, torch.Tensor) for each in copies.values()):
        return value
    try:
        return copy.deepcopy(value, copies)
    except (TypeError, RuntimeError, copy.Error):
        return value


def tensors_of(tree: Any) -> list[torch.Tensor]:
    """Every tensor of `tree`, in order."""
    found: list[torch.Tensor] = []
    map_tensors(tree, found.append)
    return found


def fingerprint(batch: Batch) -> str:
    """A hash of everything a batch holds, names included: equal batches, equal text."""
    digest = hashlib.sha256()
    _digest(digest, (batch.args, batch.kwargs, batch.target, batch.examples))
    return digest.hexdigest()[:16]


def _digest(digest: hashlib._Hash, tree: Any) -> None:
    """Feed `tree` to `digest`: containers by their shape, tensors and arrays by their bytes."""
    if isinstance(tree, torch.Tensor):
        digest.update(f"{tuple(tree.shape)}{tree.dtype}".encode())
        digest.update(tree.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    elif isinstance(tree, np.ndarray):
        digest.update(f"{tree.shape}{tree.dtype}".encode())
        digest.update(tree.tobytes())
    elif isinstance(tree, Mapping):
        digest.update(f"{{{len(tree)}".encode())
        for key, value in tree.items():
            _digest(digest, key)
            _digest(digest, value)
    elif isinstance(tree, (tuple, list)):
        digest.update(f"[{len(tree)}".encode())
        for item in tree:
            _digest(digest, item)
    else:
        plain = tree is None or isinstance(tree, (str, bytes, int, float, complex))
        # Another object's text may hold its address, which differs from reading to reading: its class stands for it.
        digest.update(f"{type(tree).__name__}:{tree!r};".encode() if plain else f"{type(tree).__name__};".encode())


def _rows(tree: Any) -> int:
    """The batch dimension: the first dimension of the first tensor that has one."""
    for value in tensors_of(tree):
        if value.ndim:
            return int(value.shape[0])
    raise DataError("this batch holds no tensor with a batch dimension; a batch starts with one (examples first).")
