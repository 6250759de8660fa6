"""A timm model made from its architecture's name and its arguments, and how its class was told to build it."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from identikit.errors import ModelError, needs_extra
from identikit.families.hushed import hushed
from identikit.families.made import made

#: Where timm itself keeps the arguments of `create_model`, for the folders that it writes.
RECORD = "_model_args"
_LIBRARY, _ARCHITECTURE, _ARGUMENTS, _PRETRAINED = "library", "architecture", "model_args", "pretrained_cfg"
_SOURCE = ("state_dict", "file", "source")  # where this copy's weights came from: nobody else's business
_RATES = ("drop_rate", "drop_path_rate", "drop_block_rate")


def is_model(model: nn.Module) -> bool:
    """Whether timm has made `model` (found without importing it)."""
    told = vars(model).get("pretrained_cfg")
    return isinstance(told, dict) and isinstance(told.get("architecture"), str)


def first_configuration(model: Any) -> dict[str, Any] | None:
    """What `built` takes, as JSON values; None where an argument is none."""
    told = {name: value for name, value in model.pretrained_cfg.items() if name not in _SOURCE}
    arguments = recorded(model) | current(model)  # the first has the rates of dropout too
    value = {_LIBRARY: "timm", _ARCHITECTURE: told["architecture"], _ARGUMENTS: arguments, _PRETRAINED: told}
    try:
        return dict(json.loads(json.dumps(value)))
    except (TypeError, ValueError):  # a layer's class given as an argument
        return None


def arguments_of(configuration: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """The arguments of `built` in a first configuration; None in another library's."""
    if configuration.get(_LIBRARY) != "timm":
        return None
    return configuration[_ARCHITECTURE], configuration[_ARGUMENTS], configuration[_PRETRAINED]


def current(model: Any) -> dict[str, Any]:
    """The arguments of `create_model` that make `model` as it is now: number of classes, size and pooling too."""
    try:
        from timm.models import get_model_args
    except ImportError:  # before 1.0.20
        return {name: value for name, value in recorded(model).items() if name not in _RATES}
    try:
        return dict(get_model_args(model))
    except AttributeError:  # a wrapper around the layers alone (features_only=True) has no classes
        return recorded(model)


def recorded(model: nn.Module) -> dict[str, Any]:
    """The arguments that timm has noted at `model`."""
    return dict(vars(model).get(RECORD) or {})


def built(architecture: str, arguments: dict[str, Any], told: dict[str, Any], *, empty: bool = False) -> nn.Module:
    """The architecture with random weights; none of the caller's random numbers are drawn. `empty`: without memory.

    Raises whatever timm raises for such arguments.
    """
    try:
        import timm
    except ImportError as cause:
        raise needs_extra("timm", "timm", f"making a {architecture}") from cause
    own = sorted(set(arguments) & set(inspect.signature(timm.create_model).parameters))
    if own or ":" in architecture:  # it would open files, or fetch them
        raise ModelError(f"{own[0] if own else architecture} is no part of a timm model's architecture. Save it again.")
    told = {name: value for name, value in told.items() if value is not None}
    with hushed("timm"):
        return made(
            lambda: timm.create_model(architecture, pretrained_cfg=told, **copy.deepcopy(arguments)), empty=empty
        )


def told_to_class(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the entrypoint of `model`'s architecture hands to its class, the class's own defaults too.

    Read by building the model once more, without memory. What lies in a dataclass among them is there by itself,
    too: timm's classes take such fields by name.
    """
    with _listening(type(model)) as heard:
        built(model.pretrained_cfg["architecture"], arguments, model.pretrained_cfg, empty=True)
    inside = [vars(value) for value in heard.values() if dataclasses.is_dataclass(value)]
    return {name: value for each in [*inside, heard] for name, value in each.items()}


@contextmanager
def _listening(kind: type[nn.Module]) -> Iterator[dict[str, Any]]:
    """Inside, the arguments of the first `kind` that is made are noted, by name, with those of its ancestors."""
    heard: dict[str, Any] = {}
    first: list[nn.Module] = []
    own = [each for each in kind.__mro__ if issubclass(each, nn.Module) and each is not nn.Module]
    with ExitStack() as undo:
        for each in own:
            initialise = each.__dict__.get("__init__")
            if initialise is not None:
                undo.callback(setattr, each, "__init__", initialise)
                setattr(each, "__init__", _noting(initialise, kind, heard, first))  # noqa: B010  # mypy refuses x.__init__ = ...
        yield heard


def _noting(initialise: Any, kind: type, heard: dict[str, Any], first: list[nn.Module]) -> Callable[..., None]:
    @functools.wraps(initialise)
    def noting(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if not first and type(self) is kind:
            first.append(self)
        if first and self is first[0]:
            for name, value in _named(initialise, self, args, kwargs).items():
                heard.setdefault(name, copy.copy(value) if isinstance(value, list) else value)
        initialise(self, *args, **kwargs)

    return noting


def _named(initialise: Any, self: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one call by name, defaults included."""
    signature = inspect.signature(initialise)
    try:
        bound = signature.bind(self, *args, **kwargs)
    except TypeError:  # the call itself will say so
        return {}
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        rest = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        found.update(value if rest else {name: value})
    return found
