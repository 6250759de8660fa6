"""On sound models an audit finds no mistake: the zoo, torchvision, timm. Notes it may find; the zoo's are known."""

from __future__ import annotations

import random
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from identikit import audit
from identikit.results.finding import Findings
from laws.snapshot import Snapshot
from zoo import ZOO, Case

NOTES = {
    "mamba": {("never called", "SiLUActivation")},
    "in_place": {("edited skip", "writes in place (relu_)")},
}
"""What is worth a note in the zoo, and a piece of the text."""


@pytest.mark.parametrize("entry", ZOO, ids=[entry.name for entry in ZOO])
def test_the_zoo(entry: Case) -> None:
    model = entry.build()
    before, state = Snapshot(model), torch.get_rng_state()
    found = audit(model, entry.inputs(model))
    assert before.changes(model) == []
    assert torch.equal(torch.get_rng_state(), state)
    expected = NOTES.get(entry.name, set())
    assert found.mistakes == []
    assert {finding.kind for finding in found} == {kind for kind, _ in expected}
    assert all(any(text in finding.message for _, text in expected) for finding in found)


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "vit"])
def test_the_example_of_a_family(name: str) -> None:
    model = next(entry for entry in ZOO if entry.name == name).build()
    assert audit(model).mistakes == []


def test_a_pooler_that_nobody_reads_is_a_note() -> None:
    from transformers import BertConfig, BertModel

    class Pooled(nn.Module):
        """The mean of BERT's tokens: the pooler runs, and its output is not read."""

        def __init__(self) -> None:
            super().__init__()
            size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            self.bert = BertModel(BertConfig(vocab_size=32, **size))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.bert(ids).last_hidden_state.mean(1)

    found = audit(Pooled(), torch.randint(1, 32, (2, 6)))
    assert [(finding.level, finding.kind, finding.module) for finding in found] == [
        ("note", "dead branch", "bert.pooler")
    ]
    assert found[0].message == (
        '"bert.pooler" runs, but its result, handed out beside others, reaches no output of Pooled.'
    )


def test_an_expert_that_no_token_was_routed_to_is_a_note() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router = nn.Linear(4, 3)
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight, expert = self.router(x).softmax(-1).max(-1)
            out = torch.zeros_like(x)
            for number in expert.unique().tolist():
                rows = expert == number
                out[rows] = weight[rows, None] * self.experts[number](x[rows])
            return out

    found = audit(Routed(), torch.ones(2, 4))
    assert [finding.kind for finding in found] == ["never called", "never called"]
    assert not found.mistakes


def _torchvision() -> list[str]:
    """Every model of torchvision that takes one batch of pictures or videos."""
    from torchvision import models

    others = {*models.list_models(module=models.detection), *models.list_models(module=models.quantization)}
    return [name for name in models.list_models() if name not in others]


def _of_torchvision(name: str) -> Findings:
    from torchvision import models

    backbone = {"weights_backbone": None} if name in models.list_models(module=models.segmentation) else {}
    side = 299 if name == "inception_v3" else 224
    shape = (2, 3, 16, side, side) if name in models.list_models(module=models.video) else (2, 3, side, side)
    pictures = (torch.zeros(2, 3, 128, 128), torch.zeros(2, 3, 128, 128))
    inputs: Any = pictures if name.startswith("raft") else torch.zeros(shape)
    return audit(_empty(lambda: models.get_model(name, weights=None, **backbone)), inputs)


def _timm() -> list[str]:
    """One model of each of timm's files, drawn among those that are not called large."""
    from timm.models import _registry

    files: dict[str, list[str]] = defaultdict(list)
    for name, file in sorted(_registry._model_to_module.items()):
        files[file].append(name)
    draw, large = random.Random(0), ("large", "huge", "giant", "xl", "enormous")
    return [
        draw.choice([name for name in names if not any(word in name for word in large)] or names)
        for names in files.values()
    ]


def _of_timm(name: str) -> Findings:
    import timm

    model = _empty(lambda: timm.create_model(name))
    return audit(model, torch.zeros(2, *model.default_cfg["input_size"], device="meta"))  # type: ignore[arg-type]


def _empty(build: Callable[[], nn.Module]) -> nn.Module:
    """The model on the meta device: its operations can be watched there and cost nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says as it builds is its own affair
        try:
            with torch.device("meta"):
                model = build()
        except (NotImplementedError, RuntimeError):  # it reads values as it is built
            model = build()
    return model.eval().to("meta")


LIBRARIES = {"torchvision": (_torchvision, _of_torchvision), "timm": (_timm, _of_timm)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_sample_of_a_library(library: str) -> None:
    names, audited = LIBRARIES[library]
    for name in random.Random(0).sample(names(), 4):
        assert audited(name).mistakes == [], name


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_whole_library(library: str) -> None:
    names, audited = LIBRARIES[library]
    found = {name: audited(name).mistakes for name in names()}
    assert len(found) >= 80
    assert not any(found.values()), {name: mistakes for name, mistakes in found.items() if mistakes}
