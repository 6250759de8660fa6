"""Found by what a layer does: is it `a * x + b` with numbers of its own for each channel, whatever x and its shape?

Asked of the float64 copy with noise of several sizes and shapes, so no class is named: batch norms in evaluation,
frozen ones, layer scales, gates, dropouts, identities and the user's own all answer alike. A pooling or a flattening
that happens to change nothing on this input's shape gives itself away on another.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from identikit.structure.override import overriding
from identikit.structure.replay import NOT_PROVED
from identikit.structure.traceless import traceless

_SCALES = (1.0, 1e-3, 1e12)
_HUGE = 1e300  # what a clamp would not let through
_STEP = 2.0**40  # a large one: what is lost to cancellation is small; a power of two: the division is exact
_CLOSE = 1e-11


@dataclass(frozen=True, eq=False)
class Affine:
    """`scale * x + shift`, both [channels] in float64."""

    scale: torch.Tensor
    shift: torch.Tensor

    @property
    def neutral(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.scale == 1).all()) and not bool(self.shift.any())


def is_neutral(module: nn.Module, like: torch.Tensor) -> bool:
    """Whether `module` gives back what it is given, bit for bit: noise of `like`'s shape and of others.

    `like`: what it took in the watched pass, floating. Other shapes it may refuse (a scale has its channels), but not
    change. A module that holds a matrix is a layer that may learn, and is not asked; nor is one that notes what passes.
    """
    if not like.is_floating_point() or like.ndim == 0 or any(map(_is_matrix, module.parameters())):
        return False
    with _asked(module) as changed:
        first, own = True, _small(tuple(like.shape), -1)
        for shape in (own, *_other_shapes(own, channel=None)):
            given = _noise(shape, like, 1.0)
            given.view(-1)[::3] *= _HUGE
            answer = _answer(module, given)
            if answer is None and not first:
                continue
            if answer is None or answer.shape != given.shape or not torch.equal(answer, given):
                return False
            first = False
        return not changed()


def affine_of(module: nn.Module, like: torch.Tensor, channel: int, tail: Sequence[nn.Module] = ()) -> Affine | None:
    """What `module` does to each channel (dimension `channel` of `like`), with its children in `tail` left out.

    None where it does anything else. Shapes: the affine's [channels], channels = `like.shape[channel]`.
    """
    beside = {id(value) for each in tail for value in each.parameters()}
    if any(_is_matrix(value) and id(value) not in beside for value in module.parameters()):
        return None
    channel %= like.ndim
    channel = -1 if channel == like.ndim - 1 else channel  # so that a dimension more, in front or behind, moves it not
    with _asked(module, tail) as changed:
        shape = _small(tuple(like.shape), channel)
        zero = like.new_zeros(shape)
        base, far = _answer(module, zero), _answer(module, zero + _STEP)
        if base is None or far is None or base.shape != shape or far.shape != shape:
            return None
        found = Affine(_by_channel((far - base) / _STEP, channel), _by_channel(base, channel))
        same = all(
            _does(module, found, each, like, channel, must_run=each == shape)
            for each in (shape, *_other_shapes(shape, channel))
        )
        return found if same and not changed() else None


def _does(
    module: nn.Module, affine: Affine, shape: tuple[int, ...], like: torch.Tensor, channel: int, *, must_run: bool
) -> bool:
    """Whether `module` is `affine` on noise of `shape`, or refuses that shape and need not run on it."""
    wide = [1] * len(shape)
    wide[channel] = -1
    scale, shift = affine.scale.view(wide), affine.shift.view(wide)
    for size in _SCALES:
        given = _noise(shape, like, size)
        answer = _answer(module, given)
        if answer is None:
            return not must_run
        expected = given * scale + shift
        room = _CLOSE * (size * scale.abs().max() + shift.abs().max() + 1e-300)
        if answer.shape != expected.shape or not bool(((answer - expected).abs() <= room * 10).all()):
            return False
    return True


@contextmanager
def _asked(module: nn.Module, tail: Sequence[nn.Module] = ()) -> Iterator[Callable[[], bool]]:
    """Inside, `module` is asked without a trace, and `tail` hands on what it takes; gives "has it changed?"."""
    children = {str(number): child for number, child in enumerate(tail)}
    with warnings.catch_warnings(), overriding(children, lambda *_: _handed_on), traceless(module) as changed:
        warnings.simplefilter("ignore")
        yield changed


def _handed_on(value: torch.Tensor) -> torch.Tensor:
    return value


def _answer(module: nn.Module, given: torch.Tensor) -> torch.Tensor | None:
    """What `module` makes of `given`; None where it does not take that."""
    try:
        output = module(given.clone())
    except (*NOT_PROVED, NotImplementedError):
        return None
    fits = isinstance(output, torch.Tensor) and output.dtype is given.dtype and output.device == given.device
    return output if fits else None


def _other_shapes(shape: tuple[int, ...], channel: int | None) -> Iterator[tuple[int, ...]]:
    """`shape` with each dimension but the channels' longer, then with one more: behind, or in front of the rest."""
    fixed = None if channel is None else channel % len(shape)
    for dim, size in enumerate(shape):
        if dim != fixed:
            yield (*shape[:dim], size + 1, *shape[dim + 1 :])
            yield (*shape[:dim], size * 2, *shape[dim + 1 :])
    more = 3 if 2 in shape[1:] else 2  # not as many as the channels: what scales the last dimension would run
    if channel == -1:  # none of the others as long as the channels: a norm of the second dimension would take it
        yield (more, *(size + (size == shape[-1]) for size in shape[:-1]), shape[-1])
    else:
        yield (*shape, more)
        yield (*shape, more, more)


def _small(shape: tuple[int, ...], channel: int) -> tuple[int, ...]:
    """`shape` with at most two examples."""
    return shape if channel % len(shape) == 0 else (min(shape[0], 2), *shape[1:])


def _by_channel(values: torch.Tensor, channel: int) -> torch.Tensor:
    """One value of each channel; that all are alike is for the noise to show."""
    return values.movedim(channel, 0).reshape(values.shape[channel], -1)[:, 0].clone()


def _noise(shape: tuple[int, ...], like: torch.Tensor, size: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * size).to(like)


def _is_matrix(value: torch.Tensor) -> bool:
    return sum(size > 1 for size in value.shape) > 1
