"""Bad input: one line that names the fix, exit code 2, no traceback; nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run

Refused = Callable[..., str]
SCAN = ("--data", "{m}/labelled.csv")
OWN = ("scan", "{m}/mine.py:net", "--data", "{m}/mine.py:batches")

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "no such layer": (
        ("scan", "{m}/classifier", *SCAN, "--at", "bert.encoder.layers.3"),
        'no layer "bert.encoder.layers.3" in BertForSequenceClassification. Did you mean "bert.encoder.layer.3"?',
    ),
    "a layer beyond the last": (
        ("sites", "{m}/classifier", "--at", "bert.encoder.layer.9"),
        'no layer "bert.encoder.layer.9" in BertForSequenceClassification. "bert.encoder.layer" has the layers 0 to 3.',
    ),
    "a layer that never ran": ((*OWN, "--at", "unused.1"), '"unused.1" was edited but not called'),
    "an unprovable role": (
        ("scan", "{m}/classifier", *SCAN, "--at", "bert.encoder.layer.3.output"),
        'Say which you mean: as_="identity" or as_="zero".',
    ),
    "another output shape": ((*OWN, "--at", "narrow.0"), '"narrow.0"'),
    "no data": (
        ("scan", "{m}/classifier"),
        "nothing to measure on. Give data, or score=function that takes the whole model.",
    ),
    "no such file": (("scan", "{m}/classifier", "--data", "{m}/labeled.csv"), 'Did you mean "labelled.csv"?'),
    "no such column": (
        ("scan", "{m}/classifier", *SCAN, "--text", "sentences"),
        'no column "sentences" in "{m}/labelled.csv". Did you mean "sentence"?',
    ),
    "an empty file": (("scan", "{m}/classifier", "--data", "{m}/empty.csv"), "no rows"),
    "a generator": (
        ("scan", "{m}/mine.py:net", "--data", "{m}/mine.py:generator"),
        "data is a generator, which can be gone through only once; two readings are needed. Use list(...) to keep",
    ),
    "a loader that shuffles": (
        ("scan", "{m}/mine.py:net", "--data", "{m}/mine.py:shuffled"),
        "it shuffles or draws at random. Use DataLoader(..., shuffle=False), or list(loader) to keep one reading.",
    ),
    "empty data of a function": (("scan", "{m}/mine.py:net", "--data", "{m}/mine.py:nothing"), "data is empty"),
    "NaN scores": ((*OWN, "--metric", "{m}/mine.py:not_a_number"), 'metric "not_a_number" is NaN for example 0'),
    "another number of rows": (
        (*OWN, "--metric", "{m}/mine.py:too_few"),
        'metric "too_few" gave 3 rows for 4 examples; return one row per example.',
    ),
    "an unknown metric": ((*OWN, "--metric", "acuracy"), 'no metric "acuracy". Did you mean "accuracy"?'),
    "an unknown function": ((*OWN, "--metric", "{m}/mine.py:to_few"), 'Did you mean "too_few"?'),
    "no such folder": (("scan", "{m}/clasifier", *SCAN), 'Did you mean "classifier"?'),
    "an unknown option": (
        ("scan", "{m}/classifier", "--batchsize", "3"),
        "No such option: --batchsize. Did you mean --batch-size? See identikit scan --help.",
    ),
    "an option cut short": (
        ("prune", "{m}/classifier", "--over"),
        "No such option: --over. Did you mean --overwrite? See identikit prune --help.",
    ),
    "an option like no other": (
        ("sites", "{m}/classifier", "--zzz"),
        "No such option: --zzz. See identikit sites --help.",
    ),
    "a word that is no choice": (
        ("scan", "{m}/classifier", "--method", "exat"),
        "'exat' is not one of 'exact', 'influence', 'angular', 'taylor', 'auto'. Did you mean exact? See",
    ),
    "a word where a number was meant": (
        ("scan", "{m}/classifier", "--limit", "ten"),
        "Invalid value for '--limit': it is not a whole number. See identikit scan --help.",
    ),
    "a word where a share was meant": (
        ("prune", "{m}/classifier", "--keep", "most"),
        "Invalid value for '--keep': it is not a number. See identikit prune --help.",
    ),
    "a number below what may be": (
        ("scan", "{m}/classifier", "--limit", "0"),
        "Invalid value for '--limit': it should be greater than or equal to 1. See identikit scan --help.",
    ),
    "no model": (
        ("sites",),
        "Missing argument 'MODEL'. See identikit sites --help. Example: identikit sites ./my-bert",
    ),
    "an unknown verb": (("scna", "{m}/classifier"), "No such command 'scna'. Did you mean 'scan'? See identikit"),
    "a wrong number": (("scan", "{m}/classifier", *SCAN, "--limit", "few"), "Invalid value for '--limit'"),
    "a count of nothing": (("scan", "{m}/classifier", *SCAN, "--batch-size", "0"), "Invalid value for '--batch-size'"),
    "no folder to write": (("prune", "{m}/classifier", *SCAN), "Missing option '--to'. See identikit prune --help."),
    "an unknown device": (("scan", "{m}/classifier", *SCAN, "--device", "gpu"), 'unknown device "gpu"'),
    "an unknown dtype": (("scan", "{m}/classifier", *SCAN, "--dtype", "float31"), 'unknown dtype "float31"'),
    "an unknown task": (("scan", "{m}/classifier", *SCAN, "--task", "fill-masks"), 'Did you mean "fill-mask"?'),
    "no example of a plain module": (("sites", "{m}/mine.py:net"), "--data FILE"),
    "no result file": (("report", "{m}/nothing.jsonl"), "nothing.jsonl"),
    "a page of no result": (("report", "{m}/labelled.csv"), "labelled.csv"),
}


@pytest.mark.parametrize(("arguments", "says"), CASES.values(), ids=CASES)
def test_refused(arguments: tuple[str, ...], says: str, refused: Refused, models: Path) -> None:
    before = sorted(path.name for path in models.iterdir())
    assert says.format(m=models) in refused(*(each.format(m=models) for each in arguments))
    after = sorted(path.name for path in models.iterdir())
    assert [name for name in after if name != "__pycache__"] == [name for name in before if name != "__pycache__"]


def test_the_hint_names_what_the_command_line_has(refused: Refused, models: Path) -> None:
    """--as takes no adapter: where the message offers nothing else, it is no hint."""
    own = [each.format(m=models) for each in OWN]
    said = refused(*own, "--at", "narrow.0")
    assert 'as_="adapter"' in said
    assert "--as" not in said
    layer = ("--at", "bert.encoder.layer.3.output")
    said = refused("scan", f"{models}/classifier", "--data", f"{models}/labelled.csv", *layer)
    assert "On the command line: --as identity or --as zero." in said


BUDGETS: dict[str, tuple[tuple[str, ...], str]] = {
    "a share of a score below zero": (
        ("--metric", "{m}/mine.py:negative", "--keep", "0.98"),
        "--keep needs a full score above zero, and negative is -1 for the full model. Use --max-drop X instead",
    ),
    "too much to keep": (
        ("--keep", "1"),
        '--keep 1 cannot be reached by dropping any layer of "layers.*"; the best single drop (layer ',
    ),
    "more than there is": (("--drop", "4"), "--drop 4 cannot be reached: 3 layers can go. Try --drop 3."),
    "fewer parameters than can be": (("--params", "0.1"), "--params 0.1 cannot be reached: without all 3 layers"),
    "two budgets": (("--drop", "1", "--keep", "0.9"), "give one of --keep, --max-drop, --drop, --params"),
    "no size": (("--memory", "much"), "memory (--memory)='much' is no size in bytes. Write a number, or"),
    "less memory than can be": (("--memory", "200B"), "--memory 200B cannot be reached: without all 3 layers that can"),
    "adapters in a checkpoint": (("--drop", "1", "--compensate", "adapter"), "--compensate adapter needs --format"),
    "making up for a score": (("--drop", "1", "--compensate", "fold", "--score", "{m}/mine.py:good"), "Give --metric"),
    "all held out": (("--drop", "1", "--holdout", "1"), "--holdout 1 is no share from 0 to below 1: 0.25 holds out a"),
    "per cent": (("--keep", "98"), "--keep 98 is no share above 0 and up to 1"),
}


@pytest.mark.parametrize(("options", "says"), BUDGETS.values(), ids=BUDGETS)
def test_budgets(options: tuple[str, ...], says: str, refused: Refused, models: Path, tmp_path: Path) -> None:
    mine = f"{models}/mine.py"
    given = [each.format(m=models) for each in options]
    assert says in refused("prune", f"{mine}:net", "--data", f"{mine}:batches", "--to", tmp_path / "x", *given)
    assert not (tmp_path / "x").exists()


def plan(**changes: Any) -> str:
    edit = {"op": "identity", "at": "bert.encoder.layer.1", "options": {}}
    value = {"format": "identikit.plan", "version": 1, "model": "", "fingerprint": "", "weights": "", "edits": [edit]}
    return json.dumps({**value, **changes})


PLANS: dict[str, tuple[str, str]] = {
    "truncated": (plan()[:50], "is damaged"),
    "empty": ("", "is damaged"),
    "no plan": ('{"a": 1}', 'is no plan: it lacks "format": "identikit.plan".'),
    "wrong types": (plan(edits=[{"op": ["identity"], "at": 5}]), '"op" and "at" must be texts'),
    "a file path": (plan(edits=[{"op": "identity", "at": "../../../etc/passwd"}]), "a place is a dotted path"),
    "a path in an option": (
        plan(edits=[{"op": "zero", "at": "a", "options": {"file": "/etc/passwd"}}]),
        'the option "file" must be a short plain value, and no path.',
    ),
    "NaN": (plan().replace('"version": 1', '"version": NaN'), "holds NaN"),
    "an absurd number": (plan().replace('"version": 1', f'"version": {"9" * 5000}'), "number that is too large"),
    "too deep": ("[" * 100_000, "is nested too deeply"),
    "an absurd list": (plan(edits=[0] * 100_001), "at most 100,000 edits"),
    "for another model": (
        plan(fingerprint="0123456789abcdef", model="LlamaModel"),
        "this plan was made for a LlamaModel of another structure (0123456789abcdef)",
    ),
    "of another version": (plan(version=2), "has version 2; this identikit reads version 1."),
    "no such layer": (plan(edits=[{"op": "identity", "at": "bert.encoder.layer.7"}]), "has the layers 0 to 3."),
}


@pytest.mark.parametrize(("text", "says"), PLANS.values(), ids=PLANS)
def test_plan_files(text: str, says: str, refused: Refused, models: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert says in refused("apply", models / "classifier", tmp_path / "plan.json", "--to", tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json"]


def test_a_huge_plan_file(refused: Refused, models: Path, tmp_path: Path) -> None:
    with (tmp_path / "plan.json").open("wb") as file:
        file.truncate(2**40)
    says = refused("apply", models / "classifier", tmp_path / "plan.json", "--to", tmp_path / "x")
    assert "1,099,511,627,776 bytes, more than" in says


def test_a_folder_without_weights(refused: Refused, models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "classifier", tmp_path / "x")
    (tmp_path / "x" / "model.safetensors").unlink()
    assert 'no weights in "' in refused("scan", tmp_path / "x", "--data", models / "labelled.csv")


def test_places_to_write(refused: Refused, models: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    command = ("prune", models / "classifier", "--data", models / "labelled.csv", "--drop", "1")
    assert "exists already. Name another folder" in refused(*command, "--to", tmp_path / "mine")
    assert "holds no model, so it is not replaced" in refused(*command, "--to", tmp_path / "mine", "--overwrite")
    assert "is a file" in refused(*command, "--to", tmp_path / "file", "--overwrite")
    scan = ("scan", *command[1:4])
    assert "file exists. Go on with it by --resume" in refused(*scan, "--to", tmp_path / "file")
    assert "is no scan file" in refused(*scan, "--to", tmp_path / "file", "--resume")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_score_that_fails(refused: Refused, models: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(model):\n    return model.nothing\n")
    says = refused("scan", models / "classifier", "--score", f"{tmp_path}/mine.py:score")
    assert says.startswith('score "score" failed: AttributeError: ')


def test_debug_shows_where(models: Path) -> None:
    from identikit.cli import main
    from identikit.errors import InputsError, PlaceError

    command = ["scan", f"{models}/classifier", "--data", f"{models}/labelled.csv", "--at", "nowhere"]
    with pytest.raises(PlaceError):
        main([*command, "--debug"])
    with pytest.raises(InputsError):
        main(["--debug", "sites", f"{models}/mine.py:net"])


def test_a_defect_is_called_one(run: Run, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the user's mistake: exit code 70 (1 is a mistake that an audit found), one line, and how to see more."""
    from identikit.cli import opening

    def broken(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(opening, "opened_model", broken)
    said = run("sites", models / "classifier")
    assert said.code == 70
    assert said.err == "error: ZeroDivisionError: division by zero (this is not expected; --debug shows where)\n"


def test_interrupted(run: Run, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from identikit.cli import opening

    def stopped(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "opened_model", stopped)
    for given, told in (
        (("sites", models / "classifier"), "stopped."),
        (("scan", models / "classifier"), "stopped."),  # written nowhere, so there is nothing to go on with
        (
            ("scan", models / "classifier", "--to", "a.jsonl"),
            "stopped. What was measured is kept; go on with --resume.",
        ),
    ):
        said = run(*given)
        assert (said.code, said.err) == (130, f"error: {told}\n")
