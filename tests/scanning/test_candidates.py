"""What is ranked: sites at any depth, runs, stages, types; what is learned from data is learned in shared passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import PlaceError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.scanning.candidates import candidates
from identikit.sources.objects import as_data
from identikit.surgery.choose import plan_for
from zoo import case


def seen(name: str) -> Anatomy:
    model = case(name).build()
    return anatomy_of(model, case(name).inputs(model))


def layers(*numbers: int, of: str = "model.layers.{}") -> str:
    return " + ".join(of.format(number) for number in numbers)


def test_each_block_or_each_place() -> None:
    anatomy = seen("llama")
    assert list(candidates(anatomy)) == anatomy.blocks()
    named = candidates(anatomy, ["model.layers.*.mlp", "model.layers.1"])
    assert list(named) == [*(f"model.layers.{number}.mlp" for number in range(4)), "model.layers.1"]
    for path, plan in named.items():
        assert plan == plan_for(anatomy, [path])


def test_every_run_of_neighbours() -> None:
    anatomy = seen("llama")
    assert list(candidates(anatomy, span=3)) == [layers(0, 1, 2), layers(1, 2, 3)]
    assert list(candidates(anatomy, span=1)) == anatomy.blocks()
    found = candidates(anatomy, span=2)
    assert found[layers(1, 2)] == plan_for(anatomy, ["model.layers.[1,2]"])
    inner = candidates(anatomy, "model.layers.[0,1,3].mlp", span=2)
    assert list(inner) == [layers(0, 1, of="model.layers.{}.mlp")]
    mixed = candidates(anatomy, ["model.layers.[0:2].mlp", "model.layers.[0:2].self_attn"], span=2)
    assert list(mixed) == [layers(0, 1, of="model.layers.{}.mlp"), layers(0, 1, of="model.layers.{}.self_attn")]
    with pytest.raises(
        PlaceError, match=r"span=5: no stack has so many .* the longest run has 4 \(model\.layers\.0 to"
    ):
        candidates(anatomy, span=5)


def test_a_run_stays_in_its_stack() -> None:
    """Blocks 1 and 2 of a T5 encoder, not block 2 of it and block 1 of the decoder; stage by stage in a ResNet."""
    assert list(candidates(seen("t5"), span=3)) == [
        layers(1, 2, 3, of="encoder.block.{}"),
        layers(1, 2, 3, of="decoder.block.{}"),
    ]
    assert all(
        len({path.rpartition(".")[0] for path in name.split(" + ")}) == 1 for name in candidates(seen("resnet"), span=2)
    )


def test_by_stage() -> None:
    anatomy = seen("resnet")
    found = candidates(anatomy, by="stage")
    assert sorted(path for name in found for path in name.split(" + ")) == sorted(anatomy.blocks())
    for name in found:
        assert len({path.rpartition(".")[0] for path in name.split(" + ")}) == 1
    assert len(found) == len({path.rpartition(".")[0] for path in anatomy.blocks()}) > 1
    halves = candidates(seen("llama"), ["model.layers.*.mlp", "model.layers.*.self_attn"], by="stage")
    assert list(halves) == [layers(*range(4), of=f"model.layers.{{}}.{part}") for part in ("mlp", "self_attn")]


def test_by_type() -> None:
    """Of one class; a Gemma 3's layers are of one class, and its configuration says which attention each has."""
    anatomy = seen("gemma3")
    model: Any = anatomy.model
    kinds = model.config.layer_types
    assert len(set(kinds)) == 2
    expected = [layers(*(i for i, each in enumerate(kinds) if each == kind)) for kind in dict.fromkeys(kinds)]
    assert list(candidates(anatomy, by="type")) == expected
    parts = candidates(seen("llama"), ["model.layers.*.mlp", "model.layers.*.self_attn"], by="type")
    assert len(parts) == 2


def test_what_cannot_be_grouped() -> None:
    anatomy = seen("llama")
    with pytest.raises(PlaceError, match='span=2 and by="type" are two ways'):
        candidates(anatomy, span=2, by="type")
    with pytest.raises(PlaceError, match="by='size' is none of 'stage', 'type'"):
        candidates(anatomy, by="size")
    with pytest.raises(PlaceError, match="span=0 counts layers"):
        candidates(anatomy, span=0)

    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ModuleList([nn.Linear(4, 4)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner[0](x)

    class Around(Nested):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ModuleList([Nested(), Nested()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.inner:
                x = layer(x)
            return x

    nested = anatomy_of(nn.Sequential(Around(), Around()), torch.randn(2, 4))
    grouped = candidates(nested, ["0.inner.*", "1.inner.*", "0.inner.0.inner.0"], by="type")
    assert [len(plan) for plan in grouped.values()] == [4, 1]
    same = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4)), nn.Linear(4, 4))
    with pytest.raises(PlaceError, match=r'by="type" puts "0\.0" and "0" around it into one group'):
        candidates(anatomy_of(same, torch.randn(2, 4)), ["0", "0.0"], as_="identity", by="type")


@pytest.mark.parametrize("as_", ["mean", "adapter"])
def test_what_is_learned_is_learned_in_shared_passes(as_: str) -> None:
    """Every plan is what it would be alone; the passes over the data do not grow with the number of layers."""
    model = case("bert").build()
    batch = case("bert").inputs(model)
    anatomy = anatomy_of(model, batch)
    calls: list[int] = []
    model.get_submodule("bert.embeddings").register_forward_hook(lambda *_: calls.append(1))
    inside = ["bert.encoder.layer.*", "bert.encoder.layer.1.attention"]
    found = candidates(anatomy, inside, as_=as_, data=as_data([batch, batch]))
    assert len(calls) == 2 * 2  # two batches; blocks, and then the layer inside one of them
    for path, plan in found.items():
        alone = plan_for(anatomy, [path], as_, as_data([batch, batch]))
        assert plan == alone
        assert set(plan.tensors) == set(alone.tensors)
        assert all(torch.equal(plan.tensors[name], alone.tensors[name]) for name in plan.tensors)
    runs = candidates(anatomy, span=2, as_=as_, data=as_data([batch]))
    assert all(len(plan) == 2 and plan.tensors for plan in runs.values())


def test_a_scan_of_means_reads_the_data_once_for_all() -> None:
    model = case("vit").build()
    batch = case("vit").inputs(model)
    result = ik.scan(model, [batch, batch], as_="mean")
    assert [row.plan["edits"][0]["op"] for row in result if row.plan] == ["mean"] * 4
    assert np.all([row.effect < 0 for row in result])


def test_a_scan_of_runs_and_of_types() -> None:
    """A row for each candidate; each layer once in the header. A run's row is that of the layers together."""
    model = case("bert").build()
    batch = case("bert").inputs(model)
    runs = ik.scan(model, [batch], span=2)
    blocks = anatomy_of(model, batch).blocks()
    assert [row.places for row in runs] == [(blocks[at], blocks[at + 1]) for at in range(3)]
    assert list(runs.header.sites) == blocks
    kinds = ik.scan(model, [batch], "bert.encoder.layer.[1,2]", by="type", metrics=["fidelity", "kl"])
    assert [row.places for row in kinds] == [(blocks[1], blocks[2])] * 2
    assert kinds.of("fidelity")[0].effect == runs.of("fidelity")[1].effect
