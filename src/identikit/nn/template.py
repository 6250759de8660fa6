"""What a layer returns, with the stream and other arguments marked in it: written down, or learned from a call."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.shape_text import dtype_text, kind_text, shape_text

#: A tuple, list, mapping or dataclass of templates, an `Argument`, or a constant.
Template = Any


@dataclass(frozen=True)
class Argument:
    """One of the arguments of a call: by keyword, by position, or the first that is or holds a tensor."""

    index: int | str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.index, str):  # Argument("mask") reads well, and no position is a string
            object.__setattr__(self, "name", self.index)
            object.__setattr__(self, "index", None)

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The argument's value in a call."""
        if self.name is not None and self.name in kwargs:
            return kwargs[self.name]
        if isinstance(self.index, int) and -len(args) <= self.index < len(args):
            return args[self.index]
        if self.index is None and self.name is None:
            return first_tensor(args, kwargs)
        raise BlockError(
            f"Identity was called without {self!r}: it was given {len(args)} positional "
            f"argument{'s' if len(args) != 1 else ''} and the keywords {sorted(kwargs) or 'none'}. "
            "Say index= or name= anew."
        )

    def __repr__(self) -> str:
        said = {"index": self.index, "name": self.name}
        known = ", ".join(f"{key}={value!r}" for key, value in said.items() if value is not None)
        return f"Argument({known})" if known else "stream"


#: The marker of the value that goes on: `Identity(returns=(stream, None))`.
stream = Argument()


def first_tensor(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The first argument that is, or holds, a tensor; without one, the first argument.

    Raises:
        BlockError: if there is no argument at all.
    """
    given = (*args, *kwargs.values())
    for value in given:
        if any(isinstance(leaf, torch.Tensor | fx.Proxy) for leaf in leaves(value)):
            return value
    if not given:
        raise BlockError("Identity was called without an argument. It returns what it is given: identity(x).")
    return given[0]


def leaves(value: Any) -> Iterator[Any]:
    """Everything in a value that is no container."""
    inside = _parts(value)
    if inside is None:
        yield value
    else:
        for part in inside.values():
            yield from leaves(part)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with `change` applied to everything that is no container; containers are made anew."""
    inside = _parts(value)
    if inside is None:
        return change(value)
    changed = {key: mapped(part, change) for key, part in inside.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*changed.values())
    if isinstance(value, tuple | list):
        return type(value)(list(changed.values()))
    return changed if type(value) is dict else type(value)(**changed)


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """What a container holds; None for anything else."""
    if isinstance(value, Argument):
        return None
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def fill(template: Template, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The template with the stream's `value` and the call's arguments in their places."""

    def filled(part: Any) -> Any:
        if not isinstance(part, Argument):
            return part
        return value if part == stream else part.of(args, kwargs)

    return mapped(template, filled)


def learn(layer: nn.Module, example: Any, source: Argument) -> Template:
    """The template of what `layer` returns, from one call of a copy; `source` says which argument is the stream."""
    kind = type(layer).__name__
    call = (
        ((), example) if isinstance(example, Mapping) else (example if isinstance(example, tuple) else (example,), {})
    )
    args, kwargs = mapped(call, _detached)
    value = source.of(args, kwargs)
    if not isinstance(value, torch.Tensor):
        raise BlockError(f"Identity.like({kind}): the stream is {kind_text(value)}, not a tensor. Say index= or name=.")
    given = {id(each): Argument(at) for at, each in enumerate(args)}
    given |= {id(each): Argument(name=key) for key, each in kwargs.items()}
    with torch.no_grad():
        output = copy.deepcopy(layer).eval()(*args, **kwargs)
    continuing = [leaf for leaf in leaves(output) if _continues(leaf, value)]
    if len(continuing) != 1:
        raise BlockError(_refusal(kind, value, output, len(continuing)))

    def marked(part: Any) -> Any:
        if part is continuing[0]:
            return stream
        if part is None or isinstance(part, bool | int | float | str):
            return part
        if isinstance(part, torch.Tensor) or id(part) in given:
            return given.get(id(part))
        raise BlockError(
            f"Identity.like({kind}): the layer makes {kind_text(part)} that no argument gives, so no identity can "
            "return it. Say what to return: returns=(stream, ...)."
        )

    return mapped(output, marked)


def _detached(value: Any) -> Any:
    """A copy of its own; a tensor's without its graph, which could not be copied."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def _continues(part: Any, value: torch.Tensor) -> bool:
    return isinstance(part, torch.Tensor) and part.shape == value.shape and part.dtype == value.dtype


def _refusal(kind: str, value: torch.Tensor, output: Any, candidates: int) -> str:
    shape = _described(value)
    if candidates:
        return (
            f"Identity.like({kind}): {candidates} outputs have the stream's shape {shape}. Say which goes on: "
            "returns=(stream, None)."
        )
    found = ", ".join(_described(each) for each in leaves(output) if isinstance(each, torch.Tensor)) or "no tensor"
    return (
        f"Identity.like({kind}): the layer makes {found} out of {shape}, so the identity cannot stand in for it. "
        "Take a layer that keeps the shape, or reshape with a projection."
    )


def _described(value: torch.Tensor) -> str:
    return f"{shape_text(value)} {dtype_text(value)}"
