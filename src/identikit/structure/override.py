"""Overriding `forward` on the instance: keys, types and attributes stay, and what was there before comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from identikit.errors import PlanError
from identikit.turns import Owner

Forward = Callable[..., Any]
F = TypeVar("F", bound=Forward)
_ABSENT: Any = object()


class Override(Generic[F]):
    """One instance's `forward`, replaced until `undo`.

    What the instance's `__dict__` held before is put back, bit for bit: accelerate and others keep a `forward` of
    their own there.
    """

    def __init__(self, module: nn.Module, forward: F) -> None:
        self.module = module
        self.forward = forward
        self._held = module.__dict__.get("forward", _ABSENT)
        module.__dict__["forward"] = forward

    @property
    def on_top(self) -> bool:
        """Whether nobody has put another `forward` over this one."""
        return self.module.__dict__.get("forward") is self.forward

    def replace(self, forward: F) -> None:
        """Put `forward` in the place of this override's own."""
        self.forward = forward
        self.module.__dict__["forward"] = forward

    def undo(self) -> None:
        """Put back what was there before."""
        if self._held is _ABSENT:
            self.module.__dict__.pop("forward", None)
        else:
            self.module.__dict__["forward"] = self._held


def refuse_edited_elsewhere(model: nn.Module) -> None:
    """Raise PlanError where a layer is out of action by the hand of another thread, which may put it back any time."""
    for path, module in model.named_modules():
        owner = getattr(module.__dict__.get("forward"), "owner", None)
        thread = owner.other() if isinstance(owner, Owner) else None
        if thread is not None:
            raise PlanError(
                f'"{path}" is bypassed by another thread ({thread}). Undo that first, or give each thread a model of '
                "its own, copied before."
            )


def reachable(module: nn.Module) -> bool:
    """Whether Python calls this module's `forward` at all (a ScriptModule's runs inside TorchScript)."""
    return not isinstance(module, torch.jit.ScriptModule)


@contextmanager
def overriding(modules: dict[str, nn.Module], make: Callable[[str, nn.Module, Forward], Forward]) -> Iterator[None]:
    """Override `forward` of every module by `make(path, module, its present forward)` for the time of a block."""
    placed: list[Override[Forward]] = []
    try:
        for path, module in modules.items():
            if reachable(module):
                placed.append(Override(module, make(path, module, module.forward)))
        yield
    finally:
        for override in reversed(placed):
            override.undo()
