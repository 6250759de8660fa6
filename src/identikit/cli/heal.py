"""`identikit heal`: a smaller model learns from the full one, and what came out is saved with proof."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show, show_json, speaks
from identikit.cli.opening import Asked, asking

EXAMPLE = "Example:  identikit heal smaller --teacher ./my-bert --data sentences.csv --to healed"
_goal = partial(typer.Option, rich_help_panel="Goal")
_way = partial(typer.Option, rich_help_panel="How")

Student = Annotated[
    str,
    typer.Argument(
        help="What prune or apply saved; or any smaller model, with --plan.", metavar="STUDENT", show_default=False
    ),
]
Teacher = Annotated[
    str, typer.Option("--teacher", help="The full model, named as MODEL is.", metavar="NAME", show_default=False)
]
Data = Annotated[
    str,
    typer.Option(
        "--data", help=f"{o.DATA_HELP} Or self: a language model writes its own.", metavar="FILE", show_default=False
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        help="What was taken out of STUDENT (plan.json, .front.json), where it does not say so.",
        metavar="FILE",
    ),
]
Minutes = Annotated[float | None, _goal(help="Wall time; 10 where neither steps nor epochs are given.", metavar="N")]
Steps = Annotated[int | None, _goal(min=1, help="Steps at most.", metavar="N")]
Epochs = Annotated[int | None, _goal(min=1, help="Times through the data at most.", metavar="N")]
Rate = Annotated[float | None, _way("--lr", help="The highest learning rate; by the layers' width.", metavar="NUMBER")]
Compare = Annotated[
    Literal["cosine", "logits", "sigmoid", "values"] | None,
    _way(
        help="How outputs are compared where that is not to be found out: cosine, logits, sigmoid or values.",
        metavar="WAY",
    ),
]
Hidden = Annotated[float, _way(help="Weight of the hidden states; 0: outputs alone.", metavar="NUMBER")]
Temperature = Annotated[float, _way(help="Of the logits.", metavar="NUMBER")]
Lora = Annotated[int | None, _way(min=1, help="Rank of adapters that learn instead of all weights.", metavar="N")]
Precision = Annotated[
    Literal["bf16", "float32"] | None, _way(help="bf16: mixed precision; or float32.", metavar="NAME")
]
Statistics = Annotated[bool, _way("--batch-statistics", help="Let batch norms follow the data.")]
Every = Annotated[float, _way(help="Seconds between two savings of TO.heal.", metavar="N")]
Form = Annotated[
    Literal["checkpoint", "plan"] | None,
    typer.Option(
        "--format",
        help="checkpoint: a plain one; plan: full configuration and plan; else as STUDENT is.",
        metavar="FORM",
    ),
]


@asking
def command(
    student: Student, teacher: Teacher, data: Data, to: o.Folder, asked: Asked,
    minutes: Minutes = None, steps: Steps = None, epochs: Epochs = None, plan: PlanFile = None,
    resume: o.Resume = False, overwrite: o.Overwrite = False, saved_as: Form = None,
    lr: Rate = None, compare: Compare = None, hidden: Hidden = 1.0, temperature: Temperature = 1.0,
    lora: Lora = None, precision: Precision = None, batch_statistics: Statistics = False, save_every: Every = 60.0,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Let a smaller model learn from the full one what it says and what goes on inside it; save it, proved."""
    from identikit.cli.healing import healed_and_saved, student_of
    from identikit.reporting.healed import healed_table
    from identikit.saving.folder import check_place

    check_place(to, overwrite)
    full = asked.model(teacher)
    smaller, form = student_of(student, teacher, plan, asked)
    own = data == "self"
    read = data if own else asked.data(data, full)
    more: dict[str, Any] = {"batch_size": asked.batch_size, "limit": asked.limit} if own else {}
    found = healed_and_saved(
        smaller, full, read, to, saved_as or form, resume=resume, overwrite=overwrite,
        minutes=minutes, steps=steps, epochs=epochs, lr=lr, compare=compare, hidden=hidden, temperature=temperature,
        lora=lora, precision=precision, batch_statistics=batch_statistics, save_every=save_every,
        seed=asked.seed, **more,
    )  # fmt: skip
    if not speaks():
        return
    if as_json:
        show_json(found.to_dict())
    else:
        show(healed_table(found), "")
    note(f"healed; saved and proved: {to}")
