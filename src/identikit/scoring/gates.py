"""A gate on every layer at once: how the output would change if the layer were taken out a little.

The gate of a layer lies between what it returns and what its edit puts there: absent + g * (output - absent), with one
g for each example. At g = 1 that is the model as it is, so nothing is blended: the forward pass is bit for bit the full
model's, and only the backward pass knows of the gates.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.metrics.positions import wide
from identikit.plan import RESAMPLE, Edit
from identikit.scoring.by_example import as_rows, turned
from identikit.scoring.influence import precise
from identikit.structure.override import Forward
from identikit.structure.trees import Path, leaves, rebuilt, shape_of
from identikit.surgery.forwards import EditedForward, RunAndFill, forward_for
from identikit.surgery.reach import not_called
from identikit.surgery.substitutes import SUBSTITUTES

METHOD = "taylor"
Stand = tuple[torch.Tensor, torch.Tensor]  # what the edited layer returns, and a copy of it


class Gates:
    """The gates of some edits. `begin` a batch, run the model with its layers made `around`, differentiate `leaf`."""

    def __init__(self, anatomy: Anatomy, edits: Mapping[str, Edit], tensors: Mapping[str, torch.Tensor]) -> None:
        self.modules = {path: anatomy.model.get_submodule(path) for path in edits}
        self.leaf: dict[str, torch.Tensor] = {}
        self.calls: Counter[str] = Counter()
        self._absent = {path: _absent(anatomy, edit, tensors) for path, edit in edits.items()}
        self._turned = turned(anatomy, _outputs(anatomy, list(edits)))
        self._batch = Batch()

    def begin(self, batch: Batch, device: torch.device) -> None:
        """Fresh gates for `batch`, at one: path to [examples]."""
        self._batch = batch
        self.calls = Counter()
        sums = precise(torch.zeros(0, device=device))
        ones = {path: torch.ones(batch.examples, dtype=sums, device=device) for path in self.modules}
        self.leaf = {path: one.requires_grad_() for path, one in ones.items()}

    def around(self, path: str, _: nn.Module, forward: Forward) -> Forward:
        """`forward` with the gate behind it."""
        absent = self._absent[path]

        def run(*args: Any, **kwargs: Any) -> Any:
            self.calls[path] += 1
            filled = isinstance(absent, RunAndFill)
            stands = {} if filled else _stands(absent, args, kwargs)  # before the layer, which may write into its input
            output = forward(*args, **kwargs)
            if filled:
                stands = _stands(_filling(absent, output), args, kwargs)
            return rebuilt(output, lambda leaf, part: self._gated(path, leaf, part, stands.get(leaf)))

        return run

    def _gated(self, path: str, leaf: Path, part: Any, absent: Stand | None) -> Any:
        if absent is None or not isinstance(part, torch.Tensor) or not part.is_floating_point():
            return part
        if part is absent[0]:  # an input that the layer hands through
            return part
        if shape_of(part) is None:
            raise RoleError(
                f'"{path}" returns a nested tensor, which {METHOD} cannot take apart: nn.TransformerEncoder packs '
                "padded examples so. Make it with enable_nested_tensor=False."
            )
        if absent[1].shape != part.shape:
            return part
        arranged: dict[str, Any] = {"turned": (path, leaf) in self._turned, "layer": path, "method": METHOD}
        batch = self._batch

        def per_example(value: torch.Tensor) -> torch.Tensor:
            return as_rows(value, batch, **arranged).reshape(batch.examples, -1)

        per_example(part)  # an error belongs into the forward pass, where it names the layer
        gated: torch.Tensor = _Gate.apply(part, self.leaf[path], absent[1], per_example)  # type: ignore[no-untyped-call]
        return gated


class _Gate(torch.autograd.Function):
    """The identity forwards. Backwards the gate's gradient: of each example, gradient times (output - absent)."""

    @staticmethod
    def forward(
        ctx: Any, output: torch.Tensor, gate: torch.Tensor, absent: torch.Tensor, per_example: Callable[..., Any]
    ) -> torch.Tensor:
        ctx.save_for_backward(output - absent)
        ctx.per_example, ctx.sums = per_example, gate.dtype
        return output.clone()  # later layers may write into it

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        (gradient,), (difference,) = gradients, ctx.saved_tensors
        product = ctx.per_example(wide(gradient) * wide(difference))
        return gradient, product.sum(dim=1, dtype=ctx.sums), None, None


def _absent(anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
    """What the edited layer does instead."""
    if not anatomy.watched.by_path.get(edit.at):
        not_called(anatomy, edit.at)
        raise RoleError(f'"{edit.at}" did not run on the example, so {METHOD} cannot gate it. Use method="exact".')
    verdict, call = anatomy.verdict(edit.at), anatomy.watched.by_path[edit.at][0]
    if verdict.flow is None:
        raise RoleError(verdict.why)
    if edit.op == RESAMPLE:  # what another example would bring may be written into before the gate sees it
        raise RoleError(f'"{edit.at}" is resampled, which {METHOD} cannot gate. Use method="exact".')
    if edit.op in SUBSTITUTES:
        return SUBSTITUTES[edit.op].forward(anatomy, edit, tensors)
    return forward_for(edit.op, anatomy.model.get_submodule(edit.at), verdict.flow, call.output)


def _outputs(anatomy: Anatomy, paths: list[str]) -> dict[tuple[str, Path], torch.Tensor]:
    calls = {path: anatomy.watched.by_path[path][0] for path in paths}
    return {(path, leaf): value for path, call in calls.items() for leaf, value in call.tensors_out()}


def _filling(absent: EditedForward, output: Any) -> EditedForward:
    """A forward that runs its layer to fill what it returns, given that output: the layer runs once."""
    filling = copy.copy(absent)
    assert isinstance(filling, RunAndFill)
    filling.run = lambda *_, **__: output
    return filling


def _stands(absent: EditedForward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Path, Stand]:
    """The tensors that the edited layer returns, with copies that have no gradient."""
    with torch.no_grad():
        found = leaves(absent(*args, **kwargs))
        return {leaf: (value, value.detach().clone()) for leaf, value in found if isinstance(value, torch.Tensor)}
