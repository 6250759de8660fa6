"""Weights without values: on the meta device, or put aside until a layer runs (accelerate's offload)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def home_of(model: nn.Module) -> torch.device | None:
    """Where `model`'s inputs belong; None: where they are (it has no weights, or all of them have been put aside).

    Weights that were put aside stand on the meta device, and a forward on the instance fetches them.
    """
    devices = [parameter.device for parameter in model.parameters()]
    real = next((device for device in devices if device.type != "meta"), None)
    fetched = any(_around(module) for module in model.modules())
    return real or (devices[0] if devices and not fetched else None)


def _around(module: nn.Module) -> bool:
    """Whether somebody has put a forward around the module's own; one that picks among its methods has not."""
    forward = vars(module).get("forward")
    return forward is not None and getattr(forward, "__self__", None) is not module


@contextmanager
def conditions_hold(model: nn.Module) -> Iterator[None]:
    """Inside, `bool(tensor)` of a tensor on the meta device is True, where `model` has weights there.

    So a model that asks "is all of the mask set?" is told yes. Which branch it would take cannot be known; the question
    is nearly always whether a shortcut may be taken (nothing is padded, nothing is packed), and of an example without
    padding the answer is yes. Numbers stay refused.
    """
    if not any(value.is_meta for value in model.parameters()):
        yield
        return
    with _Yes():  # type: ignore[no-untyped-call]
        yield


class _Yes(TorchDispatchMode):
    """Answers the one operation that fetches a value, for truth values without one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta and args[0].dtype is torch.bool:
            return True
        return func(*args, **(kwargs or {}))
