"""What hangs together in a model, noted before surgery of several steps, so that one call puts it all back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

_SLOTS = (dict, OrderedDict, list, set)


def structure_kept(model: nn.Module) -> Callable[[], None]:
    """Note every module's class, attributes, slots, weights and hooks (by identity); the call puts them back.

    Values of tensors are not noted: surgery writes into none.
    """
    held = [(module, type(module), dict(vars(module)), _inside(module)) for module in model.modules()]

    def put_back() -> None:
        for module, kind, attributes, inside in held:
            if type(module) is not kind:
                module.__class__ = kind
            vars(module).clear()
            vars(module).update(attributes)
            for container, members in inside:
                _refill(container, members)

    return put_back


def _inside(module: nn.Module) -> list[tuple[Any, Any]]:
    """Each container among a module's attributes with a copy of what it holds."""
    return [(value, value.copy()) for value in vars(module).values() if type(value) in _SLOTS]


def _refill(container: Any, members: Any) -> None:
    if len(container) == len(members) and all(
        one is other for one, other in zip(_flat(container), _flat(members), strict=True)
    ):
        return
    container.clear()
    if isinstance(container, list):
        container.extend(members)
    else:
        container.update(members)


def _flat(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [part for pair in container.items() for part in pair]
    return list(container)
