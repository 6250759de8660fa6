"""What a grown model computes beside what it did: is it the same, how far is it, and does each new layer count?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.growing.attempt import NOT_RUN
from identikit.structure.compare import difference
from identikit.structure.noise import first_floating, noise_for, shifted
from identikit.structure.override import Forward, overriding
from identikit.structure.per_layer import Cut, without_entries
from identikit.structure.trees import children

Make = Callable[[str, nn.Module, Forward], Forward]
_UNCHANGED = 0.1  # of what `difference` allows: 1e-6 of the output's size in float32
_LOUD = 1.0


def _unchanged(output: Any, expected: Any, depth: int, added: int) -> bool:
    """Whether a model computes what it did before its stack of `depth` layers got `added` more.

    What it collects layer by layer (hidden states, attentions) has an entry more for each new layer.
    """
    if difference(output, expected) <= _UNCHANGED:
        return True
    shorter = without_entries(output, expected, [Cut(depth + added, added)])
    return difference(shorter, expected) <= _UNCHANGED


def why_other(anatomy: Anatomy, new: Sequence[str], make: Make, expected: Any, depth: int) -> str | None:
    """None where the model with its stack of `depth` layers grown computes what is expected; else why not (maybe "").

    `make(path, module, its forward)` is what each layer of the stack does in that pass.
    """
    ran: set[str] = set()

    def wrap(path: str, module: nn.Module, forward: Forward) -> Forward:
        does = make(path, module, forward)

        def noted(*args: Any, **kwargs: Any) -> Any:
            ran.add(path)
            return does(*args, **kwargs)

        return noted

    try:
        with overriding(_layers_beside(anatomy, new), wrap):
            output = anatomy.run()
    except NOT_RUN as cause:
        return f" ({' '.join(str(cause).split())})"
    if idle := _left_out(anatomy, new, ran):
        return f' ("{idle}" never runs)'
    return None if _unchanged(output, expected, depth, len(new)) else ""


def _layers_beside(anatomy: Anatomy, new: Sequence[str]) -> dict[str, nn.Module]:
    """Every layer of the stack that grew, the new ones among them, by its path now."""
    stack = new[0].rpartition(".")[0]
    return {
        f"{stack}.{name}" if stack else name: layer
        for name, layer in anatomy.model.get_submodule(stack).named_children()
    }


def _left_out(anatomy: Anatomy, new: Sequence[str], ran: Collection[str]) -> str | None:
    """The first layer of the stack that does not run, though it did or is new.

    A stack that counts to its old depth leaves out its last layer, and where that is the identity (it was put in) the
    output does not tell.
    """
    before = {id(calls[0].module) for calls in anatomy.watched.by_path.values()}
    wanted = (path for path, layer in _layers_beside(anatomy, new).items() if path in new or id(layer) in before)
    return next((path for path in wanted if path not in ran), None)


def moved(now: Any, before: Any) -> float:
    """How far two outputs are apart: the root mean square of the difference as a share of that of `before`.

    Of lists that have other lengths now (an entry for each layer) only the last entries belong together.
    """
    pairs = [(a.double(), b.double()) for a, b in _pairs(now, before) if b.is_floating_point() and a.shape == b.shape]
    change = sum(float((a - b).square().nan_to_num(0, 0, 0).sum()) for a, b in pairs)
    size = sum(float(b.square().nan_to_num(0, 0, 0).sum()) for _, b in pairs)
    return float((change / max(size, 1e-24)) ** 0.5)


def require_used(anatomy: Anatomy, new: Sequence[str]) -> None:
    """Raise RoleError where noise on what a new layer returns does not show in the output, though it does before it.

    Such a layer runs behind all that counts (a model that takes its features at layers named by number): it would
    cost time, change nothing and never learn.
    """
    output = anatomy.run()
    for path in new:
        stack, _, number = path.rpartition(".")
        before = f"{stack}.{int(number) - 1}" if stack else str(int(number) - 1)
        if not _shows(anatomy, path, output) and _shows(anatomy, before, output):
            raise RoleError(
                f'nothing reads what a copy behind "{before}" returns: {type(anatomy.model).__name__} takes its output '
                "from the layers before it, so the copy would change nothing and never learn. It was left as it was. "
                "Copy a layer further in front."
            )


def _shows(anatomy: Anatomy, path: str, expected: Any) -> bool:
    """Whether noise on what the layer at `path` returns makes an output other than `expected`."""

    def wrap(_: str, module: nn.Module, forward: Forward) -> Forward:
        def noisy(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            return output if first_floating(output) is None else shifted(output, noise_for(output, _LOUD))

        return noisy

    try:
        with overriding({path: anatomy.model.get_submodule(path)}, wrap):
            output = anatomy.run()
    except NOT_RUN:  # what follows cannot take such values: it reads them
        return True
    return difference(output, expected) > 0


def _pairs(now: Any, before: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    if isinstance(now, torch.Tensor) and isinstance(before, torch.Tensor):
        yield now, before
    first, second = children(now), children(before)
    if not first or not second:
        return
    if len(first) != len(second):
        first, second = [(0, first[-1][1])], [(0, second[-1][1])]
    there = dict(second)
    for key, value in first:
        if key in there:
            yield from _pairs(value, there[key])
