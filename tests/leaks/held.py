"""What a process holds: objects, live tensors, memory, and on a model and in torch the hooks of every kind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as global_hooks
from torch.utils import _python_dispatch as dispatch

ROOM = 0.2  # objects that a round may leave behind on average: a leak leaves one at least


@dataclass(frozen=True)
class Held:
    """What there is at one moment: objects that Python tracks, live tensors and their bytes, blocks of memory."""

    objects: int
    tensors: int
    tensor_bytes: int
    blocks: int

    @classmethod
    def now(cls) -> Held:
        """After everything that nobody holds is gone; without what is frozen."""
        for _ in range(3):  # weak references and finalisers free more
            gc.collect()
        tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
        storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
        count, size = len(tensors), sum(storages.values())
        del tensors
        return cls(len(gc.get_objects()), count, size, sys.getallocatedblocks())


def growth(round_: Callable[[], Any], rounds: int, *, warm: int) -> dict[str, float]:
    """What each of `rounds` rounds leaves behind on average, after `warm` that fill caches."""
    gc.collect()
    gc.freeze()  # what is there already need not be gone through again and again
    try:
        for _ in range(warm):
            round_()
        before = Held.now()
        for _ in range(rounds):
            round_()
        after = Held.now()
    finally:
        gc.unfreeze()
    return {name: (getattr(after, name) - getattr(before, name)) / rounds for name in Held.__dataclass_fields__}


def least_growth(round_: Callable[[], Any], rounds: int, *, warm: int) -> dict[str, float]:
    """`growth`, and where that shows something the least of three: a leak leaves something each time, and what else
    happens in the process (a cache that fills, what another test left to be cleared) once."""
    found = growth(round_, rounds, warm=warm)
    for _ in range(2):
        if found["objects"] <= ROOM and found["tensors"] <= 0 and found["tensor_bytes"] <= 0:
            break
        again = growth(round_, rounds, warm=0)
        found = {name: min(found[name], again[name]) for name in found}
    return found


def hooks(model: nn.Module) -> dict[str, Any]:
    """Everything on the model and in torch that runs when a model is called, saved or loaded, beside its forward."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name.endswith("_hooks") or "_hooks_" in name:
                found[f"{path}.{name}"] = list(value) if isinstance(value, dict) else value
        found[f"{path}.forward"] = vars(module).get("forward")
        found[f"{path}.type"] = type(module)  # a parametrisation makes a class of its own
        found[f"{path}.training"] = module.training
        found[f"{path}.parametrizations"] = "parametrizations" in dict(module.named_children())
    for name, value in vars(global_hooks).items():
        if name.startswith("_global") and isinstance(value, dict):
            found[f"torch {name}"] = list(value)
    for name, parameter in model.named_parameters():
        found[f"{name} hooks"] = list(parameter._backward_hooks or ())
    return found | _modes()


def _modes() -> dict[str, Any]:
    return {
        "dispatch modes": len(dispatch._get_current_dispatch_mode_stack()),
        "function modes": torch._C._len_torch_function_stack(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "default dtype": torch.get_default_dtype(),
        "anomalies": torch.is_anomaly_enabled(),
    }
