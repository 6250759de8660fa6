"""`as_="adapter"`: a linear map of the layer's input, fitted to data by least squares, stands for it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch

from identikit.errors import DataError, IdentikitWarning
from identikit.families.anatomy import Anatomy
from identikit.nn.shortcuts import DOWNS
from identikit.plan import Option
from identikit.replacing.fit import LeastSquares
from identikit.replacing.layout import FIRST, LAST, Layout
from identikit.replacing.maps import Adapter, Replacement, rows, thinned, thinning
from identikit.replacing.options import Options
from identikit.sources.readings import Data
from identikit.surgery.reader import Reader, Tensors, require_read
from identikit.surgery.slot import Slot
from identikit.surgery.substitute import Mapped, require_map

#: Shares of the inputs' own size. The first is hardly any, the last leaves nothing but the prior.
RIDGES = (1e-9, 1e-6, 1e-3, 1.0, 1e6)


class AsAdapter(Mapped):
    """A 1x1 convolution where features come first, else a linear layer; thinned out before it where sizes change."""

    name = "adapter"
    options = Options({"axis": (FIRST, LAST), "down": DOWNS}, ("ridge", "residual"), ("weight", "bias"))

    def made(self, layout: Layout, held: Mapping[str, torch.Tensor], options: Mapping[str, Option]) -> Replacement:
        """The fitted map."""
        return Adapter(layout, held, down=str(options.get("down", DOWNS[0])))

    def reader(self, anatomy: Anatomy, slot: Slot, options: Mapping[str, Option]) -> Reader:
        """What adds up inputs and outputs."""
        require_map(slot.call.path, self.name, slot)
        return AdapterReader(anatomy, slot, options)


class AdapterReader(Reader):
    """Two sums, of every other example each: a map fitted to one is judged on the other.

    So the ridge is chosen, and what the map is drawn to: the shortcut (right for a block) or zero (for a branch). As
    the strongest ridge is the shortcut itself, or the mean, the map is never worse than these on held-out examples.
    """

    def __init__(self, anatomy: Anatomy, slot: Slot, options: Mapping[str, Option]) -> None:
        assert slot.layout is not None
        super().__init__(anatomy, slot, slot.layout.axis)
        self._layout = slot.layout
        self._thin = thinning(self._layout, str(options.get("down", DOWNS[0])))
        self._ridge = options.get("ridge")
        sizes = (self._layout.in_features, self._layout.out_features)
        self._halves = (LeastSquares(*sizes, self._device), LeastSquares(*sizes, self._device))
        self._examples = 0

    def _take(self, entered: torch.Tensor | None, output: torch.Tensor) -> None:
        assert entered is not None
        x, y = rows(thinned(self._thin, entered, self._layout), self._axis), rows(output, self._axis)
        if len(x) != len(y):
            shapes_ = " and ".join("x".join(map(str, value.shape)) for value in (entered, output))
            raise DataError(
                f'"{self._slot.call.path}" takes and returns {shapes_} on the data, not as in the example: no map of '
                "one position to one leads between them. Pass an example of the data's size: inputs=batch."
            )
        example = torch.arange(len(y), device=y.device) // max(1, len(y) // len(output)) + self._examples
        self._examples += len(output)
        keep = self._counted(output)
        for half, sums in enumerate(self._halves):
            chosen = keep & (example % 2 == half)
            sums.add(x[chosen].to(self._device), y[chosen].to(self._device))

    def learned(self, path: str, data: Data) -> tuple[Tensors, dict[str, Option]]:
        whole = self._halves[0] + self._halves[1]
        require_read(path, whole.count, whole.xy, data)
        priors = _priors(self._layout.in_features, self._layout.out_features)
        ridges = RIDGES if self._ridge is None else (float(self._ridge),)
        tried = [(ridge, prior) for ridge in ridges for prior in priors]
        found = [_held_out(self._halves, ridge, prior) for ridge, prior in tried]
        left = min(found)
        ridge, prior = tried[found.index(left)]
        if left >= 1:
            warnings.warn(
                f'the adapter for "{path}" predicts held-out examples no better than their mean does '
                f'(it leaves {left:.3g} of the spread). Give more data, or use as_="mean".',
                IdentikitWarning,
                stacklevel=7,
            )
        best = whole.solve(ridge, prior)
        more: dict[str, Option] = {"ridge": ridge, "residual": float(f"{left:.4g}")}
        return {"weight": self._cast(best.weight), "bias": self._cast(best.bias)}, more


def _held_out(halves: tuple[LeastSquares, LeastSquares], ridge: float, prior: torch.Tensor | None) -> float:
    """The share of the spread that maps fitted to one half leave in the other; of a single example, in itself."""
    if not all(half.count for half in halves):
        whole = halves[0] + halves[1]
        return whole.residual(whole.solve(ridge, prior))
    one, other = halves
    left = [judged.residual(learnt.solve(ridge, prior)) for learnt, judged in ((one, other), (other, one))]
    spreads = [float(judged.yy.sum()) for judged in (other, one)]
    both = sum(spreads)
    return (left[0] * spreads[0] + left[1] * spreads[1]) / both if both > 0 else 0.0


def _priors(in_features: int, out_features: int) -> list[torch.Tensor | None]:
    """What a map may be drawn to: the shortcut, where there is one without losing features, and zero."""
    if out_features < in_features:
        return [None]
    shortcut = torch.zeros(out_features, in_features, dtype=torch.float64)
    front = (out_features - in_features) // 2
    shortcut[front : front + in_features] = torch.eye(in_features, dtype=torch.float64)
    return [shortcut, None]
