"""Weights under which a block hands its stream on: as few as possible at zero, found by trying, then proved.

LLaMA-Pro (Wu et al., 2024) zeroes the last projection of each branch; Goyal et al. (2017) the scale of the norm that
closes a residual branch; a convolution without a shortcut becomes a Dirac kernel (Zagoruyko and Komodakis, 2017). None
of them is looked up by name: of all weights, those that the forward pass uses first get their values back, as long as
the block stays the identity. What is left at zero is what closes each branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from identikit.errors import RoleError
from identikit.growing.attempt import CLOSE, NOT_RUN, Trial
from identikit.growing.neutral import Values, closing_values, fill_dirac, norms_on_the_stream
from identikit.structure.watch import Watched

T = TypeVar("T")


def make_identity(trial: Trial, watched: Watched) -> list[str]:
    """Give the trial's block weights that make it the identity; returns the names of those that changed.

    Raises RoleError where no such weights are found, or none through which it could learn: with two factors of one
    product at zero, neither gets a gradient.
    """
    block = trial.block
    used = _with_gradients(trial, trial.order_of_use)
    unused = [name for name, _ in block.named_parameters() if name not in used]
    if not used:
        raise RoleError(f'"{trial.path}" has no weights, so a copy of it could learn nothing. Copy another layer.')
    values = Values(block, closing_values(block, watched, trial.path))
    numb: list[str] = []
    for order in (used, used[::-1]):
        closed = _closed(trial, values, order)
        if closed is None:
            break
        closed = [name for name in closed if name in used]
        closed += _unreached_alike(values, closed, unused)
        reached = _with_gradients(trial, trial.gradients)
        if all(name in reached for name in closed if name in used) and reached:
            return closed
        numb = closed
        values.put_back(values.names)
    if numb:
        raise RoleError(
            f'"{trial.path}" is the identity with {numb[-1]} at zero, but then no gradient reaches it: it would never '
            f"learn. {_instead(trial.path)}"
        )
    if fill_dirac(block) and trial.off() <= CLOSE and trial.gradients():
        return values.changed()
    values.put_back(values.names)
    raise RoleError(_refusal(trial, values))


def _with_gradients(trial: Trial, found: Callable[[], T]) -> T:
    """What `found` finds in a pass with gradients. Raises RoleError where the block has none."""
    try:
        return found()
    except NOT_RUN as cause:
        said = " ".join(str(cause).split()).rstrip(".")
        raise RoleError(f'"{trial.path}" does not run with gradients, so a copy could not learn: {said}.') from cause


def _closed(trial: Trial, values: Values, order: Sequence[str]) -> list[str] | None:
    """The weights at zero once those used first have their values back; None where the identity cannot be made."""
    values.close(values.names)
    if trial.off() > CLOSE and not _with_the_stream_open(trial, values):
        values.put_back(values.names)
        return None
    _give_back(trial, values, order, trial.off())
    return values.changed()


def _with_the_stream_open(trial: Trial, values: Values) -> bool:
    """Whether it is the identity with vectors at one (biases at zero): a scale on the stream itself must let it pass.

    Weights that a block divides by, and cannot run without, are left out.
    """
    for exclude in (False, True):
        if exclude:
            values.put_back(values.names)
            for name in [name for name in values.names if _breaks(trial, values, name)]:
                values.exclude(name)
            values.close(values.names)
            if trial.off() <= CLOSE:
                return True
        values.open(values.vectors)
        if trial.off() <= CLOSE:
            return True
    return False


def _breaks(trial: Trial, values: Values, name: str) -> bool:
    """Whether the block cannot run with this one weight at zero (a direction that is divided by its length)."""
    values.close([name])
    broken = math.isinf(trial.off())
    values.put_back([name])
    return broken


def _give_back(trial: Trial, values: Values, names: Sequence[str], limit: float) -> None:
    """Give these weights their values back, or as many of them as the identity allows, the first ones first.

    `limit`: how far the block may then be from the identity, which is as far as it was (mostly 0). Not `CLOSE`: a
    branch that is scaled by 1e-6 would pass for closed.
    """
    held = values.now(names)
    values.put_back(names)
    if trial.off() <= limit:
        return
    values.set(held)
    if len(names) > 1:
        half = len(names) // 2
        _give_back(trial, values, names[:half], limit)
        _give_back(trial, values, names[half:], limit)


def _unreached_alike(values: Values, closed: Sequence[str], unused: Iterable[str]) -> list[str]:
    """Close the weights that the example did not reach, where the same weight of a sibling (an expert) is closed."""
    unread = [name for name in unused if name in values.names]
    alike = [name for name in unread if any(_siblings(name, other) for other in closed)]
    values.put_back(unread)
    values.close(alike)
    return alike


def _siblings(one: str, other: str) -> bool:
    """Whether two names differ in one number alone: experts.0.down.weight and experts.3.down.weight."""
    parts = list(zip(one.split("."), other.split("."), strict=False))
    differing = [pair for pair in parts if pair[0] != pair[1]]
    same_length = one.count(".") == other.count(".")
    return same_length and len(differing) == 1 and all(part.isdecimal() for part in differing[0])


def _refusal(trial: Trial, values: Values) -> str:
    norms = norms_on_the_stream(trial, values)
    values.close(values.names)
    far = trial.off()
    values.put_back(values.names)
    if norms:
        why = f'"{trial.path}.{norms[-1]}" normalises the stream itself (post-norm), and no weights undo that'
    elif math.isfinite(far):
        why = f"with all its weights at zero it still changes its input by {far:.2g} of its size"
    else:
        why = "with its weights at zero it does not run"
    return f'"{trial.path}" cannot be made the identity: {why}. {_instead(trial.path)}'


def _instead(path: str) -> str:
    stack, _, number = path.rpartition(".")
    return f'To repeat the layer as it is: ik.duplicate(model, "{stack}", [{number}]).'
