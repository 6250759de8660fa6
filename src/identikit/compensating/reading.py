"""What passes through one layer while the model runs on a batch: its stream, its last sum, what one product took."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.compensating.sums import summing
from identikit.errors import RoleError
from identikit.families.plain import Family
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, at


class _SeenError(Exception):
    """Ends a pass: all that was to be seen has been seen."""


@dataclass
class Reading:
    """Of one call: the stream that left, the last sum of as many values, what the product took and made."""

    left: torch.Tensor | None = None
    sum: torch.Tensor | None = None
    taken: torch.Tensor | None = None
    made: torch.Tensor | None = None

    def whole(self, path: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """sum, taken, made. Raises RoleError where the layer did not run as it did on the example."""
        if self.sum is None or self.taken is None or self.made is None:
            raise RoleError(f'on the data, "{path}" runs otherwise than on the first batch. Leave compensate out.')
        return self.sum, self.taken, self.made


def read(
    model: nn.Module, family: Family, batch: Batch, layer: str, leaves: Path, product: str | None = None
) -> Reading:
    """Run `model` on `batch` without a trace, as far as the layer at `layer`: what was seen of it.

    `leaves`: the way to the stream in what the layer returns. `product`: a module inside it, seen too.
    """
    seen = Reading()
    inner = None if product is None else f"{layer}.{product}" if product else layer

    def around(path: str, module: nn.Module, forward: Forward) -> Forward:
        def multiplied(*args: Any, **kwargs: Any) -> Any:
            seen.taken = args[0].detach().clone()
            seen.made = forward(*args, **kwargs)
            return seen.made

        def run(*args: Any, **kwargs: Any) -> Any:
            with summing() as sums:
                output = forward(*args, **kwargs)
            left = at(output, leaves)
            seen.left, seen.sum = left.detach().clone(), sums.last.get(left.numel())
            raise _SeenError

        return run if path == layer else multiplied

    modules = {path: model.get_submodule(path) for path in (layer, inner) if path is not None}
    with ExitStack() as stack:
        stack.enter_context(family.quiet(model))
        stack.enter_context(traceless(model))
        stack.enter_context(overriding(modules, around))
        stack.enter_context(suppress(_SeenError))
        batch.copied().call(model)
    return seen
