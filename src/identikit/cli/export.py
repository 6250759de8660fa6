"""`identikit export`: a model as one file that runs without its Python, proved before it appears."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show_json
from identikit.errors import IdentikitWarning

if TYPE_CHECKING:
    from identikit.sources.opened import Opened

EXAMPLE = "Example:  identikit export ./smaller --to model.onnx"
_FIXED = "Fix all sizes to the example's: no other batch, no other length."
_OPSET = "Of ONNX. Default: torch's own choice."
_TO = "The file to write: .onnx (ONNX) or .pt2 (torch.export)."


def command(
    model: o.Model,
    to: Annotated[Path, typer.Option("--to", help=_TO, metavar="FILE", show_default=False)],
    fixed: Annotated[bool, typer.Option("--fixed", help=_FIXED)] = False,
    opset: Annotated[int | None, typer.Option(min=1, help=_OPSET, metavar="N")] = None,
    overwrite: o.Overwrite = False,
    data: o.Example = None,
    task: o.Task = None, device: o.Device = "auto", dtype: o.Dtype = None, trust_remote_code: o.Trust = False,
    text: o.Text = None, text_pair: o.TextPair = None, target: o.Target = None, no_header: o.NoHeader = False,
    batch_size: o.BatchSize = 32, max_length: o.MaxLength = None, limit: o.Limit = None, seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Write a model as one graph, ONNX or torch.export, proved to compute the same in several sizes."""
    from identikit.cli.opening import example_inputs
    from identikit.exporting.export import check_target, export

    check_target(to, overwrite)
    opened = _opened(model, task, device, dtype, trust_remote_code, seed)
    columns = {"text": text, "text_pair": text_pair, "target": target, "no_header": no_header}
    reading = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
    inputs = example_inputs(data, opened, **columns, **reading)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", IdentikitWarning)
        exported = export(opened.model, to, inputs, dynamic=not fixed, opset=opset, overwrite=overwrite)
    for warning in warned:
        note(str(warning.message))
    if as_json:
        show_json(exported.to_json())
    else:
        note(f"written and proved: {exported.summary()}")


def _opened(name: str, task: str | None, device: str, dtype: str | None, trust_remote_code: bool, seed: int) -> Opened:
    """The model that MODEL names; a folder that holds a plan too (it has no text encoder: --data is then no text)."""
    from identikit.cli.opening import opened_model
    from identikit.saving.layout import PLAN_WEIGHTS
    from identikit.saving.load import load
    from identikit.sources.opened import Opened

    folder = Path(name).expanduser()
    if not (folder / PLAN_WEIGHTS).is_file():
        return opened_model(name, task, device, dtype, trust_remote_code, seed)
    model = load(folder, device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    return Opened(model=model, name=name, task=task, folder=folder)
