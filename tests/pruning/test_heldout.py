"""Held-out examples: which they are, that the search does not see them, that the figures and the floor are theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import identikit as ik
from identikit.errors import BudgetError, DataError, MetricError, SaveError
from identikit.metrics import resolve
from identikit.pruning.heldout import Parts, drawn, split
from identikit.replaying.engine import Engine
from identikit.results import Front
from identikit.sources.objects import as_data
from small_net import WIDTH, by_hand

BY_WHICH = ": the scores are those by which the layers were chosen."


def numbered(count: int, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """So many examples in batches; each example's target is its number."""
    draw = torch.Generator().manual_seed(2)
    inputs = torch.randn(count, WIDTH, generator=draw)
    return list(zip(inputs.split(size), torch.arange(count).split(size), strict=True))


def labelled(count: int, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(inputs, numbers % 3) for inputs, numbers in numbered(count, size)]


def sides(parts: Parts) -> tuple[list[int], list[int]]:
    """The numbers of the examples on either side."""
    assert parts.search is not None
    assert parts.held is not None
    return tuple([int(one) for batch in side for one in batch.target] for side in (parts.search, parts.held))  # type: ignore[return-value]


@pytest.mark.parametrize("size", [2, 10, 90])  # 45 batches, 9, and one
def test_two_parts_that_are_the_whole(size: int) -> None:
    data = as_data(numbered(90, size))
    search, held = sides(split(data, 0.25, 0))
    assert sorted([*search, *held]) == list(range(90))
    assert 0.18 < len(held) / 90 < 0.30
    again = sides(split(as_data(numbered(90, size)), 0.25, 0))
    assert again == (search, held)
    assert sides(split(data, 0.25, 1)) != again


def test_whole_batches_where_there_are_enough_and_examples_where_not() -> None:
    parts = split(as_data(numbered(40, 4)), 0.25, 0)
    assert [batch.examples for batch in parts.held or ()] == [4, 4]
    assert [len(side or ()) for side in (parts.search, parts.held)] == [8, 2]
    parts = split(as_data(numbered(40, 10)), 0.25, 0)  # a single batch would be one stretch of the file
    assert [batch.examples for batch in parts.search or ()] == [8, 7, 7, 8]
    assert sum(batch.examples for batch in parts.held or ()) == 10


@pytest.mark.parametrize(("count", "share"), [(100, 0.25), (37, 0.1), (8, 0.5), (1000, 0.3)])
def test_they_are_spread_over_the_whole_file(count: int, share: float) -> None:
    """One from each stretch: no two are further apart than two stretches are long."""
    found = drawn(count, share, seed=3)
    assert found == sorted(set(found))
    assert len(found) == round(count * share)
    longest = 2 * -(-count // len(found))
    assert all(after - before <= longest for before, after in pairwise([0, *found, count]))
    assert any(drawn(count, share, seed) != found for seed in range(5))


def test_every_kind_of_data() -> None:
    """A list, a loader, one whose length only a reading tells, one that is cut off by a limit."""

    class Odd:
        def __iter__(self) -> Iterator[Any]:
            return iter(numbered(40, 4))

    raw = numbered(40, 4)
    table = TensorDataset(torch.cat([inputs for inputs, _ in raw]), torch.cat([targets for _, targets in raw]))
    kinds = [raw, DataLoader(table, batch_size=4), Odd()]
    found = [sides(split(as_data(kind), 0.25, 0)) for kind in kinds]
    assert found[0] == found[1] == found[2]
    found = [sides(split(as_data(kind, limit=30), 0.25, 0)) for kind in kinds]
    assert found[0] == found[1] == found[2]
    assert sorted(found[0][0] + found[0][1]) == list(range(30))


def test_a_loader_of_many_batches_is_not_read_for_it() -> None:
    read: list[int] = []

    class Table(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, number: int) -> Any:
            read.append(number)
            return torch.zeros(WIDTH), number

    parts = split(as_data(DataLoader(Table(), batch_size=1)), 0.25, 0)
    assert read == []
    assert len(parts.held or ()) == 16


@pytest.mark.parametrize(
    ("data", "share", "scored", "why"),
    [
        (numbered(12, 5), 0.25, False, ", as 12 examples are too few"),
        (numbered(1, 1), 0.25, False, ", as 1 example is too few"),
        (numbered(40, 4), 0.0, False, ""),
        (numbered(40, 4), 0.25, True, ", as a score reads no batches"),
        ([{"x": torch.ones(40, 3), "edges": torch.ones(2, 9)}], 0.25, False,
         ", as 1 batch is too few and it is not plain which rows belong to which example"),
        ([{"x": torch.ones(40, 3), "edges": torch.ones(2, 9)}] * 3, 0.25, False,
         ", as 3 batches are too few and it is not plain which rows belong to which example"),
        (numbered(40, 10), 0.95, False, ", as 40 examples are too few"),
    ],
)  # fmt: skip
def test_where_nothing_is_held_out_it_says_so(data: Any, share: float, scored: bool, why: str) -> None:
    read = as_data(data)
    parts = split(read, share, 0, scored=scored)
    assert parts == Parts(read, None, f"Nothing was held out{why}{BY_WHICH}")


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_that_is_none(share: float, net: Any) -> None:
    with pytest.raises(DataError) as error:
        ik.prune(net, numbered(40, 4), holdout=share)
    assert str(error.value) == (
        f"--holdout {share:g} is no share from 0 to below 1: 0.25 holds out a quarter, 0 nothing."
    )


class Middle(ik.Metric):
    """Of a whole set: no example has a score of its own, so its interval is a bootstrap."""

    name = "middle"

    def values(self, output: torch.Tensor, batch: Any, reference: Any) -> torch.Tensor:
        return output.sum(1)

    def aggregate(self, rows: Any) -> float:
        return float(np.median(rows))


@pytest.mark.parametrize("size", [4, 14])  # whole batches are held out, examples of three batches
def test_the_figures_are_those_of_the_held_out_examples(size: int, net: Any) -> None:
    """By hooks: what chose the layers is of the one part, what is reported of the other, whole-set metrics too."""
    data, metrics = labelled(40, size), {"loss": resolve("loss"), "middle": Middle(), "fidelity": resolve("fidelity")}
    parts = split(as_data(data), 0.25, 0)
    front = ik.prune(net, data, metrics=list(metrics.values()), drop=3).front
    assert front.chosen_on is not None
    assert front.header.data.examples == examples(parts.held)
    assert front.chosen_on.examples == examples(parts.search)
    for name in metrics:
        assert front.header.metrics[name].full == front.full.scores[name].full
    for point in front.points:
        for name in metrics:
            for score, part in ((point.scores[name], parts.held), (point.selection[name], parts.search)):
                rows = by_hand(net, list(part or ()), point.places, metrics[name])
                full, edited = (metrics[name].aggregate(each) for each in rows)
                assert (score.full, score.edited) == pytest.approx((full, edited), abs=1e-6)
                assert (score.low is None) == (point.dropped == 0)
    assert front.choice.kept == pytest.approx(2 - front.choice.scores["loss"].edited / front.choice.scores["loss"].full)
    assert not any("held out" in sentence for sentence in front.why)


def examples(data: Any) -> int:
    return sum(batch.examples for batch in data)


@pytest.mark.parametrize("engine", ["loop", "suffix", "chain"])
def test_the_search_does_not_see_them_and_they_are_read_once(
    engine: str, net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, tuple[str, ...]]] = []
    own = Engine.outputs

    def noted(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for plan, place, output in own(self, group, plans, full=full):
            numbers = [int(number) for number in group[place][1].target]
            seen.extend((number, plan.places if plan is not None else ()) for number in numbers)
            yield plan, place, output

    monkeypatch.setattr(Engine, "outputs", noted)
    data = numbered(40, 4)
    front = ik.prune(net, data, metrics=lambda output, batch: output.sum(1), max_drop=1e9, engine=engine).front
    search, held = sides(split(as_data(data), 0.25, 0))
    last = max(at for at, (number, _) in enumerate(seen) if number in search)
    after = seen[last + 1 :]
    assert {number for number, _ in after} == set(held)
    assert not any(number in held for number, _ in seen[: last + 1])
    assert len(after) == len(set(after)) == len(held) * len(front.points)


def dearer(held: float) -> Any:
    """A layer that goes costs a quarter on an even example, and `held` on an odd one."""

    def worth(output: torch.Tensor, batch: Any) -> torch.Tensor:
        gone = 4 - output[:, 0]
        return 1 - gone * torch.where(batch.target == 1, held, 0.25)

    return worth


def marked(count: int = 40, size: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches that know which side they fall on: 1 for the held-out examples."""
    held = sides(split(as_data(numbered(count, size)), 0.25, 0))[1]
    return [(inputs, torch.tensor([int(int(one) in held) for one in at])) for inputs, at in numbered(count, size)]


def test_a_floor_that_breaks_on_held_out_examples_takes_the_next_smaller_set(counted: Any) -> None:
    pruned = ik.prune(counted, marked(), metrics=dearer(0.4), keep=0.5)
    assert (pruned.front.chosen, len(pruned.plan), len(pruned.model.layers)) == (1, 1, 3)  # type: ignore[arg-type]
    assert [point.scores["worth"].edited for point in pruned.front.points] == pytest.approx([1, 0.6, 0.2, -0.2])
    assert [point.selection["worth"].edited for point in pruned.front.points] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert pruned.front.choice.kept == pytest.approx(0.6)
    assert pruned.front.why == (
        '"layers.0" went first: of the layers left, its absence cost least.',
        'It stopped there because on the 8 held-out examples dropping "layers.1" as well would leave worth at 0.2, '
        "below the goal.",
    )


def test_a_floor_holds_on_both_parts(counted: Any) -> None:
    """Cheaper on the held-out examples than on the others: what the search allows is taken, and no more."""
    front = ik.prune(counted, marked(), metrics=dearer(0.1), keep=0.5).front
    assert (front.chosen, front.choice.kept) == (2, pytest.approx(0.8))
    assert "on the" not in front.why[-1]
    drop = ik.prune(counted, marked(), metrics=dearer(0.9), drop=2).front
    assert (drop.chosen, drop.choice.scores["worth"].edited) == (2, pytest.approx(-0.8))


def test_a_floor_that_holds_for_none_names_the_nearest(counted: Any) -> None:
    for how, says, nearest in (
        ({"keep": 0.7}, "--keep 0.7 cannot be reached", {"keep": 0.199}),
        ({"max_drop": 0.3}, "--max-drop 0.3 cannot be reached", {"max_drop": 0.801}),
    ):
        with pytest.raises(BudgetError) as error:
            ik.prune(counted, marked(), metrics=dearer(0.8), **how)  # type: ignore[arg-type]
        assert str(error.value).startswith(
            f'{says} by dropping any layer of "layers.*"; the best single drop (layer 0) '
        )
        assert " on the 8 held-out examples. Try --" in str(error.value)
        ((name, value),) = nearest.items()
        assert f"Try --{name.replace('_', '-')} {value:g}, or heal after dropping." in str(error.value)
        assert len(ik.prune(counted, marked(), metrics=dearer(0.8), **nearest).plan) == 1  # type: ignore[arg-type]


def test_the_nearest_may_be_a_larger_set(counted: Any) -> None:
    """On the held-out examples two layers fewer are better than one."""

    def worth(output: torch.Tensor, batch: Any) -> torch.Tensor:
        gone = 4 - output[:, 0]
        held = torch.where(gone == 2, 0.6, 1 - 0.5 * (gone > 0))
        return torch.where(batch.target == 1, held, 1 - 0.1 * gone)

    with pytest.raises(BudgetError) as error:
        ik.prune(counted, marked(), metrics=worth, keep=0.7)
    assert "; the best drop of 2 layers keeps 0.6 on the 8 held-out examples. Try --keep 0.6, or" in str(error.value)
    assert len(ik.prune(counted, marked(), metrics=worth, keep=0.6).plan) == 2


def test_the_worse_end_of_the_held_out_interval(net: Any) -> None:
    """The floor is held as surely as the held-out examples can say."""
    data = labelled(48, 4)
    front = ik.prune(net, data, metrics="loss", drop=1).front
    score = front.choice.scores["loss"]
    assert score.high is not None
    other = front.choice.selection["loss"]
    assert other.high is not None
    surely, middle = max(score.high, other.high), max(score.effect, other.effect)
    assert len(ik.prune(net, data, metrics="loss", max_drop=max(surely, 0) + 1e-6).plan) >= 1
    with pytest.raises(BudgetError, match=r" at the worse end of its interval"):
        ik.prune(net, data, metrics="loss", max_drop=max(0.0, (surely + max(0.0, middle)) / 2))


def test_a_share_of_no_score(counted: Any) -> None:
    def worth(output: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.where(batch.target == 1, -1.0, output[:, 0] / 4)

    with pytest.raises(MetricError, match=r"^--keep needs .*, and worth on the 8 held-out examples is -1 for the full"):
        ik.prune(counted, marked(), metrics=worth, keep=0.5)
    front = ik.prune(counted, marked(), metrics=worth, drop=1).front
    assert front.choice.kept is None


def test_a_score_holds_out_nothing(net: Any) -> None:
    def last(model: Any) -> float:
        return float(len(model.layers))

    pruned = ik.prune(net, labelled(40, 4), score=last, drop=1)
    assert pruned.front.chosen_on is None
    assert pruned.front.header.data.examples == 40
    assert pruned.front.why[-1] == f"Nothing was held out, as a score reads no batches{BY_WHICH}"
    assert all(point.selection == {} for point in pruned.front.points)


def test_killed_and_resumed_among_the_held_out_examples(
    net: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is measured twice, and the front is that of an unbroken run."""
    data, file, held = labelled(40, 4), tmp_path / "prune.jsonl", tmp_path / "prune.held-out.jsonl"
    whole = ik.prune(net, data, drop=3, engine="loop", metrics=["fidelity", "loss"])
    own, done, most = Engine.outputs, list[tuple[Any, ...]](), [(4 + 3 + 2) * 8 + 4]

    def counted(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for plan, place, output in own(self, group, plans, full=full):
            if plan is not None and len(done) == most[0]:
                raise KeyboardInterrupt
            if plan is not None:
                done.append((plan.places, group[place][0]))
            yield plan, place, output

    monkeypatch.setattr(Engine, "outputs", counted)
    how: dict[str, Any] = {"drop": 3, "engine": "loop", "metrics": ["fidelity", "loss"], "to": file}
    with pytest.raises(KeyboardInterrupt):
        ik.prune(net, data, **how)
    assert len(ik.ScanResult.read(file)) == 2 * 9
    kept = [json.loads(line) for line in (tmp_path / "prune.held-out.jsonl.part").read_text().splitlines()[1:]]
    assert len([line for line in kept if line["plan"]]) == 4
    before, most[0] = list(done), -1
    done.clear()
    pruned = ik.prune(net, data, resume=True, **how)
    assert len(done) == 3 * 2 - 4
    assert not set(done) & set(before)
    assert [point.scores for point in pruned.front.points] == [point.scores for point in whole.front.points]
    assert [point.selection for point in pruned.front.points] == [point.selection for point in whole.front.points]
    assert pruned.plan == whole.plan
    assert sorted(path.name for path in tmp_path.iterdir()) == [held.name, file.name]
    rows = {row.key: row.edited for row in ik.ScanResult.read(held)}
    assert len(rows) == 2 * 3
    done.clear()
    again = ik.prune(net, data, resume=True, **how)
    assert done == []
    assert again.front.choice.scores == whole.front.choice.scores
    with pytest.raises(SaveError, match=r"prune\.jsonl exists"):
        ik.prune(net, data, **how)
    file.unlink()
    with pytest.raises(SaveError, match=r"prune\.held-out\.jsonl exists"):
        ik.prune(net, data, **how)
    assert not file.exists()


def test_the_front_s_file_keeps_both(net: Any, tmp_path: Path) -> None:
    front = ik.prune(net, labelled(40, 4), ["layers.*.branch"], metrics=["loss", "accuracy"], drop=2).front
    front.write(tmp_path / "front.json")
    assert Front.read(tmp_path / "front.json") == front
    value = json.loads((tmp_path / "front.json").read_text())
    jsonschema.validate(value, json.loads((files("identikit") / "schemas" / "front.schema.json").read_text()))
    assert value["version"] == 2
    assert (value["data"]["examples"], value["chosen_on"]["examples"]) == (8, 32)
    assert value["points"][1]["selection"]["loss"] != value["points"][1]["scores"]["loss"]
    assert value["chosen_on"]["fingerprint"] != value["data"]["fingerprint"]
