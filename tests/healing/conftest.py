"""Teachers, the places that their students lack, and data: one of each kind of network, all tiny."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from identikit.nn import CifarResNet
from small_net import made
from zoo import weigh

ROWS = 8


@dataclass(frozen=True)
class Case:
    """A teacher, what its student lacks, and batches that both take."""

    name: str
    teacher: Callable[[], Any]
    drop: str
    data: Callable[[], list[Any]]
    pairs: tuple[tuple[str, str], ...]
    """What belongs together, in words."""

    def student(self, teacher: nn.Module) -> Any:
        return ik.remove(copy.deepcopy(teacher), self.drop, inputs=self.data()[0])


def texts(batches: int = 8) -> list[dict[str, torch.Tensor]]:
    """Token ids; every other row is padded."""
    draw = torch.Generator().manual_seed(1)
    found = []
    for _ in range(batches):
        ids = torch.randint(5, len(tiny.WORDS), (ROWS, 10), generator=draw)
        mask = torch.ones_like(ids)
        mask[1::2, 7:] = 0
        found.append({"input_ids": ids, "attention_mask": mask})
    return found


def vectors(batches: int = 8) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(ROWS, 6, generator=draw) for _ in range(batches)]


def pictures(batches: int = 6) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(ROWS, 3, 8, 8, generator=draw) for _ in range(batches)]


def resnet() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return weigh(CifarResNet(20, width=4))


_BERT, _LLAMA = "bert.encoder.layer", "model.layers"
CASES = (
    Case(
        "bert", lambda: tiny.model("classifier"), f"{_BERT}.[1,2]", texts,
        ((f"into {_BERT}.1", f"into {_BERT}.3"), (f"out of {_BERT}.1", f"out of {_BERT}.3")),
    ),
    Case(
        "llama", lambda: tiny.model("causal"), f"{_LLAMA}.[0,3]", texts,
        (
            (f"into {_LLAMA}.0", f"into {_LLAMA}.1"), (f"into {_LLAMA}.1", f"into {_LLAMA}.2"),
            (f"out of {_LLAMA}.1", f"out of {_LLAMA}.3"),
        ),
    ),
    Case(
        "resnet", resnet, "body.stage2.[1,2]", pictures,
        (
            ("into body.stage3.1", "into body.stage3.1"), ("into body.stage3.2", "into body.stage3.2"),
            ("out of body.stage2.0", "out of body.stage2.2"), ("out of body.stage3.2", "out of body.stage3.2"),
        ),
    ),
    Case("plain", made, "layers.1", vectors, (
        ("into layers.1", "into layers.2"), ("into layers.2", "into layers.3"), ("out of layers.2", "out of layers.3"),
    )),
)  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def plain() -> Case:
    return CASES[-1]


@pytest.fixture
def llama() -> Case:
    return CASES[1]


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer."""
    return {name: value.detach().clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
