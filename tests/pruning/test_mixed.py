"""Whole blocks and their parts in one search: what costs least for what it saves goes first."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

import identikit as ik
from identikit.errors import BudgetError, RoleError
from identikit.plan import Plan
from identikit.pruning import saved
from identikit.pruning.mixed import Mixed
from identikit.pruning.saved import Saving
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from small_net import Net

WIDTH = 16


class Halves(nn.Module):
    """A block of two branches; the second has four times the weights of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.Tanh(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(x)
        return x + self.mlp(x)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Halves() for _ in range(4))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


@pytest.fixture
def stack() -> Any:
    torch.manual_seed(0)
    return Stack().eval()


def fade(model: Any, *paths: str, by: float = 0.0) -> None:
    """These layers' weights become so much smaller: what they add is little, or nothing."""
    for path in paths:
        for value in model.get_submodule(path).parameters():
            value.data.mul_(by)


@pytest.fixture
def rows() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return list(torch.randn(6, 8, WIDTH, generator=draw))


def test_what_does_nothing_goes_first_the_largest_first(stack: Any, rows: Any) -> None:
    fade(stack, "layers.0.attend", "layers.1.mlp", "layers.3")
    pruned = ik.prune(stack, rows, max_drop=0.0, metrics="kl", method="mixed", holdout=0)
    assert [point.places for point in pruned.front.points[1:4]] == [
        ("layers.3",),
        ("layers.1.mlp", "layers.3"),
        ("layers.0.attend", "layers.1.mlp", "layers.3"),
    ]
    assert pruned.front.choice.dropped == 3
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(rows[0]), stack(rows[0]))
    assert len(pruned.model.layers) == 3  # type: ignore[arg-type]


def test_cost_is_weighed_by_what_is_saved(stack: Any, rows: Any) -> None:
    """The attention costs less than the MLP, but the MLP saves four times as much."""
    pruned = ik.prune(stack, rows, metrics="kl", method="mixed", params=0.95, at="layers.2", holdout=0)
    alone = {row.places: row.effect for row in pruned.scan if len(row.places) == 1}
    sizes = {(path,): sum(value.numel() for value in stack.get_submodule(path).parameters()) for (path,) in alone}
    assert set(alone) == {("layers.2",), ("layers.2.attend",), ("layers.2.mlp",)}
    assert pruned.front.points[1].places == min(alone, key=lambda places: alone[places] / sizes[places])


def test_a_block_takes_the_place_of_its_part(stack: Any, rows: Any) -> None:
    fade(stack, "layers.1.mlp")
    fade(stack, "layers.1.attend", by=0.01)
    pruned = ik.prune(stack, rows, metrics="kl", method="mixed", max_drop=0.001, holdout=0)
    places = [point.places for point in pruned.front.points]
    assert places[:3] == [(), ("layers.1.mlp",), ("layers.1",)]
    # two points with one layer dropped: the smaller one is meant
    assert pruned.front.plan(1).places == ("layers.1",)
    assert pruned.front.plan().places == pruned.front.choice.places


def test_parameters_count_where_the_flops_of_one_are_not_known(
    stack: Any, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = saved.counted

    def but_one(anatomy: Any, layers: Any) -> Any:
        return {path: count for path, count in known(anatomy, layers).items() if path != "layers.0.mlp"}

    by_flops = ik.prune(stack, rows, metrics="kl", method="mixed", flops=0.9)
    assert "for the FLOPs it saves" in by_flops.front.why[0]
    monkeypatch.setattr(saved, "counted", but_one)
    by_parameters = ik.prune(stack, rows, metrics="kl", method="mixed", flops=0.9)
    assert "for the parameters it saves" in by_parameters.front.why[0]


def test_what_costs_and_saves_nothing_comes_last() -> None:
    names = ["free", "cheap", "dear", "vain"]
    space = Space(nn.Module(), {name: Plan.of([name]) for name in names})
    way = Mixed(space, saved=Saving(space, {"free": 1, "cheap": 8, "dear": 2, "vain": 0}))
    costs = {"": 0.0, "free": -0.1, "cheap": 4.0, "dear": 2.0, "vain": 0.001}
    tried = [Step(Plan.of([name]), (name,)) for name in reversed(names)]
    order = way.order(tried, Step(Plan()), lambda step: costs[step.name])
    assert [step.name for step in order] == names


@pytest.mark.parametrize("budget", [{"params": 0.75}, {"flops": 0.75}])
def test_parts_of_real_blocks(budget: dict[str, float], tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 40}
    llama = LlamaForCausalLM(LlamaConfig(num_hidden_layers=3, **shape)).eval()  # type: ignore[arg-type]
    bert = BertModel(BertConfig(num_hidden_layers=3, **shape)).eval()  # type: ignore[arg-type]
    batches = [{"input_ids": torch.randint(0, 40, (4, 9))} for _ in range(6)]
    fade(llama, "model.layers.1.mlp")
    fade(bert, "encoder.layer.2.attention.output.dense")
    for model, least in ((llama, "model.layers.1.mlp"), (bert, "encoder.layer.2.attention")):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        pruned = ik.prune(model, batches, method="mixed", metrics="kl" if model is llama else "fidelity", **budget)  # type: ignore[arg-type]
        assert pruned.front.points[1].places == (least,)
        amount = pruned.front.choice.parameters / pruned.front.full.parameters
        assert "params" not in budget or amount <= 0.75
        with ik.apply(copy.deepcopy(model), pruned.plan, inputs=batches[0]) as handle, torch.no_grad():
            assert all(handle.calls.values())
        ik.save(pruned.model, tmp_path / least, format="plan")
        again = ik.load(tmp_path / least)
        with torch.no_grad():
            assert torch.equal(again(**batches[0])[0], pruned.model(**batches[0])[0])
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_beside_greedy_at_one_size(stack: Any, rows: Any) -> None:
    """Where half of a block is worth much, dropping the other halves loses less."""
    for number in range(4):
        fade(stack, f"layers.{number}.mlp", by=0.05)
    mixed = ik.prune(stack, rows, metrics="kl", params=0.5, method="mixed").front.choice
    whole = ik.prune(stack, rows, metrics="kl", params=0.5).front.choice
    assert mixed.parameters <= 0.5 * sum(value.numel() for value in stack.parameters())
    assert mixed.scores["kl"].edited < 0.5 * whole.scores["kl"].edited


def test_refusals(stack: Any, rows: Any) -> None:
    with pytest.raises(BudgetError, match=r"^--method mixed weighs .*; --drop 2 counts them alike\. Use --keep, "):
        ik.prune(stack, rows, drop=2, method="mixed")
    with pytest.raises(BudgetError, match=r"takes each part out by its role; --as zero says otherwise"):
        ik.prune(stack, rows, params=0.5, method="mixed", as_="zero")
    with pytest.raises(BudgetError, match=r"--compensate fold makes up for whole blocks; --method mixed"):
        ik.prune(stack, rows, params=0.5, method="mixed", compensate="fold")
    plain = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3))).eval()
    with pytest.raises(RoleError, match=r"^no part of a block of Sequential can go by itself"):
        ik.prune(plain, rows, params=0.5, method="mixed")
    with pytest.raises(BudgetError, match=r"^--params 0\.001 cannot be reached: without all"):
        ik.prune(stack, rows, params=0.001, method="mixed")


def test_what_cannot_be_taken_out_is_no_candidate_and_refused_before_any_work() -> None:
    """BERT's MLP ends in a projection from another width: its zero would have to be run for its shape."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 40}
    bert = BertModel(BertConfig(num_hidden_layers=2, **shape)).eval()  # type: ignore[arg-type]
    batches = [{"input_ids": torch.randint(0, 40, (4, 9))} for _ in range(4)]
    pruned = ik.prune(bert, batches, method="mixed", params=0.9)
    parts = {row.places[0].split(".", 3)[3:][0] for row in pruned.scan if row.places[0].count(".") > 2}
    assert parts == {"attention"}
    asked: list[Any] = []
    with pytest.raises(RoleError, match=r'^"encoder\.layer\.0\.output\.dense" cannot be removed alone'):
        ik.prune(bert, score=lambda model: asked.append(model) or 1.0, at="encoder.layer.*.output.dense", drop=1)
    assert not asked


def test_layers_are_what_the_search_without_parts_knows(rows: Any) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    data = [torch.randn(5, 6) for _ in range(4)]
    parts = ik.prune(net, data, method="mixed", params=0.8).scan
    assert {row.places for row in parts if len(row.places) == 1} == {
        (f"layers.{number}{inner}",) for number in range(4) for inner in ("", ".branch")
    }
