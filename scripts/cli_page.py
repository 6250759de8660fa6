"""Writes docs/cli.md: every verb with its help, its example and its options, as `identikit VERB --help` has them.

    python scripts/cli_page.py

tests/docs/test_generated.py compares the page with what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from identikit.cli import app

ROOT = Path(__file__).parents[1]
PAGE = Path("docs") / "cli.md"
OPENING = """# The command line

<!-- Written by scripts/cli_page.py from the help of the verbs. Do not edit. -->

Every verb but `demo` is a function in Python too. `identikit VERB --help` says what stands here.

| verb | does |
|---|---|
{verbs}

MODEL is a local folder of transformers, sentence-transformers or timm, a hub id, `timm:NAME`, `torchvision:NAME`, or
`file.py:function`, a function that returns the model. Data is a CSV, JSON lines, Parquet or text file, an `.npz`, or
`file.py:function`. What of these is trusted and what is not: [security](security.md).

| exit code | |
|---|---|
| 0 | done |
| 1 | `audit` found a mistake |
| 2 | bad input, or a target that cannot be reached; one line says what to do ([errors](errors/README.md)) |
| 70 | an error that nobody expected |
| 130 | stopped by Ctrl-C; what was measured is kept |

Before a verb: {everywhere}; `--debug` and `-h` stand behind one too.
"""


def page() -> str:
    group: Any = typer.main.get_command(app)
    verbs = [f"| [`{name}`](#{name}) | {told(verb)} |" for name, verb in group.commands.items()]
    shared = [f"`{' '.join(option.opts)}` ({option.help.rstrip('.')})" for option in group.params]
    head = OPENING.format(verbs="\n".join(verbs), everywhere=", ".join(shared))
    return "\n".join([head, *(line for name, verb in group.commands.items() for line in section(name, verb))])


def section(name: str, verb: Any) -> Iterator[str]:
    """A verb: what it does, its example, a table of options for each panel of its help."""
    yield f"## {name}\n\n{told(verb)}\n"
    if verb.epilog:
        yield f"```console\n$ {verb.epilog.removeprefix('Example:').strip()}\n```\n"
    shown = [each for each in verb.params if not getattr(each, "hidden", False)]
    order = [None, *dict.fromkeys(each.rich_help_panel for each in shown if each.rich_help_panel)]
    shown.sort(key=lambda each: order.index(each.rich_help_panel))
    for panel, options in groupby(shown, key=lambda each: each.rich_help_panel):
        yield f"| {panel or 'what'} | | default |\n|---|---|---|"
        yield from (row(option) for option in options)
        yield ""


def row(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    argument = type(option).__name__ == "TyperArgument"
    takes = "" if getattr(option, "is_flag", False) or argument else f" {option.metavar or ''}"
    name = f"`{option.metavar or option.name.upper() if argument else names[0] + takes.rstrip()}`"
    if option.secondary_opts:
        name += f", `{option.secondary_opts[0]}`"
    default = "required" if option.required else ""
    if not default and option.default not in (None, False, ()):
        default = "on" if option.default is True else f"`{option.default}`"
    return f"| {name} | {cell(option.help)}{choices(option)} | {default} |"


def choices(option: Any) -> str:
    """What may be said, where the help does not name all of it."""
    annotation = option.type_descriptor.annotation
    known = [str(each) for each in get_args(annotation)] if get_origin(annotation) is Literal else []
    return f" One of {', '.join(known)}." if any(each not in (option.help or "") for each in known) else ""


def told(verb: Any) -> str:
    return cell(verb.help)


def cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write() -> None:
    (ROOT / PAGE).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
