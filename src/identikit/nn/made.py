"""A module where one may give the module, or a class or function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from identikit.errors import BlockError

Make = Callable[..., nn.Module]


def made(owner: str, option: str, value: Any, *arguments: Any) -> nn.Module:
    """`value` if it is a module, else `value(*arguments)`.

    Raises:
        BlockError: if that makes no module: a function such as torch.relu works on tensors.
    """
    if isinstance(value, nn.Module):
        return value
    if not callable(value):
        raise BlockError(f"{owner}: {option}={value!r} is no module. Give a class of one: {option}=nn.ReLU.")
    try:
        module = value(*arguments)
    except TypeError as error:
        raise BlockError(f"{owner}: {option}={_name(value)} makes no module ({error}). {_fix(option)}") from error
    if not isinstance(module, nn.Module):
        raise BlockError(f"{owner}: {option}={_name(value)} makes no module. {_fix(option)}")
    return module


def check_maker(owner: str, option: str, value: Any) -> None:
    """Raise BlockError for a module where each place needs one of its own."""
    if isinstance(value, nn.Module):
        kind = type(value).__name__
        raise BlockError(
            f"{owner}: {option}= is a {kind} that is already made, and every place needs its own. Give what makes it: "
            f"{option}=nn.{kind}."
        )


def _name(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def _fix(option: str) -> str:
    return f"Give a class of one, {option}=nn.ReLU, or a function that returns one."
