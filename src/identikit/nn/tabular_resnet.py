"""A residual network for tables: numbers and categories in, one vector a row out."""

from __future__ import annotations

import functools
import operator
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.dtypes import lacking_dtype
from identikit.nn.residual_block import residual_block
from identikit.nn.shape_text import shape_text

# Dimensions in names: n rows, f columns of numbers, c columns of categories.


class TabularResNet(nn.Module):
    """The ResNet of Gorishniy et al. 2021: a linear map, blocks that each add to what they were given, a linear head.

    A block is `x + Dropout(Linear(Dropout(ReLU(Linear(BatchNorm(x))))))`, the head `Linear(ReLU(BatchNorm(x)))`.
    `.blocks` is a Sequential of whole blocks that keep their shape: `ik.scan` says what each is worth, `ik.prune`
    drops some.

    Args:
        in_features: how many columns of numbers there are.
        out_features: how many numbers come out for a row: the targets, or a score for each class.
        blocks: how many residual blocks.
        width: how many features run through all blocks.
        hidden: how many features a block computes inside; twice the width where None.
        dropout: the share of a block's hidden features that is zeroed while training.
        residual_dropout: the same for what a block adds.
        categories: for each column of categories, how many there are. A category is a row of a table as wide as the
            network, added to what the numbers give. That is what one-hot columns in the first linear map are, without
            the zeros: no size to choose, and no memory for columns that are nearly all zero.

    Shape:
        `x_nf`: `[rows, in_features]`; `codes_nc`: `[rows, len(categories)]`, whole numbers: 1 to the size of the
        column, and 0 for a value that is not known, which adds nothing. Gives `[rows, out_features]`.

    Raises:
        BlockError: for sizes below 1, a dropout outside 0 to 1, and inputs of other widths, kinds or numbers of rows.
            IndexError: for a code that is beyond the size of its column.

    Source: Gorishniy et al. 2021, arXiv 2106.11959.

    Example:
        >>> net = TabularResNet(3, 1, categories=(4,))
        >>> net(torch.zeros(2, 3), torch.tensor([[1], [4]])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        blocks: int = 3,
        width: int = 128,
        hidden: int | None = None,
        dropout: float = 0.15,
        residual_dropout: float = 0.0,
        categories: Sequence[int] = (),
    ) -> None:
        super().__init__()
        hidden = 2 * width if hidden is None else hidden
        _check_sizes(in_features, categories, out_features=out_features, blocks=blocks, width=width, hidden=hidden)
        for name, share in (("dropout", dropout), ("residual_dropout", residual_dropout)):
            if not 0 <= share < 1:
                raise BlockError(f"TabularResNet: {name}={share:g} is no share from 0 up to 1, such as 0.15.")
        self.stem = TableStem(in_features, width, categories)
        block = partial(
            residual_block, width, width, kind="mlp", hidden=hidden, norm=nn.BatchNorm1d,
            dropout=dropout, residual_dropout=residual_dropout,
        )  # fmt: skip
        self.blocks = nn.Sequential(*(block() for _ in range(blocks)))
        self.head = nn.Sequential(
            OrderedDict(norm=nn.BatchNorm1d(width), activation=nn.ReLU(), linear=nn.Linear(width, out_features))
        )

    def forward(self, x_nf: torch.Tensor, codes_nc: torch.Tensor | None = None) -> torch.Tensor:
        """`[rows, out_features]`; `codes_nc` is left out where no column holds categories."""
        out: torch.Tensor = self.head(self.blocks(self.stem(x_nf, codes_nc)))
        return out


class TableStem(nn.Module):
    """The columns of a table as one vector a row: numbers by a linear map, each category by its own, added up.

    Args:
        in_features: how many columns of numbers there are; 0 where all are categories.
        width: how many features come out.
        categories: for each column of categories, how many there are; the code 0 (not known) is not counted.

    Shape:
        `[rows, in_features]` and `[rows, len(categories)]` to `[rows, width]`.
    """

    def __init__(self, in_features: int, width: int, categories: Sequence[int] = ()) -> None:
        super().__init__()
        self.in_features, self.width, self.categories = in_features, width, tuple(categories)
        self.linear = nn.Linear(in_features, width) if in_features else None
        self.tables = nn.ModuleList(nn.Embedding(1 + size, width, padding_idx=0) for size in categories)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """What torch gives a linear layer over the numbers and the one-hot columns together."""
        bound = (self.in_features + len(self.categories)) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        for table in self.tables.parameters():
            nn.init.zeros_(table[0])  # not known: adds nothing, and as padding is never trained

    def forward(self, x_nf: torch.Tensor, codes_nc: torch.Tensor | None = None) -> torch.Tensor:
        """`[rows, width]`."""
        self._check(x_nf, codes_nc)
        parts: list[torch.Tensor] = [] if self.linear is None else [self.linear(x_nf)]
        if codes_nc is not None:
            parts += [table(codes_nc[..., column]) for column, table in enumerate(self.tables)]
        return functools.reduce(operator.add, parts)

    def _check(self, x_nf: Any, codes_nc: Any) -> None:
        if isinstance(x_nf, torch.fx.Proxy):
            return  # a graph being traced by fx has no shapes to compare
        tables = {"numbers": x_nf} if codes_nc is None else {"numbers": x_nf, "codes": codes_nc}
        for name, table in tables.items():
            if not isinstance(table, torch.Tensor) or table.ndim != 2:
                raise BlockError(f"TabularResNet: the {name} are {shape_text(table)}. Give a tensor [rows, columns].")
        given = 0 if codes_nc is None else codes_nc.shape[1]
        if x_nf.shape[1] != self.in_features or given != len(self.categories):
            raise BlockError(
                f"TabularResNet: made for {self.in_features} columns of numbers and {len(self.categories)} of "
                f"categories; the call has {x_nf.shape[1]} and {given}. Give both: net(numbers, codes)."
            )
        if codes_nc is not None:
            _check_codes(x_nf, codes_nc)
        if self.linear is not None and (dtype := lacking_dtype(self.linear, x_nf)):
            raise BlockError(
                f"TabularResNet: the numbers hold {x_nf.dtype}, the weights {dtype}. Use numbers.to({dtype})."
            )

    def extra_repr(self) -> str:
        """How many columns there are of each sort."""
        return f"numbers={self.in_features}, categories={len(self.categories)}"


def _check_codes(x_nf: torch.Tensor, codes_nc: torch.Tensor) -> None:
    """As many rows as the numbers have, since one row would be added to all, and whole numbers to look up."""
    if codes_nc.shape[0] != x_nf.shape[0]:
        raise BlockError(
            f"TabularResNet: {x_nf.shape[0]} rows of numbers and {codes_nc.shape[0]} of codes. Give both for each row."
        )
    if codes_nc.dtype not in (torch.int32, torch.int64):
        raise BlockError(f"TabularResNet: the codes hold {codes_nc.dtype}, not whole numbers. Use codes.long().")


def _check_sizes(in_features: int, categories: Sequence[int], **sizes: int) -> None:
    if in_features + len(categories) < 1 or in_features < 0:
        raise BlockError(
            f"TabularResNet: in_features={in_features} and no categories leave no column to learn from. "
            "Give the number of columns, or the sizes of the columns of categories."
        )
    for name, size in [*sizes.items(), *(("categories", size) for size in categories)]:
        if size < 1:
            raise BlockError(f"TabularResNet: {name}={size} is too few; the least is 1.")
