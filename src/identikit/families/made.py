"""Models made to be looked at: on the meta device where they can be, none of the caller's random numbers drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: What fills a fresh weight. There is nothing to fill on the meta device, and finding that out takes most of the time.
_FILLING = ("normal_", "uniform_", "erfinv_", "clamp_", "mul_", "add_", "fill_", "zero_")


def made(build: Callable[[], nn.Module], *, empty: bool = False) -> nn.Module:
    """What `build` returns; `empty`: without memory, unless it reads values as it builds. Raises what `build` raises.

    What a library warns of as it builds is its own affair: every proposal would say it again.
    """
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        if not empty:
            return build()
        try:
            with torch.device("meta"), _Unfilled():
                return build()
        except (NotImplementedError, RuntimeError):
            return build()


class _Unfilled(TorchFunctionMode):
    """Inside, tensors on the meta device are not filled."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _FILLING and args and getattr(args[0], "is_meta", False):
            return args[0]
        return func(*args, **(kwargs or {}))
