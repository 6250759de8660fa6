"""Something before and after each call of an overridden layer; of a layer that calls itself the outer call alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from identikit.structure.override import Forward

T = TypeVar("T")


def outermost(begin: Callable[[], T], end: Callable[[str, T], None]) -> Callable[[str, nn.Module, Forward], Forward]:
    """For `overriding`: `end(path, begin())` around every call, an inner call of the same layer being part of it."""

    def make(path: str, _: nn.Module, forward: Forward) -> Forward:
        inside = False

        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return forward(*args, **kwargs)
            inside, began = True, begin()
            try:
                return forward(*args, **kwargs)
            finally:
                end(path, began)
                inside = False

        return run

    return make
