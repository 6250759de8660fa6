"""A layer that scales and shifts channels is folded into the linear layer or convolution before it, or behind it.

Before it: W' = a W, b' = a b + c, exact whatever the padding. Behind it: W' = W a, b' = b + W c, exact where no zeros
are padded in between (or nothing is shifted). Source: Jacob et al., Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference (CVPR 2018), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from identikit.results.simplified import Left, Rewritten
from identikit.simplifying.affine import Affine, affine_of
from identikit.simplifying.steps import Put, Rewrite, Weights
from identikit.simplifying.view import View, plain
from identikit.structure.watch import Call


def folding(view: View) -> Iterator[Rewrite | Left]:
    """A rewrite for each affine layer beside a linear one; those that must stay are told, with why."""
    for path, calls in view.watched.by_path.items():
        call = calls[0]
        if not path or not plain(call) or type(call.module) is nn.Identity:
            continue
        if view.linear(call) or _hands_in(view, call):
            continue
        maker = view.maker(call.args[0])
        before = maker if maker is not None and view.linear(maker) else None
        reader = view.taker(call.output, call)
        behind = reader if reader is not None and view.linear(reader) else None
        if before is None and behind is None:
            continue
        tail = tail_of(view, call)
        affine = affine_of(view.modules[path], call.args[0], _channel(before, behind), [each.module for each in tail])
        if affine is None or (affine.neutral and not tail):
            continue
        folded = _fold(view, call, affine, tail, before, behind)
        if folded is not None:
            yield folded


def tail_of(view: View, call: Call) -> list[Call]:
    """The layers that finish a call: its own children called one behind the other, the last one's output its own."""
    inner = [each for each in view.watched.calls if each.parent is call]
    if not inner or inner[-1].output is not call.output or not all(map(plain, inner)):
        return []
    tail = [inner.pop()]
    while inner and inner[-1].output is tail[0].args[0] and inner[-1].args[0] is not call.args[0]:
        tail.insert(0, inner.pop())
    return tail


def parts_of(tail: list[Call]) -> tuple[tuple[str, str], ...]:
    """The layers of a tail as parts of a `Put`, identities left out."""
    kept = [each.path for each in tail if type(each.module) is not nn.Identity]
    return tuple((path.rpartition(".")[2], path) for path in kept)


def _fold(
    view: View, call: Call, affine: Affine, tail: list[Call], before: Call | None, behind: Call | None
) -> Rewrite | Left | None:
    """Into the layer before, else into the one behind, else why not; None where it is beside neither after all."""
    path, why = call.path, view.called_once(call.path) or view.forbids(call.path)
    into: Call | None = None
    if why is None and before is not None:
        why = bound(view, before) or view.read_elsewhere(call.args[0], before, call)
        into = before if why is None else None
    if into is None and behind is not None and not tail and not (view.called_once(path) or view.forbids(path)):
        if before is None and view.read_elsewhere(call.output, call, behind):
            return None  # an activation that writes in place stands between
        obstacle = bound(view, behind) or view.read_elsewhere(call.output, call, behind) or _padded(behind, affine)
        into, why = (behind, None) if obstacle is None else (None, why or obstacle)
    if into is None:
        return Left(path, str(why))
    parts = parts_of(tail)
    weight, bias = _scaled(into.module, affine, after=into is before)
    said = f"folded into {into.path}" + (f"; {parts[-1][0]} of it stays" if parts else "")
    touched = {path, into.path, *(each.path for each in tail)}
    told = Rewritten("fold", path, into.path, said)
    return Rewrite(told, (Weights(into.path, weight, bias), Put(path, parts)), frozenset(touched))


def bound(view: View, call: Call) -> str | None:
    """Why the weights that `call` used must stay as they are."""
    return view.called_once(call.path) or view.forbids(call.path) or view.weights_bound(call.path)


def _channel(before: Call | None, behind: Call | None) -> int:
    """The dimension of the features between two layers, counted from the end."""
    module: Any = (before or behind).module  # type: ignore[union-attr]
    return -1 if isinstance(module, nn.Linear) else -1 - len(module.kernel_size)


def _padded(call: Call, affine: Affine) -> str | None:
    """Why a shift before a convolution does not pass through it."""
    module: Any = call.module
    if isinstance(module, nn.Linear) or not bool(affine.shift.any()):
        return None
    if module.transposed:
        return f'"{call.path}" is transposed: a shift before it is not the same everywhere behind it'
    padding = module.padding if isinstance(module.padding, tuple) else (0 if module.padding == "valid" else 1,)
    if any(padding) and module.padding_mode == "zeros":
        return f'"{call.path}" pads zeros, which a shift before it does not reach'
    return None if torchs_own(module) else f'"{call.path}" may pad in a way of its own'


def torchs_own(module: nn.Module) -> bool:
    """Whether a layer's forward is torch's, so that its geometry is what its attributes say."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    same = (kind for kind in kinds if isinstance(module, kind) and type(module).forward is kind.forward)
    return any(getattr(type(module), "_conv_forward", None) is getattr(kind, "_conv_forward", None) for kind in same)


def _hands_in(view: View, call: Call) -> bool:
    """Whether a layer hands what it takes to a layer in it: then that one is looked at."""
    (given,) = call.args
    return any(each.parent is call for each, _ in view.watched.takers.get(id(given), []))


def _scaled(module: Any, affine: Affine, *, after: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weights of `module` with `affine` after it, or before it; in float64."""
    weight, bias = module.weight.detach().double(), module.bias
    groups, transposed = getattr(module, "groups", 1), getattr(module, "transposed", False)
    scale, shift = affine.scale.to(weight), affine.shift.to(weight)
    old = shift.new_zeros(()) if bias is None else bias.detach().double()
    grouped = weight.unflatten(0, (groups, -1))  # [groups, rows, columns, ...]
    along = 2 if after == transposed else 1
    per_group = scale.view(groups, 1, -1) if along == 2 else scale.view(groups, -1, 1)
    wide = per_group.reshape(*per_group.shape, *[1] * (weight.ndim - 2))
    scaled = (grouped * wide).flatten(0, 1)
    if not bool(shift.any()) and (bias is None or not after):
        return scaled, None
    if after:
        return scaled, old * scale + shift
    moved = (grouped.flatten(3).sum(3) if weight.ndim > 2 else grouped) @ shift.view(groups, -1, 1)
    return scaled, old + moved.flatten()
