"""The command line: one thin file per verb, and the only place that prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from identikit.cli import apply, audit, demo, export, heal, prune, report, scan, simplify, sites, usage
from identikit.cli.console import complain, warnings_as_notes
from identikit.cli.flags import Group, Verb
from identikit.errors import InputsError, RoleError

_VERBS = {
    "Look": (sites, audit),
    "Measure": (scan, report),
    "Make smaller": (prune, apply, heal, simplify, export),
    "Try": (demo,),
}
_STOPPED = 130

app = typer.Typer(
    name="identikit",
    help="Turn any layer of a PyTorch model into the identity: safely, measurably, for good.",
    cls=Group,
    epilog=prune.EXAMPLE,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, verbs in _VERBS.items():
    for verb in verbs:
        name = verb.__name__.rpartition(".")[2]
        app.command(name, cls=Verb, epilog=verb.EXAMPLE, rich_help_panel=panel)(verb.command)


def _version(asked: bool) -> None:
    if asked:
        from identikit import __version__

        typer.echo(f"identikit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the whole traceback of an error."),
) -> None:
    """Every verb takes --debug too."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0; 1 where `audit` found a mistake; 2 for bad input; 70 for an error that nobody expected; 130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in given
    try:
        arguments = [each for each in given if each != "--debug"]
        with warnings_as_notes():
            code = app(arguments, prog_name="identikit", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except usage.UsageError as error:
        complain(usage.said(error))
        sys.exit(2)
    except InputsError as error:
        if debug:
            raise
        known = "--data" in str(error) or any(each.startswith("--data") for each in given)
        hint = "" if known else " On the command line: --data FILE."
        sys.exit(complain(InputsError(f"{error}{hint}")))
    except RoleError as error:
        if debug:
            raise
        hint = " On the command line: --as identity or --as zero." if 'as_="identity"' in str(error) else ""
        sys.exit(complain(RoleError(f"{error}{hint}")))
    except Exception as error:  # the outermost frame: everything becomes one line, or a traceback with --debug
        if debug:
            raise
        sys.exit(complain(error))
    if code == _STOPPED:  # typer makes this of Ctrl-C
        verb = next((each for each in given if not each.startswith("-")), "")
        keeps = verb in ("prune", "heal") or (verb == "scan" and any(each.startswith("--to") for each in given))
        complain("stopped. What was measured is kept; go on with --resume." if keeps else "stopped.")
    sys.exit(code)
