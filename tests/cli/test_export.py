"""`identikit export`: what it writes and says, of folders, plan folders and functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import identikit as ik
from cli.conftest import Run


def test_a_folder(run: Run, models: Path, tmp_path: Path) -> None:
    said = run("export", models / "classifier", "--to", tmp_path / "model.pt2")
    assert said.code == 0, said
    assert said.out == ""
    assert "written and proved: " in said.err
    assert ", any batch and length (to 34), largest difference " in " ".join(said.err.split())
    program = torch.export.load(tmp_path / "model.pt2").module()
    ids = torch.randint(5, 15, (1, 7))
    with torch.no_grad():
        expected = ik.load(models / "classifier")(ids).logits
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    torch.testing.assert_close(program(**given), expected, rtol=1e-4, atol=1e-5)


def test_json_of_a_function(run: Run, models: Path, tmp_path: Path) -> None:
    mine = f"{models}/mine.py"
    said = run("export", f"{mine}:net", "--data", f"{mine}:batches", "--to", tmp_path / "net.onnx", "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["inputs"] == {"x": ["batch", 6]}
    assert found["dynamic"] == ["batch"]
    assert found["files"] == [str(tmp_path / "net.onnx")]
    assert found["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert found["difference"] < 1e-5


def test_fixed(run: Run, models: Path, tmp_path: Path) -> None:
    mine = f"{models}/mine.py"
    said = run("export", f"{mine}:net", "--data", f"{mine}:batches", "--to", tmp_path / "net.pt2", "--fixed")
    assert "all sizes fixed" in said.err


def test_labels_of_the_data_stay_out(run: Run, models: Path, tmp_path: Path) -> None:
    data = ("--data", models / "labelled.csv")
    said = run("export", models / "classifier", *data, "--to", tmp_path / "model.pt2", "--json")
    assert said.code == 0, said
    assert list(json.loads(said.out)["inputs"]) == ["input_ids", "attention_mask"]
    assert list(json.loads(said.out)["outputs"]) == ["logits"]


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_what_was_pruned(form: str, run: Run, models: Path, tmp_path: Path) -> None:
    smaller = ik.remove(ik.load(models / "classifier"), "bert.encoder.layer.[1:3]")
    ik.save(smaller, tmp_path / "smaller", format=form)
    said = run("export", tmp_path / "smaller", "--to", tmp_path / "model.pt2")
    assert said.code == 0, said
    program = torch.export.load(tmp_path / "model.pt2")
    layers = {name.split(".")[3] for name in program.state_dict if ".encoder.layer." in name}
    assert layers == {"0", "1"}


def test_refusals(refused: Callable[..., str], models: Path, tmp_path: Path) -> None:
    mine = f"{models}/mine.py"
    assert refused("export", f"{mine}:net", "--to", tmp_path / "net.txt") == (
        f'{tmp_path / "net.txt"} ends in ".txt"; a graph is written as .onnx or .pt2. Name net.onnx.'
    )
    assert refused("export", f"{mine}:net", "--to", tmp_path / "net.onnx").endswith(
        "Pass one example of it: inputs=tensor, tuple or dict. On the command line: --data FILE."
    )
    (tmp_path / "net.pt2").write_text("mine")
    assert refused("export", f"{mine}:net", "--to", tmp_path / "net.pt2").endswith(
        "exists already. Name another file, or replace it with --overwrite (overwrite=True)."
    )
    assert refused("export", f"{mine}:net", "--to", tmp_path / "none" / "net.pt2").startswith("cannot write ")
    assert (tmp_path / "net.pt2").read_text() == "mine"
