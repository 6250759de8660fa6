"""What `--help` says: to each verb an example, to each choice its word, no line too long; nothing heavy is loaded."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer

from cli.conftest import Run
from identikit.cli import app, prune

_HEAVY = ("torch", "numpy", "transformers", "matplotlib", "sklearn", "datasets")


def _verbs() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


VERBS = sorted(_verbs())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_shows_an_example_that_it_would_take(run: Run, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = run(verb, "--help")
    found = re.search(rf"Example:  identikit {verb} (.*)", said.out)
    assert said.code == 0
    assert found, said.out
    options = re.findall(r"--[a-z-]+", found[1])
    known = {name for option in _verbs()[verb].params for name in option.opts}
    assert set(options) <= known


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("columns", [80, 160])
def test_help_fits_the_terminal_and_names_no_type_of_python(
    run: Run, verb: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = run(verb, "--help").out
    assert max(len(line) for line in said.splitlines()) <= columns
    panels = said.partition("─ Options ─")[2]
    for type_ in ("<bool>", "<int", "<float", "<path>", "list[", "{"):
        assert type_ not in panels


@pytest.mark.parametrize("verb", VERBS)
def test_every_choice_stands_in_the_help_of_its_option(verb: str) -> None:
    """The column of values is one word wide, so the help is where the choices are said."""
    for option, choices, said in _choices(verb):
        for choice in choices:
            assert re.search(rf"\b{choice}\b", said), (option, choice)


def test_the_choices_are_found() -> None:
    """The law above looks at something."""
    assert ("method", ("greedy", "beam", "span", "mixed")) in [found[:2] for found in _choices("prune")]


def _choices(verb: str) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The options of a verb that take one of a few words: name, words, help. (`auto` explains itself.)"""
    command = importlib.import_module(f"identikit.cli.{verb}").command
    for name, hint in get_type_hints(command, include_extras=True).items():
        for kind in _literals(hint) if get_origin(hint) is Annotated else ():
            words = tuple(word for word in get_args(kind) if word != "auto" or name == "method")
            yield name, words, next(each.help for each in hint.__metadata__)


def _literals(hint: Any) -> list[Any]:
    return [hint] if get_origin(hint) is Literal else [found for each in get_args(hint) for found in _literals(each)]


def test_the_verbs_stand_in_groups_and_the_main_job_is_the_example(run: Run) -> None:
    said = run("--help")
    assert said.code == 0
    where = [said.out.index(f"─ {group} ─") for group in ("Look", "Measure", "Make smaller", "Try")]
    assert where == sorted(where)
    assert prune.EXAMPLE in " ".join(said.out.split()).replace("Example: identikit", "Example:  identikit")
    assert run().out == said.out  # nothing typed: the same


def test_help_loads_nothing_heavy() -> None:
    """Time is measured elsewhere; what takes it is loading these."""
    code = (
        "import sys, identikit.cli as cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit: pass\n"
        f"sys.exit(','.join(name for name in {_HEAVY!r} if name in sys.modules) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("shell", "line", "offers"),
    [
        ("bash", "identikit pr", {"prune"}),
        ("bash", "identikit prune --method ", {"greedy", "beam", "span", "mixed"}),
        ("bash", "identikit scan x --res", {"--resume"}),
        ("zsh", "identikit scan x --engine su", {"suffix"}),
        ("fish", "identikit exp", {"export"}),
    ],
)
def test_the_shell_completes_verbs_options_and_choices(shell: str, line: str, offers: set[str]) -> None:
    asked = {
        "_IDENTIKIT_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args", "PATH": "", "HOME": "/nonexistent",
    }  # fmt: skip
    ended = subprocess.run([sys.executable, "-m", "identikit"], env=asked, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert offers <= set(re.findall(r"[\w-]+", ended.stdout)), ended.stdout
