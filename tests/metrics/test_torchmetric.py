"""torchmetrics metrics: equal to calling them directly, whatever the batches; what cannot be taken is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torchmetrics import classification, regression

from identikit.batches import Batch
from identikit.confidence.effect import effect
from identikit.errors import MetricError
from identikit.metrics import TorchMetric, resolve, rows_of


def by_batches(spec: Any, output: torch.Tensor, target: torch.Tensor, *, size: int = 3) -> float:
    metric, parts = resolve(spec), []
    for some, true in zip(output.split(size), target.split(size), strict=True):
        batch = Batch(target=true, examples=len(true))
        parts.append(rows_of(metric, some, batch, metric.reference(some, batch)))
    return metric.aggregate(np.concatenate(parts))


CASES = {
    "F1": (torchmetrics.F1Score(task="multiclass", num_classes=4, average="macro"), (20, 4), (20,), 4),
    "F1 by name": ("torchmetrics:F1Score(task='multiclass', num_classes=4)", (20, 4), (20,), 4),
    "area under the curve": (classification.MulticlassAUROC(num_classes=4), (40, 4), (40,), 4),
    "yes or no": (classification.BinaryAUROC(), (20, 1), (20,), 2),
    "several labels": (torchmetrics.F1Score(task="multilabel", num_labels=4), (20, 4), (20, 4), 2),
    "regression": ("torchmetrics:PearsonCorrCoef(higher_is_better=True)", (20, 1), (20,), None),
    "regression class": (regression.MeanAbsoluteError, (20,), (20,), None),
    "regression of two": (regression.MeanSquaredError(), (20, 2), (20, 2), None),
}


@pytest.mark.parametrize("name", CASES)
def test_it_equals_torchmetrics(name: str) -> None:
    spec, shape, target_shape, classes = CASES[name]
    output = torch.randn(shape)
    target = torch.randn(target_shape) if classes is None else torch.randint(0, classes, target_shape)
    direct = resolve(spec).metric  # type: ignore[attr-defined]
    expected = direct(output.squeeze(1) if output.ndim == 2 and output.shape[1] == 1 else output, target)
    assert by_batches(spec, output, target) == pytest.approx(float(expected), abs=1e-6)


def test_two_logits_of_yes_and_no_are_their_difference() -> None:
    output, target = torch.randn(30, 2), torch.randint(0, 2, (30,))
    expected = classification.BinaryAUROC()(output.softmax(1)[:, 1], target)
    assert by_batches(classification.BinaryAUROC(), output, target) == pytest.approx(float(expected), abs=1e-6)


def test_a_pair_of_sentences_predicts_its_cosine() -> None:
    vectors, target = torch.randn(20, 6), torch.rand(10)
    batch, metric = Batch(target=target, examples=10), resolve("torchmetrics:PearsonCorrCoef(higher_is_better=True)")
    rows = rows_of(metric, {"sentence_embedding": vectors}, batch, None)
    expected = regression.PearsonCorrCoef()(torch.cosine_similarity(vectors[0::2], vectors[1::2]), target)
    assert metric.aggregate(rows) == pytest.approx(float(expected), abs=1e-5)


def test_the_users_metric_is_left_as_it_was() -> None:
    own = torchmetrics.MeanSquaredError()
    own.update(torch.ones(3), torch.zeros(3))
    by_batches(own, torch.randn(4), torch.randn(4))
    assert float(own.compute()) == 1.0


def test_the_interval_is_a_bootstrap() -> None:
    metric = resolve(classification.MulticlassF1Score(num_classes=3))
    target = torch.randint(0, 3, (60,))
    sharp, blunt = torch.nn.functional.one_hot(target, 3) + torch.randn(60, 3) / 2, torch.randn(60, 3)
    batch = Batch(target=target, examples=60)
    found = effect(metric, *(rows_of(metric, output, batch, None) for output in (sharp, blunt)))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect < found.high < 0


class Undecided(torchmetrics.MeanSquaredError):
    higher_is_better = None


def test_a_direction_must_be_known() -> None:
    with pytest.raises(MetricError) as caught:
        resolve(Undecided)
    assert str(caught.value) == (
        "Undecided does not say whether higher is better. Say it: identikit.metrics.TorchMetric(Undecided(...), "
        'higher_is_better=True), or "torchmetrics:Undecided(higher_is_better=True)".'
    )
    assert not resolve(TorchMetric(Undecided(), higher_is_better=False)).higher_is_better
    assert resolve("torchmetrics:PearsonCorrCoef(higher_is_better=True)").higher_is_better
    assert not resolve(torchmetrics.MeanSquaredError).higher_is_better


REFUSED = {
    "tokens": (
        classification.MulticlassAccuracy(num_classes=4),
        torch.randn(2, 5, 4),
        torch.zeros(2, 5, dtype=torch.long),
        'metric "MulticlassAccuracy" takes one prediction per example; found an output of 2x5x4 and a target of 2x5. '
        "Write it yourself: file.py:function.",
    ),
    "shapes": (
        torchmetrics.MeanSquaredError(),
        torch.randn(2, 3),
        torch.randn(2),
        'metric "MeanSquaredError" does not fit a target of 2 with an output of 2x3. Write it yourself: '
        "file.py:function.",
    ),
    "several numbers": (
        classification.MulticlassAccuracy(num_classes=2, average=None),
        torch.randn(2, 2),
        torch.tensor([0, 1]),
        'metric "MulticlassAccuracy" gives several numbers; choose how to average them (average="macro").',
    ),
    "too few classes": (
        classification.MulticlassAccuracy(num_classes=2),
        torch.randn(2, 3),
        torch.tensor([0, 1]),
        'metric "MulticlassAccuracy" cannot take these predictions and targets (',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    spec, output, target, message = REFUSED[name]
    with pytest.raises(MetricError) as caught:
        by_batches(spec, output, target)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


NAMES = {
    "torchmetrics:F1Scor": 'torchmetrics has no metric "F1Scor". Did you mean "F1Score"?',
    "torchmetrics:MulticlassF1Score": 'the metric "torchmetrics:MulticlassF1Score" needs other arguments (',
    "torchmetrics:F1Score(__import__('os'))": (
        'cannot read "torchmetrics:F1Score(__import__(\'os\'))". Write "torchmetrics:Name" or '
        '"torchmetrics:Name(argument=value)", with plain values.'
    ),
    "torchmetrics:F1Score(task=open('x'))": 'cannot read "torchmetrics:F1Score(task=open(',
    "torchmetrics:": 'cannot read "torchmetrics:". ',
    "torchmetrics:MetricCollection": 'torchmetrics has no metric "MetricCollection".',
}


@pytest.mark.parametrize("spec", NAMES)
def test_names(spec: str) -> None:
    with pytest.raises(MetricError) as caught:
        resolve(spec)
    assert str(caught.value).startswith(NAMES[spec])


def test_it_is_not_imported_unless_named() -> None:
    use = "import sys, identikit.metrics as m; m.resolve_all(['fidelity', 'loss', lambda o, b: o])"
    code = f"{use}; print('torchmetrics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
