"""Three ways to keep values between two bounds: hard, straight-through and smooth."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from identikit.errors import BlockError
from identikit.nn.one_of import one_of

Bound = float | None
Clamp = tuple[Bound, Bound]


def hard(x: torch.Tensor, low: Bound, high: Bound) -> torch.Tensor:
    """Cut off at the bounds; no gradient comes from what was cut."""
    return x.clamp(low, high)


def straight_through(x: torch.Tensor, low: Bound, high: Bound) -> torch.Tensor:
    """Cut off at the bounds; the gradient passes as if nothing was cut (Bengio 2013, arXiv 1308.3432)."""
    carrier = x.nan_to_num(0.0, 0.0, 0.0)  # so that carrier - carrier is 0 for an infinite value too
    return x.clamp(low, high).detach() + (carrier - carrier.detach())


def smooth(x: torch.Tensor, low: Bound, high: Bound) -> torch.Tensor:
    """Bend towards the bounds: with bounds ±c this is x / sqrt(1 + (x/c)²) of RealMLP (arXiv 2407.04491)."""
    assert low is not None  # check_clamp saw to it
    assert high is not None
    centre, half = (low + high) / 2, (high - low) / 2
    # sin(atan(t)) is t / sqrt(1 + t²), and does not overflow where t² does
    bent = centre + half * torch.sin(torch.atan((x - centre) / half))
    return bent.clamp(low, high)  # rounding may step over a bound


CLIPS: dict[str, Callable[[torch.Tensor, Bound, Bound], torch.Tensor]] = {
    "hard": hard,
    "straight_through": straight_through,
    "smooth": smooth,
}


def check_clamp(clamp: Clamp | None, clip: str) -> None:
    """Raise BlockError unless `clip` is known and `clamp` is an interval that it can keep, or None."""
    one_of("Pass", "clip", clip, CLIPS)
    if clamp is None:
        return
    if not isinstance(clamp, tuple | list) or len(clamp) != 2 or clamp == (None, None):
        raise BlockError(
            f"Pass: clamp={clamp!r} is not a pair. Use clamp=(low, high), with None on a side that is open."
        )
    low, high = clamp
    numbers = [bound for bound in (low, high) if bound is not None]
    if not all(isinstance(bound, int | float) and bound == bound for bound in numbers):
        raise BlockError(f"Pass: clamp={clamp!r} has a bound that is no number. Use clamp=(-1, 1).")
    if low is not None and high is not None and not low < high:
        raise BlockError(f"Pass: clamp=({low:g}, {high:g}) leaves nothing between its bounds. Put the lower one first.")
    if clip == "smooth" and (low is None or high is None or not math.isfinite(high - low)):
        raise BlockError('Pass: clip="smooth" bends towards two finite bounds. Give both: clamp=(-3, 3).')
