"""A model inside others and others inside it: histories told on, edits seen, what several processes share refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from identikit.errors import PlanError, SaveError
from identikit.plan import Edit
from identikit.surgery.carried import Carried, carried, carry, shortened_by
from identikit.surgery.forwards import EditedForward

# Where the classes live that share a model between processes; those that shard it leave each a part of every weight.
_SHARDS = ("torch.distributed.fsdp",)
_SHARED = ("torch.nn.parallel.distributed", *_SHARDS)


def refuse_shared(model: nn.Module, fix: str = "Remove first, then wrap; ik.bypass works on a wrapped model.") -> None:
    """Raise PlanError where several processes hold `model` together: each would go on expecting the weights that go.

    DistributedDataParallel and FSDP have noted every weight, and wait for its gradient in every step.
    """
    kinds = (kind for module in model.modules() for kind in type(module).__mro__)
    shared = next((kind for kind in kinds if kind.__module__.startswith(_SHARED)), None)
    if shared is not None:
        raise PlanError(
            f"this model is already wrapped for several processes ({shared.__name__}), which wait for the weights of "
            f"every layer. {fix}"
        )


def refuse_sharded(model: nn.Module) -> None:
    """Raise SaveError where this process holds only its own part of each weight."""
    if any(kind.__module__.startswith(_SHARDS) for module in model.modules() for kind in type(module).__mro__):
        raise SaveError(
            f"{type(model).__name__} holds only this process's part of its weights. Gather them first "
            "(torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True), load them into "
            "a model that is not sharded, and save that."
        )


def is_edited(model: nn.Module) -> bool:
    """Whether a live handle overrides a layer of `model`, though it was applied to a model around or inside it."""
    return any(isinstance(vars(module).get("forward"), EditedForward) for module in model.modules())


class Inside:
    """The models inside another that carry histories of their own: a removed model that was wrapped afterwards."""

    def __init__(self, model: nn.Module) -> None:
        inner = [(path, module, carried(module)) for path, module in model.named_modules() if path]
        self._told = [(f"{path}.", module, history) for path, module, history in inner if history is not None]

    def tell(self, edits: Iterable[Edit], shortened: Iterable[Edit], tensors: Mapping[str, Any]) -> None:
        """Let each carry what was done to its own layers too (paths of the outer model, before they went)."""
        for prefix, module, history in self._told:
            own = [replace(edit, at=edit.at.removeprefix(prefix)) for edit in edits if edit.at.startswith(prefix)]
            gone = [edit.at.removeprefix(prefix) for edit in shortened if edit.at.startswith(prefix)]
            if own:
                carry(module, _retold(history, own, gone, tensors))


def _retold(history: Carried, edits: list[Edit], shortened: list[str], tensors: Mapping[str, Any]) -> Carried:
    moved = frozenset(replace(edit, at=history.first_path(edit.at)) for edit in edits)
    gone = shortened_by(history, [history.first_path(path) for path in shortened])
    return replace(history, plan=history.plan | replace(history.plan, edits=moved, tensors=tensors), shortened=gone)
