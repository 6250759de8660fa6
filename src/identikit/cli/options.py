"""The options that several verbs share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_MODEL = "A local folder, a hub id, timm:NAME, torchvision:NAME, or file.py:function."
Model = Annotated[str, typer.Argument(help=_MODEL, show_default=False)]
DATA_HELP = "CSV, JSON lines, Parquet, text, .npz, or file.py:function."
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="fidelity (needs no labels), kl, loss, accuracy, perplexity, spearman, torchmetrics:NAME, file.py:name.",
    ),
]
Score = Annotated[
    str | None, typer.Option("--score", help="file.py:function from a model to a number; the goal is about it.")
]
At = Annotated[
    list[str] | None, typer.Option("--at", help='Which layers, e.g. "encoder.layer.[2:5]". Default: all blocks.')
]

Example = Annotated[
    str | None, typer.Option("--data", help="Run on this data's first batch, not on a made-up example.")
]
As = Annotated[
    Literal["identity", "zero", "one"] | None,
    typer.Option("--as", help="What the absence of these layers means, where it is not proved."),
]
Method = Annotated[
    Literal["exact", "influence", "angular", "taylor", "auto"],
    typer.Option(help="Leave each one out, or score all in one pass; auto: score all, leave the likely ones out."),
]
Sure = Annotated[
    float | None,
    typer.Option(
        "--confidence", help="Stop each layer once its rank is this sure. Without: error bars at 0.95, all examples."
    ),
]
Race = Annotated[bool | None, typer.Option("--race/--no-race", help="With --confidence: stop layers early, or not.")]
Least = Annotated[
    int | None, typer.Option(min=1, help="Only which N layers matter least is to be sure, not the whole ranking.")
]
Engine = Annotated[
    Literal["auto", "suffix", "chain", "loop"],
    typer.Option(help="How what an edit does not change is used again.", rich_help_panel="Work"),
]
BatchMemory = Annotated[str | None, typer.Option(help="What that may fill, such as 2GB.", rich_help_panel="Work")]
Costs = Annotated[
    bool,
    typer.Option("--costs/--no-costs", help="Measure each layer's time, FLOPs and memory.", rich_help_panel="Work"),
]
Replace = Annotated[
    Literal["identity", "zero", "one", "mean", "shortcut", "adapter", "resample"] | None,
    typer.Option("--as", help="What stands for a layer: its absence where that is not proved, its mean, a fitted map."),
]
Span = Annotated[int | None, typer.Option(min=1, help="Leave out every run of so many neighbours of a stack.")]
By = Annotated[
    Literal["stage", "type"] | None, typer.Option(help="Leave out all layers of a container, or of one type, at once.")
]

Task = Annotated[
    str | None, typer.Option(help="What the model is for, as in transformers.pipeline.", rich_help_panel="Model")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1...", rich_help_panel="Model")]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="Spread over GPUs, memory and disk: auto, or a .json file.", rich_help_panel="Model"),
]
Ray = Annotated[
    str | None,
    typer.Option(help="Measure by Ray's workers: auto, local or a cluster's address.", rich_help_panel="Work"),
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many workers of Ray's.", rich_help_panel="Work")]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16... Default: the checkpoint's.", rich_help_panel="Model")
]
Trust = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run Python code that comes with a checkpoint.", rich_help_panel="Model"),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples at once.", rich_help_panel="Data")]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Tokens an example may have.", rich_help_panel="Data")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first N examples only.", rich_help_panel="Data")]
HoldOut = Annotated[
    float,
    typer.Option("--holdout", help="Share that the search does not see; the scores are of it.", rich_help_panel="Data"),
]
Seed = Annotated[int, typer.Option(help="For everything random.", rich_help_panel="Data")]
Text = Annotated[str | None, typer.Option(help="The column that holds the text.", rich_help_panel="Data")]
TextPair = Annotated[
    str | None, typer.Option(help="The column with the second text of a pair.", rich_help_panel="Data")
]
Target = Annotated[str | None, typer.Option(help="The column with the label or score.", rich_help_panel="Data")]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The CSV has no header; columns are 0, 1, 2.", rich_help_panel="Data")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there; the old one stays until the new is proved.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut short.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Folder = Annotated[Path, typer.Option("--to", help="The folder to write.", show_default=False)]
Format = Annotated[
    Literal["checkpoint", "plan"], typer.Option("--format", help="A plain checkpoint, or full configuration and plan.")
]
Keep = Annotated[
    float | None,
    typer.Option(
        help="Share of the full score to keep; 0.98, the default: 98 %, or 2 % more loss.", rich_help_panel="Goal"
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(help="How much worse the metric may get, in its own units.", rich_help_panel="Goal"),
]
Way = Annotated[
    Literal["greedy", "beam", "span", "mixed"],
    typer.Option(
        "--method",
        help="One layer after the other, the best few sets of each size, neighbours only, or whole blocks and their "
        "parts (attention, MLP) by what they save.",
    ),
]
Compensate = Annotated[
    Literal["fold", "adapter"] | None,
    typer.Option(
        help="Make up for what went, by least squares on the data: fold it into the layer before each gap, or put a "
        "linear adapter there (needs --format plan). Kept where it helps on other examples.",
        show_default=False,
    ),
]
Beam = Annotated[int, typer.Option(help="How many sets of each size go on with --method beam.")]
Drop = Annotated[int | None, typer.Option(help="How many layers go.", rich_help_panel="Goal")]
Params = Annotated[
    float | None, typer.Option(help="Share of the parameters that may stay, such as 0.7.", rich_help_panel="Goal")
]
Flops = Annotated[
    float | None, typer.Option(help="Share of the FLOPs of a pass that may stay, such as 0.7.", rich_help_panel="Goal")
]
Speedup = Annotated[
    float | None, typer.Option(help="How many times as fast a pass is to be, measured here.", rich_help_panel="Goal")
]
Memory = Annotated[
    str | None,
    typer.Option(help="What a pass may need with the weights, such as 400MB.", rich_help_panel="Goal"),
]
