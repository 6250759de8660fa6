"""What a worker on another machine needs, as one text of bytes: the model, an example batch, the metrics, the recipe.

Weights are packed as torch saves them, so that each worker puts them on its own device, whatever they lay on here.
Classes and functions of a script or of a `file.py:function` travel along; those of a library are looked up there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.crews.worker import Recipe, Worker
from identikit.errors import WorkersError
from identikit.families import Family
from identikit.families.anatomy import Anatomy
from identikit.functions import is_users
from identikit.metrics import Metric


@dataclass(frozen=True)
class Kit:
    """Everything that makes a Worker."""

    model: nn.Module
    batch: Batch
    family: Family
    metrics: tuple[Metric, ...]
    recipe: Recipe

    def worker(self, asked: str = "") -> Worker:
        """The worker, with the engine that is asked for; the recipe's where nothing is."""
        anatomy = Anatomy(self.model, self.batch, self.family)
        recipe = replace(self.recipe, asked=asked) if asked else self.recipe
        return Worker(recipe.engine(anatomy), self.metrics)


def packed(kit: Kit, pickling: ModuleType) -> bytes:
    """`kit` as bytes; `pickling` is the module cloudpickle. Raises WorkersError where something cannot be sent."""
    devices = {value.device for value in kit.model.parameters()}
    if len(devices) > 1 or any(device.type == "meta" for device in devices):
        raise WorkersError(
            f"{type(kit.model).__name__} lies on several devices, or aside (device_map), so it cannot be handed to "
            "Ray's workers. Scan it in one process, or by torchrun with one rank a machine."
        )
    file = io.BytesIO()
    try:
        with _by_value(pickling):
            torch.save(kit, file, pickle_module=pickling)
    except Exception as cause:  # whatever an object's own way to be pickled raises
        first = (str(cause).strip().splitlines() or [""])[0]
        raise WorkersError(
            f"{type(kit.model).__name__} or a metric cannot be sent to other processes: {type(cause).__name__}: {first}"
        ) from cause
    return file.getvalue()


def unpacked(content: bytes, device: str) -> Kit:
    """The kit, its tensors on `device`. Raises WorkersError where this process cannot import what it is made of."""
    try:
        kit: Kit = torch.load(io.BytesIO(content), map_location=device, weights_only=False)
    except ImportError as cause:
        message = f"a worker cannot load the model: {cause}. Install the same packages on every machine."
        raise WorkersError(message) from cause
    return kit


@contextmanager
def _by_value(pickling: Any) -> Iterator[None]:
    """Inside, what stands in a user's `file.py` is pickled whole: no other process could import it."""
    modules = [module for module in list(sys.modules.values()) if is_users(module)]
    for module in modules:
        pickling.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            pickling.unregister_pickle_by_value(module)
