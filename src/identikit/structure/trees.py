"""Nested arguments and outputs: tuples, lists, dicts, ModelOutputs and dataclasses, walked and rebuilt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

Path = tuple[str | int, ...]
_LEAVES = (torch.Tensor, str, int, float, type(None))  # most of what there is: nothing else is asked of these


def children(tree: Any) -> list[tuple[str | int, Any]] | None:
    """What lies directly inside `tree`, each with its key; None for a leaf (a torch.Size is one)."""
    if isinstance(tree, _LEAVES):
        return None
    if isinstance(tree, Mapping):
        return list(tree.items())
    if isinstance(tree, (tuple, list)) and not isinstance(tree, torch.Size):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree) if field.init]
    return None


def shape_of(tensor: torch.Tensor) -> torch.Size | None:
    """The shape of a tensor; None for a nested one, which has none."""
    return None if tensor.is_nested else tensor.shape


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with the path that leads to it, in order."""
    inner = children(tree)
    if inner is None:
        yield path, tree
        return
    for key, value in inner:
        yield from leaves(value, (*path, key))


def rebuilt(tree: Any, function: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """A new tree of the same types with every leaf replaced by `function(path, leaf)`."""
    inner = children(tree)
    if inner is None:
        return function(path, tree)
    values: dict[Any, Any] = {key: rebuilt(value, function, (*path, key)) for key, value in inner}
    if isinstance(tree, Mapping):
        # A ModelOutput is a dict whose constructor takes its keys by name; other mappings take a dict.
        return type(tree)(**values) if dataclasses.is_dataclass(tree) else _mapping(tree, values)
    if isinstance(tree, (tuple, list)):
        items = list(values.values())
        if isinstance(tree, PackedSequence):  # its constructor looks into tensors, and these may be anything
            return PackedSequence._make(items)
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return dataclasses.replace(tree, **values)


def at(tree: Any, path: Path) -> Any:
    """The leaf that `path` leads to. Raises KeyError, IndexError or AttributeError where there is none."""
    key: Any
    for key in path:
        tree = tree[key] if isinstance(tree, (Mapping, tuple, list)) else getattr(tree, key)
    return tree


def _mapping(tree: Any, values: dict[Any, Any]) -> Any:
    try:
        return type(tree)(values)
    except TypeError:  # a mapping with a constructor of its own, such as a defaultdict
        return values
