"""The options that most verbs share, each said once: the model, the data, what is written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

_model = partial(typer.Option, rich_help_panel="Model")
_data = partial(typer.Option, rich_help_panel="Data")

_MODEL = "A local folder, a hub id, timm:NAME, torchvision:NAME, or file.py:function."
DATA_HELP = "CSV, JSON lines, Parquet, text, .npz, or file.py:function."

# What the verb works on
Model = Annotated[str, typer.Argument(help=_MODEL, metavar="MODEL", show_default=False)]
DataFile = Annotated[str | None, typer.Option("--data", help=DATA_HELP, metavar="FILE", show_default=False)]
Example = Annotated[
    str | None, typer.Option("--data", help="Run on this data's first batch, not on a made-up example.", metavar="FILE")
]

# The model
Task = Annotated[str | None, _model(help="What the model is for, as in transformers.pipeline.", metavar="NAME")]
Device = Annotated[str, _model(help="auto, cpu, cuda, cuda:1...", metavar="NAME")]
DeviceMap = Annotated[
    str | None, _model(help="Spread over GPUs, memory and disk: auto, or a .json file.", metavar="MAP")
]
Dtype = Annotated[str | None, _model(help="float32, bfloat16... Default: the checkpoint's.", metavar="NAME")]
Trust = Annotated[bool, _model("--trust-remote-code", help="Run Python code that comes with a checkpoint.")]

# The data
Text = Annotated[str | None, _data(help="The column that holds the text.", metavar="COLUMN")]
TextPair = Annotated[str | None, _data(help="The column with the second text of a pair.", metavar="COLUMN")]
Target = Annotated[str | None, _data(help="The column with the label or score.", metavar="COLUMN")]
NoHeader = Annotated[bool, _data("--no-header", help="The CSV has no header; columns are 0, 1, 2.")]
BatchSize = Annotated[int, _data(min=1, help="Examples at once.", metavar="N")]
MaxLength = Annotated[int | None, _data(min=1, help="Tokens an example may have.", metavar="N")]
Limit = Annotated[int | None, _data(min=1, help="Use the first N examples only.", metavar="N")]
HoldOut = Annotated[
    float, _data("--holdout", help="Share that the search does not see; the scores are of it.", metavar="SHARE")
]
Seed = Annotated[int, _data(help="For everything random.", metavar="N")]

# What is written
Folder = Annotated[Path, typer.Option("--to", help="The folder to write.", metavar="FOLDER", show_default=False)]
Format = Annotated[
    Literal["checkpoint", "plan"],
    typer.Option("--format", help="checkpoint: a plain one; plan: full configuration and plan.", metavar="FORM"),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there; the old one stays until the new is proved.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut short.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
