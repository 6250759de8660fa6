"""`as_="shortcut"`: the layer's input, thinned out, with zeros for new features. Nothing is learned."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from identikit.nn.shortcuts import DOWNS, SIDES
from identikit.plan import Option
from identikit.replacing.layout import FIRST, LAST, Layout
from identikit.replacing.maps import Replacement, Shortcut
from identikit.replacing.options import Options
from identikit.surgery.substitute import Mapped


class AsShortcut(Mapped):
    """Option A of the ResNet paper (He et al. 2015, arXiv 1512.03385)."""

    name = "shortcut"
    options = Options({"axis": (FIRST, LAST), "side": SIDES, "down": DOWNS})

    def made(self, layout: Layout, held: Mapping[str, torch.Tensor], options: Mapping[str, Option]) -> Replacement:
        """The shortcut that `side` and `down` ask for."""
        return Shortcut(layout, side=str(options.get("side", SIDES[0])), down=str(options.get("down", DOWNS[0])))
