"""What the tests of the cheap scores share: plans for layers, and streams noted by hand with hooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families import family_of
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.surgery.choose import plan_for

Streams = dict[str, tuple[torch.Tensor, torch.Tensor]]


def plans(anatomy: Anatomy, paths: Iterable[str] | None = None, as_: str | None = None) -> dict[str, Plan]:
    """A plan for each path; every whole block where none is named."""
    return {path: plan_for(anatomy, [path], as_) for path in (anatomy.blocks() if paths is None else paths)}


def together(anatomy: Anatomy, *groups: list[str]) -> dict[str, Plan]:
    """A plan for each group of paths."""
    return {" + ".join(group): plan_for(anatomy, group) for group in groups}


def streams(model: nn.Module, batch: Batch, paths: Iterable[str]) -> Streams:
    """What the first tensor argument of each layer was and what it returned first, by hooks, in one pass."""
    entered: dict[str, torch.Tensor] = {}
    found: Streams = {}

    def before(path: str) -> Any:
        def hook(_: Any, args: Any, kwargs: Any) -> None:
            entered[path] = (args[0] if args else kwargs["hidden_states"]).clone()

        return hook

    def after(path: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            found[path] = entered[path], (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    hooks = []
    for path in paths:
        layer = model.get_submodule(path)
        hooks += [layer.register_forward_pre_hook(before(path), with_kwargs=True)]
        hooks += [layer.register_forward_hook(after(path))]
    with torch.no_grad(), family_of(model).quiet(model):
        batch.copied().call(model)
    for hook in hooks:
        hook.remove()
    return found
