"""The command line run in this process, on tiny folders and on a user's own Python file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny
from identikit.cli import main


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]

MINE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.tanh(self.inner(x))


class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(4))
        self.unused = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.narrow = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.narrow(x)


def net():
    return Net().eval()


def batches():
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 6, generator=draw), torch.tensor([0, 1, 2, 1])) for _ in range(2)]


def generator():
    yield from batches()


def shuffled():
    data = torch.utils.data.TensorDataset(torch.randn(32, 6))
    return torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)


def nothing():
    return []


def not_a_number(output, batch):
    return output[:, 0] * float("nan")


def too_few(output, batch):
    return output[1:, 0]


def negative(output, batch):
    return output[:, 0] * 0 - 1


def total(model):
    with torch.no_grad():
        return float(model(torch.ones(1, 6)).sum())
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("scan", folder, "--data", file)`."""

    def command(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        printed = capsys.readouterr()
        code = ended.value.code
        return Said(0 if code is None else int(code), printed.out, printed.err)

    return command


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """The one line that a refused command ends with; its exit code is 2."""

    def command(*arguments: object) -> str:
        said = run(*arguments)
        assert said.code == 2, said
        assert "Traceback" not in said.err
        assert said.out == ""
        assert said.err.startswith("error: "), said.err
        assert said.err.count("\n") == 1, said.err
        return said.err.removeprefix("error: ").rstrip("\n")

    return command


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `classifier` and `causal`, `mine.py`, and data for them. Nobody writes in here."""
    place = tmp_path_factory.mktemp("models")
    tiny.folder(place / "classifier", "classifier")
    tiny.folder(place / "causal", "causal")
    (place / "mine.py").write_text(MINE)
    (place / "text.txt").write_text("the cat sat on the mat\nthe old dog ran in the house\na bird sings a song\n" * 3)
    lines = ["sentence,label", "the cat sat,0", "a dog ran,1", "the bird sings,2", "the man sat,1", "a new song,0"]
    (place / "labelled.csv").write_text("\n".join(lines) + "\n")
    (place / "empty.csv").write_text("sentence,label\n")
    return place
