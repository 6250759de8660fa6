"""The raw input joined to later features: added or concatenated in front of chosen layers of a chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.captured import is_captured
from identikit.nn.in_place import leading_in_place
from identikit.nn.merges import fits
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import dtype_text, kind_text, shape_text
from identikit.nn.shortcuts import projection
from identikit.nn.sizes import check_dims, sizes_of

JOINS = ("add", "concat")


class InputSkip(nn.Module):
    """Run layers one after the other, and give chosen ones the raw input too, joined to what they take.

    Args:
        layers: the chain, an `nn.Sequential` or a list. A Sequential is kept as it is, its keys below `layers.`.
        at: numbers of the layers that get the raw input. By default all that mix features (own a weight of two
            dimensions or more) but the first of them, which has it already.
        join: "add": to the features; where the raw input has another number of them, it is projected by a linear layer
            (a convolution of size 1 for dims > 0). "concat": behind the features, so the layer takes the sum of both
            numbers.
        project: your own projection of the raw input for a layer, by number: `{2: nn.Linear(4, 16)}`. Needed where a
            size cannot be read, or the chain changes spatial sizes.
        features: of the raw input; read from the first layer where it can be.
        dims: trailing spatial dimensions; read from convolutions, pools and norms: 0 (features last) where there are
            none.

    Shape:
        What the first layer takes, to what the last gives. Features are in dimension -1 - dims.

    Raises:
        BlockError: if `at` names no layer, sizes that can be read cannot fit, shapes or dtypes differ at a call
            (nothing is broadcast, and only autocast casts), or a layer edits the raw input in place before it is
            joined. A first layer that says so is refused when this is built; any other at a call, but not in inference
            mode nor under torch.compile, where no edits are counted.

    Source: the skip of the input to a middle layer is in DeepSDF (Park et al. 2019, arXiv 1901.05103) and NeRF
    (Mildenhall et al. 2020, arXiv 2003.08934), both with "concat".

    Example:
        >>> net = InputSkip([nn.Linear(4, 16), nn.ReLU(), nn.Linear(16 + 4, 2)], join="concat")
        >>> net(torch.ones(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        layers: Iterable[nn.Module],
        *,
        at: Iterable[int] | None = None,
        join: str = "add",
        project: Mapping[int, nn.Module] | None = None,
        features: int | None = None,
        dims: int | None = None,
    ) -> None:
        super().__init__()
        one_of("InputSkip", "join", join, JOINS)
        for option, given in (("layers", layers), ("at", at)):
            if given is not None and not isinstance(given, Iterable):
                raise BlockError(f"InputSkip: {option}= is {kind_text(given)}. Give a list: {option}=[...].")
        self.layers = layers if isinstance(layers, nn.Sequential) else nn.Sequential(*layers)
        read = sizes_of(self.layers)
        self.features = read.in_features if features is None else features
        dims = read.dims if dims is None else dims
        if dims is None:
            raise BlockError("InputSkip: the layers do not say how many spatial dimensions there are. Give dims=.")
        self.dims = dims
        check_dims("InputSkip", self.dims, 1)
        self.join = join
        self.at = tuple(sorted(set(self._mixing()[1:] if at is None else at)))
        self._check_numbers(list(project or {}))
        self.projections = nn.ModuleDict({str(number): module for number, module in (project or {}).items()})
        for number in self.at:
            self._fit(number)
        self._check_leading()

    def _mixing(self) -> list[int]:
        return [number for number, layer in enumerate(self.layers) if any(p.ndim > 1 for p in layer.parameters())]

    def _check_numbers(self, projected: list[int]) -> None:
        last = len(self.layers) - 1
        if not self.at:
            raise BlockError("InputSkip: no layer to join the raw input to. Say which: at=[...].")
        for number in self.at:
            if number not in range(last + 1):
                raise BlockError(f"InputSkip: at= names layer {number}, but the layers are 0 to {last}.")
        for number in projected:
            if number not in self.at:
                raise BlockError(f"InputSkip: project= is for layer {number}, which gets no raw input. Add it to at=.")

    def _check_leading(self) -> None:
        """Raise BlockError where the first layer says that it works in place, as no compiled graph would."""
        if kind := leading_in_place(self.layers[: self.at[0]]):
            raise BlockError(
                f"InputSkip: the first layer, {kind}(inplace=True), edits the raw input before it is joined. "
                f"Use {kind}(inplace=False)."
            )

    def _fit(self, number: int) -> None:
        """Check the sizes in front of a layer as far as they can be read, and project where "add" needs it."""
        takes = sizes_of(self.layers[number]).in_features
        comes = sizes_of(self.layers[:number]).out_features if number else self.features
        if str(number) in self.projections:
            raw = sizes_of(self.projections[str(number)]).out_features
        else:
            raw = self.features
            width = takes or comes
            if self.join == "add" and raw and width and raw != width:
                self.projections[str(number)] = projection(raw, width, dims=self.dims, norm=False)
        if self.join == "concat" and takes and comes and raw and takes != comes + raw:
            raise BlockError(
                f"InputSkip: layer {number} ({type(self.layers[number]).__name__}) takes {takes} features, but "
                f"{comes} come from before it and {raw} from the raw input. Make it take {comes + raw}, "
                'or use join="add".'
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` through the layers, with `x` itself joined where it was asked for."""
        if not isinstance(x, torch.Tensor | fx.Proxy):
            raise BlockError(f"InputSkip: called with {kind_text(x)}. Give one tensor.")
        raw = x
        # A tensor counts its edits; one made in inference mode does not, and a graph is written without the counting.
        counted = not is_captured(x) and not x.is_inference()
        edits = raw._version if counted else 0
        for number, layer in enumerate(self.layers):
            if number in self.at:
                if counted and raw._version != edits:
                    raise BlockError(
                        f"InputSkip: the raw input was edited in place before layer {number}. Use inplace=False in the "
                        "layers before it, or x = x + y in place of x += y."
                    )
                x = self._joined(number, x, raw)
            x = layer(x)
        return x

    def _joined(self, number: int, x: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        skip = self.projections[str(number)](raw) if str(number) in self.projections else raw
        if isinstance(x, torch.Tensor):
            self._check_fit(number, x, skip)
        return x + skip if self.join == "add" else torch.cat([x, skip], dim=-1 - self.dims)

    def _check_fit(self, number: int, x: torch.Tensor, skip: torch.Tensor) -> None:
        features = None if self.join == "add" else -1 - self.dims
        if not fits(x, skip, apart_from=features):
            text = shape_text if x.dtype == skip.dtype else dtype_text
            raise BlockError(
                f"InputSkip: in front of layer {number} the features are {text(x)} and the raw input {text(skip)}; "
                f'they cannot be joined by "{self.join}". Give a module that makes them fit: project={{{number}: ...}}.'
            )

    def extra_repr(self) -> str:
        """Where and how the input is joined."""
        return f'at={list(self.at)}, join="{self.join}"{f", dims={self.dims}" if self.dims else ""}'
