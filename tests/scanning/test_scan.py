"""`scan`: the rows of a plain loop by hand; the model is left as it was; what cannot be compared is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import identikit as ik
from identikit.batches import Batch
from identikit.confidence.effect import effect
from identikit.crews import worker as workers
from identikit.errors import DataError, IdentikitError, MetricError, NotReachedError, PlaceError, PlanError, RoleError
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve
from identikit.progress import board
from identikit.replaying.engine import Engine
from identikit.scanning.part import Part
from identikit.scanning.sweep import Sweep
from identikit.sources.objects import as_data
from identikit.surgery.choose import plan_for
from laws.snapshot import Snapshot
from small_net import WIDTH, Block, Net, by_hand
from zoo import ZOO, Case, weigh

CHAINS = [case for case in ZOO if case.name in ("llama", "gpt2", "bert", "vit", "qwen3", "mixtral", "bloom", "bart")]


def rows(result: ik.ScanResult) -> list[tuple[Any, ...]]:
    """The rows without the time they took."""
    return [(r.places, r.metric, r.full, r.edited, r.effect, r.low, r.high, r.examples) for r in result]


@pytest.mark.parametrize("engine", ["loop", "suffix", "chain"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHAINS])
def test_rows_are_those_of_a_hook_by_hand(case: Case, engine: str) -> None:
    """Bit for bit, example by example, and the interval is the paired one of those rows.

    The chain to 1e-6: products of stacked rows may be summed in another order (mixtures of experts are).
    """
    near = 1e-6 if engine == "chain" else 0.0
    model = case.build()
    batches = [case.inputs(model), _other(case.inputs(model))]
    place = case.blocks()[1]
    full, edited = by_hand(model, batches, [place], "fidelity")
    anatomy = anatomy_of(model, batches[0])
    sweep = Sweep(as_data(batches), [resolve("fidelity")], Engine(anatomy, [place], asked=engine), 0)
    sweep.likely = [plan_for(anatomy, [place])]
    with board(False).__enter__().bar("scan") as bar:
        found = sweep.run({place: sweep.likely[0]}, bar, part=Part(None, {}))[place]
    assert found[0]["fidelity"] == pytest.approx(full, rel=near, abs=near)
    assert found[1]["fidelity"] == pytest.approx(edited, rel=near, abs=near)
    assert not np.array_equal(full, edited)

    (row,) = ik.scan(model, batches, place, engine=engine).rows
    expected = effect(resolve("fidelity"), full, edited)
    numbers = (expected.full, expected.edited, expected.effect, expected.low, expected.high, expected.error)
    said = (row.full, row.edited, row.effect, row.low, row.high, row.error)
    assert said == pytest.approx(numbers, rel=10 * near, abs=10 * near)
    assert row.examples == 4


def _other(batch: Batch) -> Batch:
    """The same batch with its rows turned round."""
    from dataclasses import replace

    from identikit.batches import map_tensors

    args, kwargs = map_tensors((batch.args, batch.kwargs), lambda value: value.flip(0))
    return replace(batch, args=args, kwargs=kwargs)


@pytest.mark.parametrize("engine", ["loop", "suffix", "chain"])
def test_every_block_with_its_facts(engine: str, net: Any, data: Any) -> None:
    result = ik.scan(net, data, metrics=["accuracy", "loss"], engine=engine, name="my net", command="identikit scan")
    assert [row.places for row in result.of("loss")] == [(f"layers.{number}",) for number in range(4)]
    header = result.header
    assert (header.model, header.name, header.command) == ("Net", "my net", "identikit scan")
    assert (header.data.examples, header.seed, header.dtype, header.device) == (12, 0, "float32", "cpu")
    assert header.total_parameters == sum(value.numel() for value in net.parameters())
    site = header.sites["layers.2"]
    assert (site.kind, site.role, site.parameters, site.verdict) == ("Block", "block", WIDTH * WIDTH + WIDTH, "ok")
    assert 0 < sum(one.share or 0 for one in header.sites.values()) <= 1
    assert header.metrics["accuracy"].higher_is_better
    assert not header.metrics["loss"].higher_is_better
    for metric in ("accuracy", "loss"):
        for row in result.of(metric):
            full, edited = by_hand(net, data, row.places, metric)
            expected = effect(resolve(metric), full, edited)
            numbers = (expected.full, expected.edited, expected.low, expected.high)
            if engine == "chain":  # the sums in a matrix product of six columns come in another order with more rows
                numbers = pytest.approx(numbers, rel=1e-6)  # type: ignore[assignment]
            assert (row.full, row.edited, row.low, row.high) == numbers
            assert row.engine == engine
            assert row.low is not None
            assert row.low <= row.effect <= row.high  # type: ignore[operator]


def test_the_model_is_left_as_it_was(net: Any, data: Any) -> None:
    """In train mode with dropout, with gradients: mode, weights, attributes, random state; and dropout never acts."""
    net.train()
    net.head.eval()
    net(data[0][0]).sum().backward()
    before, state = Snapshot(net), torch.get_rng_state()
    training = [module.training for module in net.modules()]
    first = ik.scan(net, data)
    assert before.changes(net) == []
    assert [module.training for module in net.modules()] == training
    assert torch.equal(torch.get_rng_state(), state)
    assert rows(first) == rows(ik.scan(net.eval(), data))


def test_random_numbers_are_the_same_under_every_plan(data: Any) -> None:
    """A model that draws in its forward: rows repeat, and a layer that does nothing costs exactly nothing."""

    class Noisy(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(x) + torch.randn(3)

    net: Any = weigh(Noisy())
    nn.init.zeros_(net.layers[2].branch[0].weight)
    nn.init.zeros_(net.layers[2].branch[0].bias)
    result = ik.scan(net, data, seed=3)
    assert rows(result) == rows(ik.scan(net, data, seed=3))
    assert result.find("layers.2").effect == 0  # type: ignore[union-attr]
    assert rows(result) != rows(ik.scan(net, data, seed=4))


def test_references_that_are_not_kept(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the memory limit the full model's outputs are computed again for every plan: the same rows."""
    kept = ik.scan(net, data, metrics=["fidelity", "kl", "accuracy"])
    for limit in (0, 70):  # none; the first batch alone
        monkeypatch.setattr(workers, "_KEPT", limit)
        assert rows(ik.scan(net, data, metrics=["fidelity", "kl", "accuracy"])) == rows(kept)


def test_a_model_that_writes_into_the_stream(data: Any) -> None:
    """With its first layer gone `x += 1` would write into the batch, in the second batch too."""

    class InPlace(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            for layer in self.layers:
                x = layer(x)
                x += 1.0
            return self.head(x)

    net = weigh(InPlace())
    copies = [(inputs.clone(), labels.clone()) for inputs, labels in data]
    for row in ik.scan(net, data):
        _, edited = by_hand(net, copies, row.places, "fidelity")
        assert row.edited == np.mean(edited)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(data, copies, strict=True))


def test_a_model_that_writes_into_its_inputs() -> None:
    """The batches are the user's own, and not kept as copies: they stay as they are, from reading to reading."""

    class Writes(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            x *= 2.0
            return super().forward(x)

    class Mine:
        batches = (torch.ones(2, WIDTH), torch.arange(2.0 * WIDTH).reshape(2, WIDTH))

        def __iter__(self) -> Any:
            return iter(self.batches)

    before = [batch.clone() for batch in Mine.batches]
    assert len(ik.scan(weigh(Writes()), Mine())) == 4
    assert all(torch.equal(a, b) for a, b in zip(Mine.batches, before, strict=True))


def _loader(x: torch.Tensor, y: torch.Tensor) -> Any:
    return DataLoader(TensorDataset(x, y), batch_size=5)


KINDS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "pairs": lambda x, y: list(zip(x.split(5), y.split(5), strict=True)),
    "tensors": lambda x, y: list(x.split(5)),
    "dicts": lambda x, y: [{"x": a, "labels": b} for a, b in zip(x.split(5), y.split(5), strict=True)],
    "positional": lambda x, y: [((a,), b) for a, b in zip(x.split(5), y.split(5), strict=True)],
    "a loader": _loader,
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_every_kind(kind: str, net: Any, data: Any) -> None:
    x, y = torch.cat([pair[0] for pair in data]), torch.cat([pair[1] for pair in data])
    metric = "fidelity" if kind == "tensors" else "accuracy"
    found = [row[3:] for row in rows(ik.scan(net, KINDS[kind](x, y), metrics=metric))]
    assert found == [row[3:] for row in rows(ik.scan(net, data, metrics=metric))]


def test_a_dataset_with_a_batch_size_and_a_limit(net: Any, data: Any) -> None:
    x, y = torch.cat([pair[0] for pair in data]), torch.cat([pair[1] for pair in data])
    result = ik.scan(net, TensorDataset(x, y), metrics="accuracy", batch_size=4, limit=7)
    assert {row.examples for row in result} == {7}
    assert result.header.data.examples == 7


@pytest.mark.parametrize(
    ("at", "places"),
    [
        ("layers.2", ["layers.2"]),
        ("layers.[1:3]", ["layers.1", "layers.2"]),
        (["layers.3", "layers.[0,3]"], ["layers.0", "layers.3"]),
        ("layers.*.branch", [f"layers.{number}.branch" for number in range(4)]),
        (None, [f"layers.{number}" for number in range(4)]),
    ],
)
def test_where(at: Any, places: list[str], net: Any, data: Any) -> None:
    assert [row.place for row in ik.scan(net, data, at)] == places


def test_a_branch_becomes_zero(net: Any, data: Any) -> None:
    """Which is the whole block gone here; its row says so in a plan of its own."""
    result = ik.scan(net, data, ["layers.1", "layers.1.branch"])
    block, branch = result.rows
    assert block.plan is None
    assert branch.plan is not None
    assert branch.plan["edits"] == [{"op": "zero", "at": "layers.1.branch", "options": {}}]
    assert branch.edited == pytest.approx(block.edited, abs=1e-9)


def test_places_of_an_edited_model_are_those_of_the_first(net: Any, data: Any) -> None:
    """As every file says them: the rows and the sites alike."""
    ik.remove(net, "layers.1", inputs=data[0][0])
    result = ik.scan(net, data)
    assert [row.place for row in result] == list(result.header.sites) == ["layers.0", "layers.2", "layers.3"]


class Hit(ik.Metric):
    """A user's own metric: two columns, an aggregate of its own."""

    name = "hit"
    higher_is_better = False

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        return torch.stack([output.argmax(1) != batch.target, torch.ones(batch.examples)], 1).float()

    def aggregate(self, rows: Any) -> float:
        return float(rows[:, 0].sum() / rows[:, 1].sum())


def agreement(output: Any, batch: Batch, reference: Any) -> torch.Tensor:
    return (output - reference).abs().sum(1)


def test_metrics_of_the_user(net: Any, data: Any) -> None:
    result = ik.scan(net, data, metrics=[Hit, agreement, "accuracy"])
    assert list(result.header.metrics) == ["hit", "agreement", "accuracy"]
    assert result.header.metrics["hit"].interval == "bootstrap"
    for row in result.of("hit"):
        accuracy = result.find(*row.places, metric="accuracy")
        assert accuracy is not None
        assert row.edited == pytest.approx(1 - accuracy.edited)
        assert row.low is not None


def test_a_score_of_the_whole_model(net: Any, data: Any) -> None:
    """It leads, has no error bar, says so; the model is in eval mode while it runs, and as before afterwards."""
    seen: list[bool] = []

    def evaluate(model: nn.Module) -> float:
        seen.append(model.training)
        model.train()
        with torch.no_grad():
            return float(model.eval()(data[0][0]).sum())

    net.train()
    before = Snapshot(net)
    result = ik.scan(net, data, score=evaluate)
    assert seen == [False] * 5
    assert before.changes(net) == []
    assert list(result.header.metrics) == ["evaluate", "fidelity"]
    (note,) = result.header.notes
    assert note.startswith("evaluate scores a whole model: no error bar. Its code: ")
    for row in result.of("evaluate"):
        assert (row.low, row.high, row.examples, row.engine) == (None, None, 0, "score")
        with ik.bypass(net, *row.places, inputs=data[0][0]):
            assert row.edited == evaluate(net)
    alone = ik.scan(net, score=evaluate, inputs=data[0][0])
    assert [row.edited for row in alone] == [row.edited for row in result.of("evaluate")]


def test_one_example_has_no_interval(net: Any) -> None:
    result = ik.scan(net, [torch.ones(1, WIDTH)])
    assert {(row.low, row.high) for row in result} == {(None, None)}
    assert result.header.metrics["fidelity"].interval == "none"


def test_a_pair_is_one_example(minilm_path: Any, tmp_path: Any) -> None:
    import tiny
    from identikit.sources import open_model, read_data

    opened = open_model(minilm_path)
    data = read_data(tiny.pairs(tmp_path / "pairs.csv"), opened, batch_size=4)
    result = ik.scan(opened.model, data, "0.model.encoder.layer.[0:2]", metrics=["spearman", "fidelity"])
    assert {row.examples for row in result} == {6}
    assert result.header.data.examples == 6
    assert result.header.metrics["fidelity"].interval == "paired"
    assert result.header.metrics["spearman"].interval == "bootstrap"


def refusal(kind: type[IdentikitError], model: nn.Module, *args: Any, **how: Any) -> str:
    """The refusal, in one line; the model is as it was."""
    before = Snapshot(model)
    with pytest.raises(kind) as error:
        ik.scan(model, *args, **how)
    assert before.changes(model) == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_scores_that_are_no_numbers(net: Any, data: Any) -> None:
    """Never a score: in the full model, and under an edit, naming the layer."""

    def nan_without_the_second(output: torch.Tensor, batch: Batch, reference: Any) -> torch.Tensor:
        rows = (output - reference).abs().sum(1)
        return torch.where(rows > 0, torch.tensor(float("nan")), rows)

    says = refusal(MetricError, net, data, "layers.[1,2]", nan_without_the_second)
    assert says.startswith('without layers.1: metric "nan_without_the_second" is NaN for example 0 of a batch')
    net.head.bias.data[0] = float("inf")
    assert 'metric "loss" is NaN' in refusal(MetricError, net, data, metrics="loss")


def test_another_number_of_rows(net: Any, data: Any) -> None:
    def short(output: torch.Tensor, batch: Batch) -> torch.Tensor:
        return output[1:, 0]

    says = refusal(MetricError, net, data, metrics=short)
    assert says == 'metric "short" gave 4 rows for 5 examples; return one row per example.'


def test_a_generator(net: Any) -> None:
    says = refusal(DataError, net, (torch.ones(2, WIDTH) for _ in range(2)))
    assert says.startswith("data is a generator, which can be gone through only once")


def test_a_loader_that_shuffles(net: Any) -> None:
    loader = DataLoader(TensorDataset(torch.randn(40, WIDTH)), batch_size=5, shuffle=True)
    says = refusal(DataError, net, loader)
    assert "it shuffles or draws at random. Use DataLoader(..., shuffle=False), or list(loader)" in says


def test_nothing_to_measure_on(net: Any) -> None:
    assert refusal(DataError, net) == "nothing to measure on. Give data, or score=function that takes the whole model."
    assert "data is empty" in refusal(DataError, net, [])


def test_wrong_words(net: Any, data: Any) -> None:
    assert 'no metric "acuracy". Did you mean "accuracy"?' in refusal(MetricError, net, data, metrics="acuracy")
    says = refusal(MetricError, net, data, method="tailor")
    assert says.startswith('method="tailor" is not known; there is "exact", "influence", ')
    says = refusal(MetricError, net, data, engine="chains")
    assert says == 'engine="chains" is not known; there are auto, suffix, chain, loop.'
    assert "confidence=95 is no share" in refusal(MetricError, net, data, confidence=95)
    assert 'no layer "layer.1" in Net. Did you mean "layers.1"?' in refusal(PlaceError, net, data, "layer.1")
    assert "at=[] names no layer" in refusal(PlaceError, net, data, [])
    assert 'metric "loss" is given twice' in refusal(MetricError, net, data, metrics=["loss", "loss"])


def test_a_score_with_the_name_of_a_metric(net: Any, data: Any) -> None:
    def fidelity(model: nn.Module) -> float:
        return 1.0

    assert 'are both called "fidelity"' in refusal(MetricError, net, data, score=fidelity)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), 'score "evaluate" gave nan; it cannot be compared.'),
        ("good", 'score "evaluate" gave str, not a number.'),
        (None, 'score "evaluate" gave NoneType, not a number.'),
        (KeyError("mAP"), "score \"evaluate\" failed: KeyError: 'mAP'"),
    ],
)
def test_a_score_that_is_none(value: Any, says: str, net: Any, data: Any) -> None:
    def evaluate(model: nn.Module) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    assert refusal(MetricError, net, data, score=evaluate) == says


def test_under_a_live_edit(net: Any, data: Any) -> None:
    with ik.bypass(net, "layers.1", inputs=data[0][0]):
        assert "an edit is still applied to this model" in refusal(PlanError, net, data)


def test_a_model_without_blocks(data: Any) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 3))
    assert "no stack of whole blocks was found in Sequential. Name the layers" in refusal(RoleError, model, data)


def test_a_layer_that_never_runs(data: Any) -> None:
    class Early(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.head(self.layers[1](self.layers[0](x)))

    assert '"layers.3"' in refusal(NotReachedError, weigh(Early()), data, "layers.3")


def test_an_error_in_the_middle_leaves_the_model(net: Any, data: Any) -> None:
    """The model's own error, in the second batch of the second layer's turn."""
    calls: list[int] = []

    class FuseError(Exception):
        pass

    def metric(output: torch.Tensor, batch: Batch) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 3 + 3 + 1:
            raise FuseError
        return output.sum(1)

    before = Snapshot(net)
    with pytest.raises(FuseError):
        ik.scan(net, data, metrics=metric)
    assert before.changes(net) == []
    assert isinstance(net.layers[0], Block)
