"""The options of the verbs that measure layers, `scan` and `prune`: of what, by what, how sure, by which engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from identikit.plan import GROWING, OPS

_STANDS_IN = tuple(op for op in OPS if op not in GROWING)
if TYPE_CHECKING:
    StandIn = str  # a checker reads literals alone
else:
    StandIn = Literal[_STANDS_IN]
_work = partial(typer.Option, rich_help_panel="Work")

# By what
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="fidelity (needs no labels), kl, loss, accuracy, perplexity, spearman, torchmetrics:NAME, file.py:name.",
        metavar="NAME",
    ),
]
Score = Annotated[
    str | None,
    typer.Option("--score", help="file.py:function from a model to a number; the goal is about it.", metavar="NAME"),
]

# Of which layers, and what stands for them
At = Annotated[
    list[str] | None,
    typer.Option("--at", help='Which layers, e.g. "encoder.layer.[2:5]". Default: all blocks.', metavar="PLACE"),
]
Span = Annotated[
    int | None, typer.Option(min=1, help="Leave out every run of so many neighbours of a stack.", metavar="N")
]
By = Annotated[
    Literal["stage", "type"] | None,
    typer.Option(help="Leave out at once all layers of a container (stage), or of one type (type).", metavar="KIND"),
]
As = Annotated[
    Literal["identity", "zero", "one"] | None,
    typer.Option(
        "--as", help="What absence means where it is not proved: identity (a block), zero (a branch), one (a gate).",
        metavar="WHAT",
    ),
]  # fmt: skip
Replace = Annotated[
    StandIn | None,
    typer.Option(
        "--as",
        help="What stands for a layer: its absence where that is not proved (identity, zero, one); its mean; a "
        "shortcut; an adapter (a fitted map); resample (another example's values).",
        metavar="WHAT",
    ),
]

# How, and how sure
Method = Annotated[
    Literal["exact", "influence", "angular", "taylor", "auto"],
    typer.Option(
        help="exact: leave each one out. influence, angular, taylor: score all in one pass. auto: score all, leave "
        "the likely ones out.",
        metavar="WAY",
    ),
]
Sure = Annotated[
    float | None,
    typer.Option(
        "--confidence", help="Stop each layer once its rank is this sure. Without: error bars at 0.95, all examples.",
        metavar="SHARE",
    ),
]  # fmt: skip
Race = Annotated[bool | None, typer.Option("--race/--no-race", help="With --confidence: stop layers early, or not.")]
Least = Annotated[
    int | None,
    typer.Option(min=1, help="Only which N layers matter least is to be sure, not the whole ranking.", metavar="N"),
]

# The work
Engine = Annotated[
    Literal["auto", "suffix", "chain", "loop"],
    _work(
        help="How what an edit does not change is used again: suffix (what ended before it), chain (layer by layer, "
        "all edits stacked), loop (not at all).",
        metavar="NAME",
    ),
]
BatchMemory = Annotated[str | None, _work(help="What that may fill, such as 2GB.", metavar="SIZE")]
Costs = Annotated[bool, _work("--costs/--no-costs", help="Measure each layer's time, FLOPs and memory.")]
Ray = Annotated[
    str | None, _work(help="Measure by Ray's workers: auto, local or a cluster's address.", metavar="WHERE")
]
Workers = Annotated[int | None, _work(min=1, help="How many workers of Ray's.", metavar="N")]
