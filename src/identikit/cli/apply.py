"""`identikit apply`: take out of a model what a plan says, and save the rest."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show_json
from identikit.cli.opening import Asked, asking
from identikit.errors import IdentikitWarning

if TYPE_CHECKING:
    from identikit.plan import Plan
    from identikit.results import Front
    from identikit.results.provenance import Step
    from identikit.sources.opened import Opened

EXAMPLE = "Example:  identikit apply ./my-bert plan.json --to smaller"


@asking
def command(
    model: o.Model,
    asked: Asked,
    plan: Annotated[
        Path,
        typer.Argument(help="A plan file, or the curve of a prune (.front.json).", metavar="PLAN", show_default=False),
    ],
    to: o.Folder,
    point: Annotated[
        int | None,
        typer.Option(
            help="Of a curve: the point with so many layers dropped; else the chosen one. No data is read.", metavar="N"
        ),
    ] = None,
    saved_as: o.Format = "checkpoint",
    overwrite: o.Overwrite = False,
    data: o.Example = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Take out of a model what a plan says, and save the rest, proved."""
    from identikit.plan import Plan
    from identikit.results import Front
    from identikit.saving.folder import check_place
    from identikit.surgery.carried_provenance import note_step
    from identikit.surgery.remove import remove

    check_place(to, overwrite)
    front = Front.read(plan) if point is not None or plan.name.endswith(".front.json") else None
    wanted = front.plan(point) if front is not None else Plan.read(plan)
    opened = asked.model(model)
    inputs = asked.example(data, opened)
    step = _step(front, plan, wanted, opened)
    smaller = remove(opened.model, wanted, inputs=inputs)
    note_step(smaller, step)
    said = _saved(smaller, to, saved_as, like=opened.folder, overwrite=overwrite, inputs=inputs)
    said = [*said, *_beware(smaller)]
    if as_json:
        show_json({"removed": list(wanted.places), "to": str(to), "notes": said})
        return
    for line in [f"removed {', '.join(wanted.places)}; saved and proved: {to}", *said]:
        note(line)


def _saved(model: Any, to: Path, saved_as: Any, **how: Any) -> list[str]:
    """Save, and return what that warned of."""
    from identikit.saving.save import save

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", IdentikitWarning)
        save(model, to, saved_as, **how)
    return [str(warning.message) for warning in warned]


def _step(front: Front | None, plan: Path, wanted: Plan, opened: Opened) -> Step:
    """What is about to be done: by a plan, or the point of a curve, with its figures if that is of this very model."""
    from identikit.cli.scan import said
    from identikit.results.chosen import chosen_step
    from identikit.results.provenance import Step
    from identikit.structure.fingerprints import identity_of

    if front is None:
        return Step("apply", (f"By the plan {plan.name}.",), name=opened.name, command=said())
    step = chosen_step(front, verb="apply", at=next(each for each in front.points if each.places == wanted.places))
    made, mine = front.header, identity_of(opened.model)
    told = step.said + ((f"The curve was made by: {made.command}.",) if made.command else ())
    if (made.fingerprint, made.weights) == (mine.structure, mine.weights):
        return replace(step, said=told, name=opened.name, command=said())
    other = "It was measured on a model of other weights, so its figures are not repeated here."
    return replace(step, said=(*told, other), figures=(), name=opened.name, command=said())


def _beware(model: Any) -> list[str]:
    """What is known of such models without layers."""
    from identikit.families import family_of
    from identikit.reporting.card import GENERATION

    return [GENERATION] if family_of(model).generates(model) else []
