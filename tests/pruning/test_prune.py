"""`prune`: greedy with exact re-scoring, as by brute force; every budget; what it refuses; the model is not edited."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BudgetError, IdentikitError, MetricError, ResultError
from identikit.plan import Plan
from identikit.replaying.engine import Engine
from identikit.results import Front
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from pruning.counted import left, loss_of
from small_net import WIDTH, Block, Net, by_hand
from zoo import weigh

LAYERS = [f"layers.{number}" for number in range(4)]


def brute_force(model: nn.Module, data: Any, metric: str, *, higher: bool) -> list[tuple[set[str], float]]:
    """Greedy by the plain loop with hooks: after each removal every layer that is left is tried again."""
    from identikit.metrics import resolve

    gone: list[str] = []
    curve: list[tuple[set[str], float]] = []
    while len(gone) < 3:
        scores = {}
        for place in LAYERS:
            if place not in gone:
                _, edited = by_hand(model, data, [*gone, place], metric)
                scores[place] = resolve(metric).aggregate(edited)
        best = (max if higher else min)(scores, key=lambda place: scores[place])
        gone.append(best)
        curve.append((set(gone), scores[best]))
    return curve


@pytest.mark.parametrize(("metric", "higher"), [("fidelity", True), ("loss", False)])
def test_the_whole_curve_is_that_of_brute_force(metric: str, higher: bool, net: Any, data: Any) -> None:
    before = Snapshot(net)
    pruned = ik.prune(net, data, metrics=metric, drop=3)
    assert before.changes(net) == []
    curve = brute_force(net, data, metric, higher=higher)
    points = pruned.front.points
    assert [set(point.places) for point in points] == [set(), *(places for places, _ in curve)]
    assert [point.scores[metric].edited for point in points[1:]] == pytest.approx([score for _, score in curve])
    assert pruned.front.chosen == 3
    assert len(pruned.scan) == 4 + 3 + 2
    assert [point.dropped for point in points] == [0, 1, 2, 3]
    own = sum(value.numel() for value in net.layers[0].parameters())
    full = sum(value.numel() for value in net.parameters())
    assert [point.parameters for point in points] == [full - own * gone for gone in range(4)]
    assert all(point.latency and point.latency > 0 for point in points)


def test_the_model_that_comes_back(net: Any, data: Any) -> None:
    """A copy without the layers, that computes what the curve says, carries its plan and can be saved."""
    pruned = ik.prune(net, data, drop=2)
    assert pruned.model is not net
    assert len(pruned.model.layers) == 2  # type: ignore[arg-type]
    with ik.apply(net, pruned.plan, inputs=data[0][0]):
        assert torch.equal(pruned.model(data[0][0]), net(data[0][0]))
    history = carried(pruned.model)
    assert history is not None
    assert set(history.plan.places) == set(pruned.plan.places) == set(pruned.front.choice.places)
    assert set(pruned.model.parameters()).isdisjoint(net.parameters())


def test_in_train_mode(net: Any, data: Any) -> None:
    expected = ik.prune(net, data, drop=2)
    net.train()
    before = Snapshot(net)
    pruned = ik.prune(net, data, drop=2)
    assert before.changes(net) == []
    assert pruned.plan == expected.plan
    assert pruned.model.training


@pytest.mark.parametrize(
    ("metric", "how", "dropped"),
    [
        (left, {"keep": 0.75}, 1),
        (left, {"keep": 0.5}, 2),
        (left, {"max_drop": 0.5}, 2),
        (left, {"max_drop": 0.49}, 1),
        (left, {"max_drop": float("inf")}, 3),
        (left, {"drop": 3}, 3),
        (left, {"params": 0.8}, 1),
        (left, {"params": 0.6}, 2),
        (loss_of(0.01), {"keep": 0.98}, 2),  # at most 2 % more loss
        (loss_of(0.01), {"keep": 0.99}, 1),
        (loss_of(0.01), {}, 2),  # 0.98 where nothing is said
        (loss_of(0.5), {"max_drop": 1.0}, 2),
        (loss_of(-0.5), {"keep": 1.0}, 3),  # better with every layer that goes
    ],
)
def test_budgets(metric: Any, how: dict[str, float], dropped: int, counted: Any, data: Any) -> None:
    pruned = ik.prune(counted, data, metrics=metric, **how)  # type: ignore[arg-type]
    assert len(pruned.plan) == dropped
    assert pruned.front.chosen == dropped
    tried = dropped if dropped == 3 or "drop" in how or "params" in how else dropped + 1
    assert len(pruned.front.points) == tried + 1
    assert len(pruned.model.layers) == 4 - dropped  # type: ignore[arg-type]


def refusal(kind: type[IdentikitError], model: nn.Module, *args: Any, **how: Any) -> str:
    before = Snapshot(model)
    with pytest.raises(kind) as error:
        ik.prune(model, *args, **how)
    assert before.changes(model) == []
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("metric", "how", "says"),
    [
        (left, {"keep": 0.99},
         '--keep 0.99 cannot be reached by dropping any layer of "layers.*"; the best single drop (layer 0) keeps '
         "0.75. Try --keep 0.75, or heal after dropping."),
        (loss_of(0.037), {"keep": 0.98},
         '--keep 0.98 cannot be reached by dropping any layer of "layers.*"; the best single drop (layer 0) has 0.037 '
         "more cost, as a share of it. Try --keep 0.963, or heal after dropping."),
        (loss_of(3.0), {"keep": 0.98},
         '--keep 0.98 cannot be reached by dropping any layer of "layers.*"; the best single drop (layer 0) has 3 more '
         "cost, as a share of it. Try --max-drop 3, or heal after dropping."),
        (left, {"max_drop": 0.1},
         '--max-drop 0.1 cannot be reached by dropping any layer of "layers.*"; the best single drop (layer 0) costs '
         "0.25 of left. Try --max-drop 0.25, or heal after dropping."),
        (left, {"drop": 4}, "--drop 4 cannot be reached: 3 layers can go. Try --drop 3."),
        (left, {"params": 0.3},
         "--params 0.3 cannot be reached: without all 3 layers that can go, 33.3% of the parameters are left. "
         "Try --params 0.334."),
        (left, {"keep": 0.9, "drop": 1}, "give one of --keep, --max-drop, --drop, --params, --flops, --speedup, "
         "--memory; found --keep and --drop."),
        (left, {"keep": 98}, "--keep 98 is no share above 0 and up to 1: 0.98 keeps 98 % of the score."),
        (left, {"keep": float("nan")}, "--keep nan is no share above 0 and up to 1: 0.98 keeps 98 % of the score."),
        (left, {"drop": 0}, "--drop 0 drops nothing; give 1 or more."),
        (left, {"params": 1.5}, "--params 1.5 is no share between 0 and 1: 0.7 keeps 70 % of the parameters."),
        (left, {"flops": 0.0}, "--flops 0 is no share between 0 and 1: 0.7 keeps 70 % of the FLOPs."),
        (left, {"speedup": 1.0}, "--speedup 1 is no factor above 1: 1.5 makes a pass 1.5 times as fast."),
        (left, {"max_drop": -1}, "--max-drop -1 is negative; it says how much worse the metric may get."),
        (left, {"method": "best"}, 'method="best" is not known; there are greedy, beam, span, mixed.'),
        (left, {"method": "beam", "beam": 0}, "beam=0 is how many sets of each size go on: 1 or more."),
    ],
)  # fmt: skip
def test_budgets_that_cannot_be_reached(metric: Any, how: dict[str, Any], says: str, counted: Any, data: Any) -> None:
    assert refusal(BudgetError, counted, data, metrics=metric, **how) == says


def test_the_nearest_budget_that_is_named_can_be_reached(net: Any, data: Any) -> None:
    """Whatever the metric gives, the number in the message works."""
    for metric in ("fidelity", "kl"):
        how = "max_drop" if metric == "kl" else "keep"
        says = refusal(BudgetError, net, data, metrics=metric, **{how: 1e-9 if how == "max_drop" else 1.0})
        word, value = says.split("Try ")[1].split(",")[0].split()
        pruned = ik.prune(net, data, metrics=metric, **{word.strip("-").replace("-", "_"): float(value)})
        assert len(pruned.plan) >= 1


def test_a_floor_holds_at_the_worse_end_of_the_interval(net: Any, data: Any) -> None:
    rows = ik.prune(net, data, metrics="loss", drop=1).scan
    best = min(rows, key=lambda row: row.edited)
    assert best.high is not None
    point, surely = best.effect, best.high
    assert len(ik.prune(net, data, metrics="loss", max_drop=max(0.0, surely) + 1e-6).plan) >= 1
    between = (max(point, 0.0) + surely) / 2
    says = refusal(BudgetError, net, data, metrics="loss", max_drop=between)
    assert " of loss at the worse end of its interval. Try --max-drop " in says


def test_keep_needs_a_score_above_zero(net: Any, data: Any) -> None:
    """kl of the full model to itself is 0: a share of it means nothing."""
    assert refusal(MetricError, net, data, metrics="kl", keep=0.98) == (
        "--keep needs a full score above zero, and kl is 0 for the full model. "
        "Use --max-drop X instead (how much kl may rise, absolute)."
    )
    assert len(ik.prune(net, data, metrics="kl", max_drop=100.0).plan) == 3


def test_the_last_layer_of_a_stack_stays(data: Any) -> None:
    """In each of two stacks; one layer in two slots goes from both and counts once; a ModuleDict is a stack too."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            twice = Block()
            self.one = nn.ModuleList([twice, Block(), twice])
            self.two = nn.ModuleDict({name: Block() for name in ("first", "second")})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in (*self.one, *self.two.values()):
                x = layer(x)
            return x

    model = weigh(Two())
    pruned = ik.prune(model, data, max_drop=float("inf"))
    gone = pruned.plan.places
    assert len([place for place in gone if place.startswith("one.")]) == 1
    assert len([place for place in gone if place.startswith("two.")]) == 1
    says = refusal(BudgetError, model, data, drop=3)
    assert says == "--drop 3 cannot be reached: 2 layers can go. Try --drop 2."


def test_a_stack_of_one(data: Any) -> None:
    class One(Net):
        def __init__(self) -> None:
            super().__init__()
            self.layers = self.layers[:1]

    for how in ({"drop": 1}, {"keep": 0.5}, {"params": 0.5}, {"max_drop": 9.0}):
        says = refusal(BudgetError, weigh(One()), data, **how)
        assert says == "nothing can be dropped: each stack keeps one layer. Name inner layers with --at (at=...)."


def test_branches_among_the_candidates(net: Any, data: Any) -> None:
    """A branch becomes zero, and its weights go with it; each stack still keeps one layer."""
    pruned = ik.prune(net, data, ["layers.[0,1]", "layers.[2,3].branch"], drop=3)
    ops = {edit.at: edit.op for edit in pruned.plan}
    assert set(ops.values()) <= {"identity", "zero"}
    assert all(op == ("zero" if at.endswith("branch") else "identity") for at, op in ops.items())
    assert "zero" in ops.values()
    own = sum(value.numel() for value in net.layers[0].parameters())
    full = sum(value.numel() for value in net.parameters())
    assert sum(value.numel() for value in pruned.model.parameters()) == full - 3 * own
    assert pruned.front.choice.parameters == full - 3 * own
    assert pruned.front.choice.plan == pruned.plan.to_json()
    with ik.apply(net, pruned.plan, inputs=data[0][0]):
        assert torch.allclose(pruned.model(data[0][0]), net(data[0][0]), atol=1e-6)


def test_a_layer_and_what_lies_in_it(net: Any, data: Any) -> None:
    """A block takes its branch with it: never measured as a second drop, never counted twice."""
    pruned = ik.prune(net, data, ["layers.*", "layers.*.branch"], drop=4)
    assert len(pruned.plan) == 4
    places = [row.places for row in pruned.scan]
    assert not any(f"{place}.branch" in row for row in places for place in row)


def test_a_budget_that_runs_out(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where arithmetic promised more than the search found, it says so; it never hands back less than was asked."""
    from identikit.pruning.search import Search

    monkeypatch.setattr(Search, "_check_reachable", lambda self: None)
    assert refusal(BudgetError, net, data, drop=7) == (
        "--drop 7 was not reached: after 3 no further layer can go. Try --drop 3."
    )
    says = refusal(BudgetError, net, data, params=0.1)
    assert says.startswith("--params 0.1 was not reached: after 3 layers no further one can go, and ")


def test_by_the_first_metric_and_all_are_on_the_curve(net: Any, data: Any) -> None:
    both = ik.prune(net, data, metrics=["loss", "accuracy"], drop=2)
    assert both.plan == ik.prune(net, data, metrics="loss", drop=2).plan
    assert set(both.front.choice.scores) == {"loss", "accuracy"}
    assert both.front.metric == "loss"


@pytest.mark.parametrize("method", ["greedy", "beam", "span"])
def test_every_engine_finds_the_same(method: str, net: Any, data: Any) -> None:
    how: dict[str, Any] = {"metrics": "loss", "drop": 3, "method": method, "beam": 2}
    found = {engine: ik.prune(net, data, engine=engine, **how) for engine in ("loop", "chain", "suffix")}
    costs = {engine: {row.key: row.effect for row in pruned.scan} for engine, pruned in found.items()}
    assert costs["chain"] == pytest.approx(costs["loop"], abs=1e-6)
    assert costs["suffix"] == costs["loop"]
    assert {engine: {row.engine for row in pruned.scan} for engine, pruned in found.items()} == {
        "loop": {"loop"}, "chain": {"chain"}, "suffix": {"suffix"}
    }  # fmt: skip
    with pytest.raises(MetricError, match='engine="fast" is not known'):
        ik.prune(net, data, drop=1, engine="fast")


def test_by_a_score(net: Any, data: Any) -> None:
    """A score leads, with data or without."""

    def without_two(model: Any) -> float:
        with torch.no_grad():
            rest = float(model.layers[2](torch.ones(1, WIDTH)).sum())
        return 1.0 if rest == WIDTH else 0.5

    for given in (data, None):
        pruned = ik.prune(net, given, score=without_two, drop=1, inputs=data[0][0])
        assert pruned.plan.places == ("layers.2",)
        assert pruned.front.metric == "without_two"


def test_resumed(net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prune cut short goes on where it was: nothing is measured twice, and the curve is that of an unbroken run."""
    prepare = Engine.prepare

    def by_suffix(self: Engine, *how: Any) -> None:
        self._asked = "suffix"  # it takes batch after batch
        prepare(self, *how)

    monkeypatch.setattr(Engine, "prepare", by_suffix)
    whole, file = ik.prune(net, data, drop=3), tmp_path / "prune.jsonl"
    done: list[tuple[tuple[str, ...], int]] = []
    own, most = Engine.outputs, 4 * 3 + 4  # all of the first round, and some of the second

    def counted(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for plan, place, output in own(self, group, plans, full=full):
            if plan is not None and len(done) == most:
                raise KeyboardInterrupt
            if plan is not None:
                done.append((plan.places, group[place][0]))
            yield plan, place, output

    monkeypatch.setattr(Engine, "outputs", counted)
    with pytest.raises(KeyboardInterrupt):
        ik.prune(net, data, drop=3, to=file)
    assert {places for places, _ in done[:12]} == {(f"layers.{number}",) for number in range(4)}
    assert len(ik.ScanResult.read(file)) == 4
    lines = [json.loads(line) for line in (tmp_path / "prune.jsonl.part").read_text().splitlines()[1:]]
    kept = len([line for line in lines if line["plan"]])
    done.clear()
    most = -1
    pruned = ik.prune(net, data, drop=3, to=file, resume=True)
    assert len(done) == len(set(done)) == 9 * 3 - 12 - kept
    assert pruned.plan == whole.plan
    assert [point.scores for point in pruned.front.points] == [point.scores for point in whole.front.points]
    assert len(ik.ScanResult.read(file)) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["prune.jsonl"]


def test_a_second_prune_of_a_pruned_model(net: Any, data: Any) -> None:
    """Its places are those of the model first loaded, in the rows, the sites, the curve and the reasons alike."""
    once = ik.prune(net, data, "layers.0", drop=1)
    twice = ik.prune(once.model, data, drop=1)
    history = carried(twice.model)
    assert history is not None
    assert set(history.plan.places) == {*once.plan.places, *twice.plan.places}
    assert not set(once.plan.places) & set(twice.plan.places)
    assert set(twice.front.header.sites) == set(LAYERS) - set(once.plan.places)
    (place,) = twice.plan.places
    assert twice.front.why[0].startswith(f'"{place}" went first')


def test_files_keep_to_their_schemas(net: Any, data: Any, tmp_path: Path) -> None:
    pruned = ik.prune(net, data, ["layers.[0:3]", "layers.3.branch"], metrics=["fidelity", "loss"], drop=2)
    pruned.front.write(tmp_path / "front.json")
    pruned.plan.write(tmp_path / "plan.json")
    pruned.scan.write(tmp_path / "scan.jsonl")
    for name in ("front", "plan"):
        schema = json.loads((files("identikit") / "schemas" / f"{name}.schema.json").read_text())
        jsonschema.validate(json.loads((tmp_path / f"{name}.json").read_text()), schema)
    assert Front.read(tmp_path / "front.json") == pruned.front
    assert Plan.read(tmp_path / "plan.json") == pruned.plan
    assert ik.ScanResult.read(tmp_path / "scan.jsonl") == pruned.scan


def test_another_point_of_the_curve(net: Any, data: Any) -> None:
    """Its plan is on the curve: no data, and no model is measured again."""
    pruned = ik.prune(net, data, drop=3)
    for dropped, point in enumerate(pruned.front.points):
        plan = pruned.front.plan(dropped)
        assert plan.places == point.places
        assert plan.fingerprint == pruned.plan.fingerprint
    smaller = ik.remove(copy.deepcopy(net), pruned.front.plan(1), inputs=data[0][0])
    with ik.bypass(net, pruned.front.points[1].places[0], inputs=data[0][0]):
        assert torch.equal(smaller(data[0][0]), net(data[0][0]))
    with pytest.raises(ResultError, match=r"^no point of this front has 4 layers dropped; there are 0, 1, 2, 3\.$"):
        pruned.front.plan(4)
    zeros = ik.prune(net, data, ["layers.*.branch"], drop=1)
    assert zeros.front.plan(1) == zeros.plan


def test_it_says_why(counted: Any, data: Any) -> None:
    front = ik.prune(counted, data, metrics=left, keep=0.5).front
    assert front.why == (
        '"layers.0" went first: of the layers left, its absence cost least.',
        '"layers.1" went second: of the layers left, its absence cost least.',
        'It stopped there because dropping "layers.2" as well would leave left at 0.25, below the goal.',
        "Nothing was held out, as 12 examples are too few: the scores are those by which the layers were chosen.",
    )
    assert front.choice.kept == pytest.approx(0.5)
    assert "reached" in ik.prune(counted, data, metrics=left, drop=1).front.why[-2]
    assert "each stack keeps one" in ik.prune(counted, data, metrics=left, keep=0.1).front.why[-2]
    front = ik.prune(counted, data, metrics=loss_of(0.01), keep=0.98, holdout=0).front
    assert front.why[-1] == "Nothing was held out: the scores are those by which the layers were chosen."
    assert front.why[-2].endswith("would bring cost to 1.03, above the goal.")
