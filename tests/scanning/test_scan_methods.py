"""`scan(method=...)`: cheap rows beside the exact ones, how well they agree, and the file that holds both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import identikit as ik
import tiny
from identikit.confidence.effect import effect
from identikit.errors import DataError, MetricError, SaveError
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve
from identikit.results import ScanResult
from identikit.scanning.methods import cheap_scores, worth_exact
from scoring.cheap import plans
from zoo import case


def model_and_data(name: str = "bert") -> tuple[Any, list[Any]]:
    model = case(name).build()
    return model, [case(name).inputs(model)] * 3


@pytest.mark.parametrize("method", ["influence", "angular", "taylor"])
def test_a_cheap_score_is_a_metric_of_its_own(method: str) -> None:
    """A row for each layer, its interval from the examples; positive is missed more."""
    model, data = model_and_data()
    result = ik.scan(model, data, method=method, seed=4)
    anatomy = anatomy_of(model, data[0])
    scores = cheap_scores(anatomy, data, plans(anatomy), method, seed=4)
    assert list(result.header.metrics) == [method]
    info = result.header.metrics[method]
    assert (info.higher_is_better, info.full, info.interval) == (False, 0.0, "paired")
    assert [row.place for row in result] == list(scores)
    for row in result:
        values = scores[row.place]
        expected = effect(resolve("kl"), np.zeros(len(values)), values)
        assert (row.full, row.edited, row.low, row.high) == (0.0, expected.edited, expected.low, expected.high)
        assert (row.engine, row.examples, row.plan) == (method, 6, None)
        assert result.cost(row).value == row.effect
    assert result.agreement() is None
    assert result.best().place == min(scores, key=lambda name: float(np.mean(scores[name])))


def test_auto_scores_all_and_measures_the_likely_half() -> None:
    model, data = model_and_data("resnet")
    result = ik.scan(model, data, method="auto", costs=False)
    exact = ik.scan(model, data, costs=False)
    anatomy = anatomy_of(model, data[0])
    scores = cheap_scores(anatomy, data, plans(anatomy), "influence")
    half = worth_exact(scores)
    assert len(half) == 5
    assert list(result.header.metrics) == ["fidelity", "influence"]
    assert {row.place for row in result.of("influence")} == set(scores)
    assert {row.place for row in result.of("fidelity")} == set(half)
    for row in result.of("fidelity"):
        assert row.effect == exact.find(row.place).effect
    found = result.agreement()
    assert found is not None
    assert (found.cheap, found.exact, found.count, found.least) == ("influence", "fidelity", 5, 1)
    assert "influence agrees with fidelity: Spearman" in repr(result)
    everything = ik.scan(model, data, method="auto", least=5, costs=False)
    assert len(everything.of("fidelity")) == 9


def test_auto_where_a_layer_is_no_block() -> None:
    model, data = model_and_data("llama")
    places = ["model.layers.*.mlp", "model.layers.[1:3]"]
    result = ik.scan(model, data, places, method="auto", costs=False)
    assert list(result.header.metrics) == ["fidelity", "taylor"]
    assert len(result.of("taylor")) == 6
    assert len(result.of("fidelity")) == 3


def test_taylor_of_the_loss() -> None:
    """With the loss as the metric, its slope; else the change of the output."""
    model, data = model_and_data()
    labelled = [(dict(batch.kwargs), [0, 1]) for batch in data]
    unlabelled = ik.scan(model, labelled, method="taylor", costs=False)
    result = ik.scan(model, labelled, method="taylor", metrics="loss", costs=False)
    anatomy = anatomy_of(model, data[0])
    from identikit.sources.objects import as_data

    scores = cheap_scores(anatomy, as_data(labelled), plans(anatomy), "taylor", metrics=[resolve("loss")])
    assert [row.effect for row in result] == [pytest.approx(float(np.mean(values))) for values in scores.values()]
    assert [row.effect for row in result] != [row.effect for row in unlabelled]


def test_a_file_holds_both_and_is_gone_on_with(tmp_path: Path) -> None:
    model, data = model_and_data()
    file = tmp_path / "scan.jsonl"
    whole = ik.scan(model, data, method="auto", to=file, costs=False)
    assert ScanResult.read(file) == whole
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-2]))
    again = ik.scan(model, data, method="auto", to=file, resume=True, costs=False)
    key = [(row.key, row.effect, row.low, row.high) for row in whole]
    assert [(row.key, row.effect, row.low, row.high) for row in again] == key
    assert [(row.key, row.effect, row.low, row.high) for row in ScanResult.read(file)] == key


def test_a_file_that_is_there_is_refused_before_the_pass(tmp_path: Path) -> None:
    model, data = model_and_data()
    (tmp_path / "scan.jsonl").write_text("mine")
    passes: list[int] = []
    model.get_submodule("bert.embeddings").register_forward_hook(lambda *_: passes.append(1))
    with pytest.raises(SaveError, match=r"exists\. Go on with it by --resume"):
        ik.scan(model, data, method="influence", to=tmp_path / "scan.jsonl")
    assert len(passes) == 1  # the watched one


@pytest.mark.parametrize("method", ["influence", "angular", "taylor"])
def test_pairs_of_sentences(method: str, minilm_path: Any, tmp_path: Path) -> None:
    """A dictionary by position, two rows for an example: one score for each pair, the mean of its two sentences."""
    from identikit.sources import open_model, read_data

    opened = open_model(minilm_path)
    data = read_data(tiny.pairs(tmp_path / "pairs.csv"), opened, batch_size=4)
    result = ik.scan(opened.model, data, "0.model.encoder.layer.[0:2]", method=method, costs=False)
    assert {row.examples for row in result} == {6}
    if method == "influence":
        anatomy = anatomy_of(opened.model, next(iter(data)))
        made = plans(anatomy, ["0.model.encoder.layer.0"])
        alone = [replace(batch, examples=2 * batch.examples, target=None) for batch in data]
        by_sentence = cheap_scores(anatomy, alone, made, method)["0.model.encoder.layer.0"]
        by_pair = cheap_scores(anatomy, data, made, method)["0.model.encoder.layer.0"]
        assert np.allclose(by_pair, by_sentence.reshape(6, 2).mean(1))


def test_what_cannot_be_scored() -> None:
    model, data = model_and_data()
    with pytest.raises(MetricError, match=r'method="influenze" is not known; .*Did you mean "influence"'):
        ik.scan(model, data, method="influenze")
    with pytest.raises(DataError, match='method="influence" reads the layers on data'):
        ik.scan(model, method="influence", score=lambda model: 1.0, inputs=data[0])
    with pytest.raises(MetricError, match="no size in bytes"):
        ik.scan(model, data, batch_memory="much")
    with pytest.raises(MetricError, match="least=0"):
        ik.scan(model, data, least=0)


def test_a_cheap_score_beside_an_evaluator() -> None:
    """The evaluator measures the likely half; the rows of the score lead."""
    model, data = model_and_data()

    def evaluate(net: Any) -> float:
        return float(net(**data[0].kwargs).logits[0, 0])

    result = ik.scan(model, data, method="auto", score=evaluate, costs=False)
    assert list(result.header.metrics) == ["evaluate", "fidelity", "influence"]
    assert len(result.of("evaluate")) == 3
    found = result.agreement()
    assert found is not None
    assert found.exact == "evaluate"
