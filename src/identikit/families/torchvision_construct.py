"""Which of torchvision's builders makes a model of this structure: proposed by where its class lives, then compared.

A model does not say which builder made it, so those that live beside its class are tried, without memory.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from identikit.errors import needs_extra
from identikit.families.made import made
from identikit.structure.fingerprints import structure_of

_LIBRARY, _BUILDER, _ARGUMENTS = "library", "builder", "arguments"
_WITHOUT = ("weights", "weights_backbone")  # nothing is fetched
_NOT_STRUCTURE = ("progress", "init_weights", "transform_input")


def first_configuration(model: nn.Module) -> dict[str, Any] | None:
    """The name of a builder and the arguments with which it makes a model of `model`'s structure; None: none does."""
    last = [module for module in model.modules() if getattr(getattr(module, "weight", None), "ndim", 0) > 1]
    weight: Any = last[-1].weight if last else ()
    kind: Any = type(model)
    found = _search(kind, structure_of(model), len(weight))
    return {_LIBRARY: "torchvision", _BUILDER: found[0], _ARGUMENTS: dict(found[1])} if found else None


@functools.lru_cache(maxsize=16)
def _search(kind: type[nn.Module], wanted: str, classes: int) -> tuple[str, dict[str, Any]] | None:
    """The builder of models of class `kind` and structure `wanted`, and its arguments. Kept: every verb asks again."""
    for builder, arguments in _proposals(kind, classes):
        try:
            proposed = built(builder, arguments, empty=True)
        except Exception:  # whatever a builder raises, it refutes the proposal
            continue
        if structure_of(proposed) == wanted:
            return builder, arguments
    return None


def arguments_of(configuration: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The arguments of `built` in a first configuration; None in another library's."""
    if configuration.get(_LIBRARY) != "torchvision":
        return None
    return configuration[_BUILDER], configuration[_ARGUMENTS]


def built(builder: str, arguments: dict[str, Any], *, empty: bool = False) -> nn.Module:
    """What the builder makes, with random weights, or (`empty`) on the meta device. Raises whatever it raises."""
    try:
        from torchvision import models
    except ImportError as cause:
        raise needs_extra("torchvision", "timm", f"making a {builder}") from cause
    without = dict.fromkeys(_WITHOUT[: 1 + _takes(builder, _WITHOUT[1])])
    return made(lambda: models.get_model(builder, **without, **arguments), empty=empty)


def _beside(kind: type) -> list[str]:
    """The names of the builders in the file that a class is written in; none for a class outside torchvision."""
    from torchvision import models

    return [name for name in models.list_models() if models.get_model_builder(name).__module__ == kind.__module__]


def _proposals(kind: type[nn.Module], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every builder with the model's number of classes and without arguments; then each with one switch thrown."""
    classes: list[dict[str, Any]] = [{"num_classes": count}, {}] if count else [{}]
    builders = _beside(kind)
    yield from ((builder, each) for builder in builders for each in classes)
    for builder in builders:
        for name, value in _switches(builder, kind):
            yield from ((builder, each | {name: value}) for each in classes)


def _switches(builder: str, kind: type[nn.Module]) -> list[tuple[str, bool]]:
    """Every parameter of the builder and of the class that is a switch, thrown."""
    from torchvision import models

    functions = (models.get_model_builder(builder), kind.__init__)
    every = {name: each for function in functions for name, each in inspect.signature(function).parameters.items()}
    both = [(name, value) for name, each in every.items() for value in (True, False) if _is_switch(each, value)]
    return [(name, value) for name, value in both if name not in _NOT_STRUCTURE]


def _is_switch(parameter: inspect.Parameter, value: bool) -> bool:
    """Whether `value` is another one than the default of a parameter for True, False or nothing."""
    default = parameter.default
    boolean = isinstance(default, bool) or "bool" in str(parameter.annotation)
    return boolean and default is not value


def _takes(builder: str, name: str) -> bool:
    from torchvision import models

    return name in inspect.signature(models.get_model_builder(builder)).parameters
