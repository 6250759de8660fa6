"""Each verb on a tiny transformers folder and on a function in a user's file: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from cli.conftest import Run
from identikit.cli import app
from identikit.plan import Plan
from identikit.results import Front

VERBS = ["sites", "scan", "prune", "apply", "heal", "simplify", "export", "audit", "report", "demo"]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tiny.IDS)[0]


def test_sites(run: Run, models: Path) -> None:
    said = run("sites", models / "classifier")
    assert said.code == 0
    assert "bert.encoder.layer.3" in said.out
    found = json.loads(run("sites", models / "classifier", "--json", "--at", "bert.encoder.layer.0.*").out)
    assert {site["path"] for site in found} >= {"bert.encoder.layer.0.attention", "bert.encoder.layer.0.intermediate"}
    assert set(found[0]) == {"path", "kind", "role", "parameters", "verdict"}


def test_sites_of_a_function(run: Run, models: Path) -> None:
    said = run("sites", f"{models}/mine.py:net", "--data", f"{models}/mine.py:batches", "--json")
    ok = [site["path"] for site in json.loads(said.out) if site["verdict"] == "ok"]
    assert ok == [f"layers.{number}" for number in range(4)]


def test_scan(run: Run, models: Path, tmp_path: Path) -> None:
    file = tmp_path / "scan.jsonl"
    said = run("scan", models / "classifier", "--data", models / "labelled.csv", "--metric", "loss", "--to", file)
    assert said.code == 0, said
    assert "bert.encoder.layer.3" in said.out
    assert "identikit report" in said.err
    result = ik.ScanResult.read(file)
    assert len(result) == 4
    assert result.header.name == str(models / "classifier")
    data = [(dict(_encoded(["the cat sat", "a dog ran", "the bird sings", "the man sat", "a new song"])), _labels())]
    assert [row.edited for row in result] == pytest.approx(
        [row.edited for row in ik.scan(ik.load(models / "classifier"), data, metrics="loss")]
    )


def _encoded(texts: list[str]) -> Any:
    return tiny.tokenizer()(texts, padding=True, return_tensors="pt", return_token_type_ids=False)


def _labels() -> torch.Tensor:
    return torch.tensor([0, 1, 2, 1, 0])


def test_scan_as_json(run: Run, models: Path) -> None:
    data = ("--data", models / "labelled.csv", "--limit", 3, "--batch-size", 2, "--max-length", 8, "--seed", 5)
    at = ("--at", "bert.encoder.layer.[1,2]", "--dtype", "float64")
    said = run("scan", models / "classifier", *data, *at, "--json")
    value = json.loads(said.out)
    assert [row["places"] for row in value["rows"]] == [["bert.encoder.layer.1"], ["bert.encoder.layer.2"]]
    header = value["header"]
    assert (header["seed"], header["dtype"], header["data"]["examples"]) == (5, "float64", 3)
    assert list(header["metrics"]) == ["fidelity"]


def test_scan_of_a_causal_model(run: Run, models: Path) -> None:
    metrics = ("--metric", "perplexity", "--metric", "kl")
    said = run("scan", models / "causal", "--data", models / "text.txt", *metrics, "--json")
    rows = json.loads(said.out)["rows"]
    assert {row["metric"] for row in rows} == {"perplexity", "kl"}
    assert len(rows) == 8


def test_scan_of_a_function_with_functions(run: Run, models: Path) -> None:
    mine = f"{models}/mine.py"
    metrics = ("--metric", "accuracy", "--score", f"{mine}:total")
    said = run("scan", f"{mine}:net", "--data", f"{mine}:batches", *metrics, "--json")
    value = json.loads(said.out)
    assert list(value["header"]["metrics"]) == ["total", "accuracy"]
    assert len(value["rows"]) == 8


def test_a_resumed_scan(run: Run, models: Path, tmp_path: Path) -> None:
    file = tmp_path / "scan.jsonl"
    command = ("scan", models / "classifier", "--data", models / "labelled.csv", "--to", file)
    run(*command, "--at", "bert.encoder.layer.2")
    assert run(*command, "--resume").code == 0
    assert len(ik.ScanResult.read(file)) == 4
    assert run(*command, "--overwrite", "--at", "bert.encoder.layer.0").code == 0
    assert len(ik.ScanResult.read(file)) == 1


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_prune(form: str, run: Run, models: Path, tmp_path: Path) -> None:
    to = tmp_path / "smaller"
    data = ("--data", models / "labelled.csv")
    command = ("prune", models / "classifier", *data, "--drop", 2, "--to", to, "--format", form)
    said = run(*command, "--json")
    assert said.code == 0, said
    front = Front.from_json(json.loads(said.out))
    assert front.choice.dropped == 2
    assert Front.read(tmp_path / "smaller.front.json") == front
    assert len(ik.ScanResult.read(tmp_path / "smaller.scan.jsonl")) == 4 + 3
    assert (tmp_path / "smaller.report.html").is_file()
    assert (to / "tokenizer.json").is_file()
    model: Any = ik.load(to)
    assert model.config.num_hidden_layers == 2
    assert Plan.read(to / "plan.json").places == front.choice.places
    assert torch.equal(logits(model), logits(ik.remove(ik.load(models / "classifier"), front.choice.places)))

    assert "exists already" in run(*command).err
    shown = run(*command, "--overwrite")
    assert shown.code == 0, shown
    assert "layer." in shown.out


def test_prune_with_held_out_examples(run: Run, models: Path, tmp_path: Path) -> None:
    """The rows that the figures come from lie in a file of their own; without --holdout it is a quarter."""
    head, *rows = (models / "labelled.csv").read_text().splitlines()
    (tmp_path / "more.csv").write_text("\n".join([head, *rows * 8]) + "\n")  # 40 examples
    command = ("prune", models / "classifier", "--data", tmp_path / "more.csv", "--drop", 1, "--to", tmp_path / "x")
    said = run(*command)
    assert said.code == 0, said
    assert "on 10 held-out examples: the layers were chosen by 30 others" in said.out
    assert f"held out: {tmp_path / 'x.scan.held-out.jsonl'}" in said.err
    (row,) = ik.ScanResult.read(tmp_path / "x.scan.held-out.jsonl")
    front = Front.read(tmp_path / "x.front.json")
    assert (row.edited, row.examples) == (front.choice.scores["fidelity"].edited, 10)
    page = (tmp_path / "x.report.html").read_text()
    assert "on 10 held-out examples" in page
    said = run(*command, "--holdout", 0, "--overwrite")
    assert "held-out examples" not in said.out
    assert "Nothing was held out: the scores are those by which the layers were chosen." in said.out
    assert Front.read(tmp_path / "x.front.json").header.data.examples == 40


def test_prune_without_data_by_a_score(run: Run, models: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\ndef score(model):\n    with torch.no_grad():\n"
        "        return float(model(input_ids=torch.ones(1, 4).long()).logits.std())\n"
    )
    score = ("--score", f"{tmp_path}/mine.py:score")
    said = run("prune", models / "classifier", *score, "--drop", 1, "--to", tmp_path / "x")
    assert said.code == 0, said
    assert Front.read(tmp_path / "x.front.json").metric == "score"


def test_prune_of_a_function(run: Run, models: Path, tmp_path: Path) -> None:
    mine = f"{models}/mine.py"
    given = ("--data", f"{mine}:batches", "--max-drop", 0.9, "--seed", 3)
    said = run("prune", f"{mine}:net", *given, "--to", tmp_path / "x")
    assert said.code == 0, said
    from identikit.sources import open_model

    full = open_model(f"{mine}:net", seed=3).model
    smaller: Any = ik.load(tmp_path / "x", open_model(f"{mine}:net", seed=3).model)
    plan = Plan.read(tmp_path / "x" / "plan.json")
    assert len(smaller.layers) == 4 - len(plan) < 4
    x = torch.ones(2, 6)
    with ik.apply(full, plan, inputs=x):
        assert torch.equal(smaller(x), full(x))


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_apply(form: str, run: Run, models: Path, tmp_path: Path) -> None:
    Plan.of(["bert.encoder.layer.1", "bert.encoder.layer.3"]).write(tmp_path / "plan.json")
    to = tmp_path / "x"
    said = run("apply", models / "classifier", tmp_path / "plan.json", "--to", to, "--format", form)
    assert (said.code, said.out) == (0, "")
    assert "removed bert.encoder.layer.1, bert.encoder.layer.3; saved and proved" in said.err
    expected = logits(ik.remove(ik.load(models / "classifier"), "bert.encoder.layer.[1,3]"))
    assert torch.equal(logits(ik.load(to)), expected)
    assert (to / "tokenizer.json").is_file()


def test_apply_a_point_of_a_curve(run: Run, models: Path, tmp_path: Path) -> None:
    """Another point than the one that was chosen: from the file alone, without the data."""
    data = ("--data", models / "labelled.csv", "--limit", 3)
    assert run("prune", models / "classifier", *data, "--drop", 2, "--to", tmp_path / "two").code == 0
    curve = tmp_path / "two.front.json"
    said = run("apply", models / "classifier", curve, "--point", 1, "--to", tmp_path / "one")
    assert said.code == 0, said
    (place,) = Front.read(curve).points[1].places
    assert f"removed {place}; saved and proved" in said.err
    assert torch.equal(logits(ik.load(tmp_path / "one")), logits(ik.remove(ik.load(models / "classifier"), place)))
    said = run("apply", models / "classifier", curve, "--point", 3, "--to", tmp_path / "three")
    assert (said.code, said.out) == (2, "")
    assert "no point of this front has 3 layers dropped; there are 0, 1, 2." in said.err
    assert run("apply", models / "classifier", curve, "--to", tmp_path / "chosen").code == 0
    assert torch.equal(logits(ik.load(tmp_path / "chosen")), logits(ik.load(tmp_path / "two")))


def test_blocks_and_their_parts(run: Run, models: Path, tmp_path: Path) -> None:
    """What no configuration can say is refused as a checkpoint, and nothing that was measured is lost."""
    asked = ("prune", models / "classifier", "--data", models / "labelled.csv", "--params", 0.97, "--method", "mixed")
    said = run(*asked, "--at", "bert.encoder.layer.1", "--to", tmp_path / "x")
    assert (said.code, said.out) == (2, "")
    assert 'save the plan instead: format="plan"' in said.err
    measured = (tmp_path / "x.scan.jsonl").read_text()
    said = run(*asked, "--at", "bert.encoder.layer.1", "--to", tmp_path / "x", "--format", "plan", "--resume")
    assert said.code == 0, said
    front = Front.read(tmp_path / "x.front.json")
    assert "went first: of what was left, it cost least for the parameters it saves." in front.why[0]
    kept = [line for line in measured.splitlines() if '"places"' in line]
    assert [line for line in (tmp_path / "x.scan.jsonl").read_text().splitlines() if '"places"' in line] == kept


def test_apply_to_a_function(run: Run, models: Path, tmp_path: Path) -> None:
    Plan.of(["layers.0"]).write(tmp_path / "plan.json")
    mine = f"{models}/mine.py"
    said = run("apply", f"{mine}:net", tmp_path / "plan.json", "--data", f"{mine}:batches", "--to", tmp_path / "x")
    assert said.code == 0, said
    assert (tmp_path / "x" / "model.safetensors").is_file()


def test_report(run: Run, models: Path, tmp_path: Path) -> None:
    file, page = tmp_path / "scan.jsonl", tmp_path / "page.html"
    run("scan", models / "classifier", "--data", models / "labelled.csv", "--to", file)
    assert run("report", file, "--to", page).code == 0
    assert "bert.encoder.layer.2" in page.read_text()


def test_every_verb_that_runs_a_model_has_the_same_options() -> None:
    """As the issue lists them; and each command's help names an example."""
    wanted = {"--task", "--device", "--dtype", "--batch-size", "--max-length", "--limit", "--seed"}
    for verb in app.registered_commands:
        assert verb.name is not None
        options = _options(verb.callback)
        if verb.name == "report":
            continue
        own = wanted - {"--task", "--dtype"} if verb.name == "demo" else wanted  # its model is given
        assert own <= options, (verb.name, own - options)
    assert {verb.name for verb in app.registered_commands} == set(VERBS)


def _options(command: Any) -> set[str]:
    import inspect

    return {f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters}


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str, run: Run) -> None:
    said = run(verb, "--help")
    assert said.code == 0
    assert f"identikit {verb}" in said.out
    assert "Example:" in said.out


def test_the_version(run: Run) -> None:
    assert run("--version").out == f"identikit {ik.__version__}\n"


def test_no_verb(run: Run) -> None:
    said = run()
    assert said.code == 0
    assert "Usage: identikit" in said.out
