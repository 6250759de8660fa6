"""The options of `prune` alone: how far it goes, which sets it tries, and what makes up for what went."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

_goal = partial(typer.Option, rich_help_panel="Goal")

# How far
Keep = Annotated[
    float | None,
    _goal(help="Share of the full score to keep; 0.98, the default: 98 %, or 2 % more loss.", metavar="SHARE"),
]
MaxDrop = Annotated[float | None, _goal(help="How much worse the metric may get, in its own units.", metavar="NUMBER")]
Drop = Annotated[int | None, _goal(help="How many layers go.", metavar="N")]
Params = Annotated[float | None, _goal(help="Share of the parameters that may stay, such as 0.7.", metavar="SHARE")]
Flops = Annotated[float | None, _goal(help="Share of the FLOPs of a pass that may stay, such as 0.7.", metavar="SHARE")]
Speedup = Annotated[float | None, _goal(help="How many times as fast a pass is to be, measured here.", metavar="TIMES")]
Memory = Annotated[str | None, _goal(help="What a pass may need with the weights, such as 400MB.", metavar="SIZE")]

# Which sets
Way = Annotated[
    Literal["greedy", "beam", "span", "mixed"],
    typer.Option(
        "--method",
        help="greedy: one layer after the other. beam: the best few sets of each size. span: neighbours only. mixed: "
        "whole blocks and their parts (attention, MLP) by what they save.",
        metavar="WAY",
    ),
]
Beam = Annotated[int, typer.Option(help="How many sets of each size go on with --method beam.", metavar="N")]

# What makes up for them
Compensate = Annotated[
    Literal["fold", "adapter"] | None,
    typer.Option(
        help="Make up for what went, by least squares on the data. fold: into the layer before each gap. adapter: a "
        "linear one in the gap (needs --format plan). Kept where it helps on other examples.",
        metavar="WAY",
        show_default=False,
    ),
]
Bars = Annotated[float, typer.Option("--confidence", help="Of the error bars.", metavar="SHARE")]
