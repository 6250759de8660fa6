"""`identikit simplify`: what it prints, what it writes, and what it refuses to write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Run

MINE = """
import torch
from torch import nn


def folded():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))


def dropped():
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU())


def bare():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


def pictures():
    return [torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))]


def rows():
    return [torch.randn(2, 4, generator=torch.Generator().manual_seed(0))]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def test_what_would_go(run: Run, mine: Path) -> None:
    said = run("simplify", f"{mine}:folded", "--data", f"{mine}:pictures")
    assert (said.code, said.err) == (0, "")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[:4] == ["Sequential", "before after", "parameters 194 186 -4.1 %", "modules 7 5 -28.6 %"]
    assert "changed nothing: stripped 1 1" in lines
    assert "norms and scales: folded into a neighbour 1 2" in lines
    assert lines[-1].startswith("outputs differ by ")


def test_nothing(run: Run, mine: Path) -> None:
    assert "nothing to simplify" in run("simplify", f"{mine}:bare", "--data", f"{mine}:rows").out


def test_json(run: Run, mine: Path) -> None:
    said = run("simplify", f"{mine}:folded", "--data", f"{mine}:pictures", "--json")
    found = json.loads(said.out)
    assert [(each["kind"], each["at"]) for each in found["rewrites"]] == [("strip", "1"), ("fold", "2")]
    assert found["before"]["parameters"] == 194


def test_a_folder_where_dropouts_went_alone(run: Run, mine: Path, models: Path, tmp_path: Path) -> None:
    said = run("simplify", models / "classifier", "--to", tmp_path / "out")
    assert said.code == 0, said
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert (tmp_path / "out" / "tokenizer_config.json").is_file()
    assert said.err.startswith("simplified; written and proved: ")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch.export
def test_a_file(run: Run, mine: Path, tmp_path: Path) -> None:
    import torch

    said = run("simplify", f"{mine}:folded", "--data", f"{mine}:pictures", "--to", tmp_path / "net.pt2")
    assert said.code == 0, said
    program = torch.export.load(tmp_path / "net.pt2")
    assert not any("batch_norm" in str(node.target) for node in program.graph.nodes)


def test_folded_layers_make_no_folder(refused: Callable[..., str], mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert refused("simplify", f"{mine}:folded", "--data", f"{mine}:pictures", "--to", out) == (
        f"{out}: layers of this Sequential were folded together, so the code it comes from cannot load its weights "
        f"from a folder. Write one file: --to {out}.pt2 or --to {out}.onnx."
    )
    assert not out.exists()


def test_bad_input(refused: Callable[..., str], mine: Path, tmp_path: Path) -> None:
    assert "Pass one example" in refused("simplify", f"{mine}:folded")
    (tmp_path / "there.pt2").write_text("")
    taken = refused("simplify", f"{mine}:folded", "--data", f"{mine}:pictures", "--to", tmp_path / "there.pt2")
    assert "exists already" in taken
    assert "is a file" in refused("simplify", f"{mine}:folded", "--to", mine)
