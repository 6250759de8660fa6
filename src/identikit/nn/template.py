"""What a layer returns, with the stream and other arguments marked in it: written down, or learned from a call."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.shape_text import dtype_text, shape_text

#: A tuple, list or mapping of templates, an `Argument`, or a constant.
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
        if _holds_tensor(value):
            return value
    if not given:
        raise BlockError("Identity was called without an argument. It returns what it is given: identity(x).")
    return given[0]


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_holds_tensor(each) for each in value)
    if isinstance(value, Mapping):
        return any(_holds_tensor(each) for each in value.values())
    return isinstance(value, torch.Tensor | fx.Proxy)


def leaves(template: Template) -> Iterator[Any]:
    """Every marker and constant of a template."""
    if isinstance(template, Mapping):
        template = tuple(template.values())
    if isinstance(template, tuple | list):
        for each in template:
            yield from leaves(each)
    else:
        yield template


def fill(template: Template, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The template with the stream's `value` and the call's arguments in their places."""
    if isinstance(template, Argument):
        return value if template == stream else template.of(args, kwargs)
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*(fill(each, value, args, kwargs) for each in template))
    if isinstance(template, tuple | list):
        return type(template)([fill(each, value, args, kwargs) for each in template])
    if isinstance(template, Mapping):
        filled = {key: fill(each, value, args, kwargs) for key, each in template.items()}
        return filled if type(template) is dict else type(template)(**filled)
    return template


def learn(layer: nn.Module, example: Any, source: Argument) -> Template:
    """The template of what `layer` returns, from one call of a copy; `source` says which argument is the stream."""
    call = (
        ((), example) if isinstance(example, Mapping) else (example if isinstance(example, tuple) else (example,), {})
    )
    args, kwargs = copy.deepcopy(call)
    value = source.of(args, kwargs)
    with torch.no_grad():
        output = copy.deepcopy(layer).eval()(*args, **kwargs)
    kind = type(layer).__name__
    if not isinstance(value, torch.Tensor):
        raise BlockError(
            f"Identity.like({kind}): the stream is a {type(value).__name__}, not a tensor. Say index= or name=."
        )
    given = {id(each): Argument(at) for at, each in enumerate(args)} | {
        id(kwargs[key]): Argument(name=key) for key in kwargs
    }
    continuing = [each for each in leaves(output) if _continues(each, value)]
    if len(continuing) != 1:
        raise BlockError(_refusal(kind, value, output, len(continuing)))

    def template_of(part: Any) -> Template:
        if part is continuing[0]:
            return stream
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*map(template_of, part))
        if isinstance(part, tuple | list):
            return type(part)([template_of(each) for each in part])
        if isinstance(part, Mapping):
            learned = {key: template_of(each) for key, each in part.items()}
            return learned if type(part) is dict else type(part)(**learned)
        if part is None or isinstance(part, bool | int | float | str):
            return part
        return given.get(id(part)) if isinstance(part, torch.Tensor) else _handed_on(part, given, kind)

    return template_of(output)


def _continues(part: Any, value: torch.Tensor) -> bool:
    return isinstance(part, torch.Tensor) and part.shape == value.shape and part.dtype == value.dtype


def _handed_on(part: Any, given: Mapping[int, Argument], kind: str) -> Argument:
    if id(part) in given:
        return given[id(part)]
    raise BlockError(
        f"Identity.like({kind}): the layer makes a {type(part).__name__} that no argument gives, so no identity can "
        "return it. Say what to return: returns=(stream, ...)."
    )


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
