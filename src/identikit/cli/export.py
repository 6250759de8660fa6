"""`identikit export`: a model as one file that runs without its Python, proved before it appears."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show_json
from identikit.cli.opening import Asked, asking
from identikit.errors import IdentikitWarning

EXAMPLE = "Example:  identikit export ./smaller --to model.onnx"
_FIXED = "Fix all sizes to the example's: no other batch, no other length."
_OPSET = "Of ONNX. Default: torch's own choice."
_TO = "The file to write: .onnx (ONNX) or .pt2 (torch.export)."


@asking
def command(
    model: o.Model,
    asked: Asked,
    to: Annotated[Path, typer.Option("--to", help=_TO, metavar="FILE", show_default=False)],
    fixed: Annotated[bool, typer.Option("--fixed", help=_FIXED)] = False,
    opset: Annotated[int | None, typer.Option(min=1, help=_OPSET, metavar="N")] = None,
    overwrite: o.Overwrite = False,
    data: o.Example = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Write a model as one graph, ONNX or torch.export, proved to compute the same in several sizes."""
    from identikit.exporting.export import check_target, export

    check_target(to, overwrite)
    opened = asked.model(model)
    inputs = asked.example(data, opened)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", IdentikitWarning)
        exported = export(opened.model, to, inputs, dynamic=not fixed, opset=opset, overwrite=overwrite)
    for warning in warned:
        note(str(warning.message))
    if as_json:
        show_json(exported.to_json())
    else:
        note(f"written and proved: {exported.summary()}")
