"""Parallel convolutions of one input whose outputs are added become one convolution, as RepVGG is deployed.

A block is proposed where some of its layers take the very tensor that the block takes, and the others come one behind
the other and end it. Then the block may be one convolution, the sum of the former (with or without the input itself),
with the latter behind it. Whether it is, noise through both decides.
Source: Ding et al., RepVGG: Making VGG-style ConvNets Great Again (CVPR 2021), section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.results.simplified import Left, Rewritten
from identikit.simplifying.affine import Affine, affine_of
from identikit.simplifying.fold_norm import bound, parts_of, tail_of, torchs_own
from identikit.simplifying.kernels import merged_kernels
from identikit.simplifying.steps import Put, Rewrite, Snapshot, Weights
from identikit.simplifying.view import View, plain
from identikit.structure.replay import NOT_PROVED
from identikit.structure.traceless import traceless
from identikit.structure.watch import Call

_CLOSE = 1e-10


@dataclass(frozen=True)
class _Block:
    """A block that may be a sum: its call, its convolutions, what only scales its input, and what ends it."""

    call: Call
    convolutions: list[Call]
    scales: list[Affine]
    tail: list[Call]

    @property
    def main(self) -> Call:
        """The convolution with the widest kernel: the others fit into it."""
        sizes = {id(each): each.module.weight[0, 0].numel() for each in self.convolutions}  # type: ignore[index]
        return max(self.convolutions, key=lambda each: sizes[id(each)])


def reparameterising(view: View) -> Iterator[Rewrite | Left]:
    """A rewrite for each block that is a sum of convolutions of its input with layers behind it."""
    for path, calls in view.watched.by_path.items():
        if not path or not plain(calls[0]) or not calls[0].args[0].is_floating_point():
            continue
        block = _block(view, calls[0])
        if block is None:
            continue
        proposed = (_proposal(block, plus_input) for plus_input in (False, True))
        rewrite = next((each for each in proposed if each is not None and _agrees(view, block.call, each)), None)
        if rewrite is not None:
            why = _bound(view, block)
            yield rewrite if why is None else Left(path, why)


def _block(view: View, call: Call) -> _Block | None:
    inner = [each for each in view.watched.calls if each.parent is call]
    beside = [each for each in inner if plain(each) and each.args[0] is call.args[0]]
    if not beside:
        return None
    tail = [each for each in tail_of(view, call) if each not in beside]
    shapes = {each.output.shape for each in beside}
    if len(beside) + len(tail) != len(inner) or len(shapes) != 1:
        return None
    found = {id(each): _convolution(view, each) for each in beside}
    convolutions = [each for each in found.values() if each is not None]
    if not convolutions:
        return None
    channel = -1 - len(convolutions[0].module.kernel_size)  # type: ignore[arg-type]
    scales = [affine_of(each.module, each.args[0], channel) for each in beside if found[id(each)] is None]
    known = [each for each in scales if each is not None]
    return _Block(call, convolutions, known, tail) if len(known) == len(scales) else None


def _convolution(view: View, branch: Call) -> Call | None:
    """The convolution that a branch is, whatever containers and identities are around it."""
    maker = view.maker(branch.output)
    if maker is None or not view.linear(maker) or not maker.within(branch) or maker.args[0] is not branch.args[0]:
        return None
    return maker if torchs_own(maker.module) and not isinstance(maker.module, nn.Linear) else None


def _proposal(block: _Block, plus_input: bool) -> Rewrite | None:
    """The block as one convolution; None where there is nothing to add up, or the kernels do not fit together."""
    scales = list(block.scales)
    main: Any = block.main.module
    if plus_input:
        ones = main.weight.new_ones(main.in_channels)
        scales.append(Affine(ones, torch.zeros_like(ones)))
    if len(block.convolutions) + len(scales) < 2:
        return None
    made = merged_kernels(main, [each.module for each in block.convolutions], scales)
    if made is None:
        return None
    path, whole = block.main.path, block.call.path
    parts = ((path.removeprefix(f"{whole}.").replace(".", "_"), path), *parts_of(block.tail))
    behind = f", then {', '.join(name for name, _ in parts[1:])}" if len(parts) > 1 else ""
    told = Rewritten("branches", whole, path, f"one convolution{behind}")
    return Rewrite(told, (Weights(path, *made), Put(whole, parts)), frozenset({whole, path}))


def _agrees(view: View, call: Call, rewrite: Rewrite) -> bool:
    """Whether the block and what it would become make the same of noise, in the copy's float64."""
    like = call.args[0]
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like) * size for size in (1.0, 30.0)]
    snapshot = Snapshot(view.model)
    try:
        before = [_output(view.model.get_submodule(call.path), each) for each in noise]
        rewrite.take(view.model)
        after = [_output(view.model.get_submodule(call.path), each) for each in noise]
    except NOT_PROVED:
        return False
    finally:
        snapshot.put_back()
    pairs = zip(after, before, strict=True)
    return all(a.shape == b.shape and bool((a - b).abs().max() <= _CLOSE * b.abs().max()) for a, b in pairs)


def _output(module: nn.Module, given: torch.Tensor) -> torch.Tensor:
    with traceless(module):
        output: torch.Tensor = module(given.clone())
        return output


def _bound(view: View, block: _Block) -> str | None:
    """Why the block must stay as it is."""
    path = block.call.path
    weighty = [each for each in block.convolutions if each.path]
    whys = (view.called_once(path), view.forbids(path), *(bound(view, each) for each in weighty))
    return next((why for why in whys if why is not None), None)
