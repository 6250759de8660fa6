"""`identikit simplify`: what changes nothing is stripped, what is affine folded together, and the rest is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show, show_json
from identikit.cli.opening import Asked, asking
from identikit.errors import SaveError

EXAMPLE = "Example:  identikit simplify timm:repvgg_a0 --to repvgg.pt2"
_FILES = (".pt2", ".onnx")
_TO = "A .pt2 or .onnx file; or a folder, where layers without weights went alone. Without: only say what would go."


@asking
def command(
    model: o.Model,
    asked: Asked,
    to: Annotated[Path | None, typer.Option("--to", help=_TO, metavar="PATH", show_default=False)] = None,
    overwrite: o.Overwrite = False,
    data: o.Example = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Strip what changes nothing, fold norms and linear layers together, proved equal; write what is left."""
    from identikit.reporting.simplified import simplified_table
    from identikit.simplifying.record import simplified
    from identikit.simplifying.simplify import simplify

    if to is not None:
        _check_place(to, overwrite)
    opened = asked.model(model)
    inputs = asked.example(data, opened)
    simpler = simplify(opened.model, inputs)
    found = simplified(simpler)
    if to is not None:
        _write(simpler, to, overwrite, inputs, opened.folder)
    if as_json:
        show_json(found.to_dict() if found is not None else None)
    elif found is not None:
        show(simplified_table(found))


def _check_place(to: Path, overwrite: bool) -> None:
    from identikit.exporting import place
    from identikit.saving import folder

    (place.check_place if to.suffix in _FILES else folder.check_place)(to, overwrite)


def _write(model: Any, to: Path, overwrite: bool, inputs: Any, like: Path | None) -> None:
    """One file by `export`, or a folder by `save`; the latter only where the library still loads what is left."""
    from identikit.simplifying.record import simplified

    found = simplified(model)
    if to.suffix in _FILES:
        from identikit.exporting.export import export

        export(model, to, inputs, overwrite=overwrite)
    elif found is not None and not found.same_state:
        raise SaveError(
            f"{to}: layers of this {found.model} were folded together, so the code it comes from cannot load its "
            f"weights from a folder. Write one file: --to {to}.pt2 or --to {to}.onnx."
        )
    else:
        from identikit.saving.save import save

        save(model, to, like=like, overwrite=overwrite, inputs=inputs)
    note(f"simplified; written and proved: {to}")
