"""loss and perplexity: what the model's own loss is, on whichever task; and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from identikit.batches import Batch, as_batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


BERT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def llama() -> torch.nn.Module:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=2, **sizes)).eval()


def t5() -> torch.nn.Module:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return T5ForConditionalGeneration(T5Config(vocab_size=50, decoder_start_token_id=0, **sizes)).eval()


def text(*, masked: bool = False) -> dict[str, torch.Tensor]:
    """Token ids with padding, and labels: the next tokens, or every third token."""
    ids = torch.randint(3, 50, (4, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    if masked:
        chosen = torch.arange(9) % 3 == 1
        labels = labels.masked_fill(~chosen, -100)
        ids = ids.masked_fill(chosen, 2)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def run(spec: str, output: Any, batch: Batch) -> tuple[float, str]:
    """The aggregate, and the task it was taken for."""
    metric = resolve(spec)
    reference = metric.reference(output, batch)
    return metric.aggregate(rows_of(metric, output, batch, reference)), reference


MODELS = {
    "causal": (llama, lambda: text(), "causal"),
    "masked": (lambda: BertForMaskedLM(BertConfig(**BERT)).eval(), lambda: text(masked=True), "tokens"),
    "sequence to sequence": (t5, lambda: text(), "tokens"),
    "token classes": (
        lambda: BertForTokenClassification(BertConfig(**BERT, num_labels=50)).eval(),
        lambda: text(masked=True),
        "tokens",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_models_own_loss(name: str) -> None:
    build, inputs, task = MODELS[name]
    batch = as_batch(inputs())
    output = batch.call(build())
    assert run("loss", output, batch) == (pytest.approx(float(output.loss), rel=1e-5), task)
    assert run("perplexity", output, batch) == (pytest.approx(math.exp(output.loss), rel=1e-5), task)


@pytest.mark.parametrize(
    ("problem", "labels", "target", "task"),
    [
        ("single_label_classification", 5, torch.tensor([0, 4, 2]), "classes"),
        ("regression", 1, torch.tensor([0.5, -1.0, 3.0]), "squared"),
        ("regression", 1, torch.tensor([[0.5], [0.1], [1.0]]), "squared"),
        ("regression", 2, torch.rand(3, 2), "squared"),
        ("multi_label_classification", 2, torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]), "binary"),
    ],
)
def test_the_own_loss_tells_tasks_of_one_shape_apart(
    problem: str, labels: int, target: torch.Tensor, task: str
) -> None:
    model = BertForSequenceClassification(BertConfig(**BERT, num_labels=labels, problem_type=problem)).eval()
    batch = as_batch({"input_ids": torch.randint(0, 50, (3, 6)), "labels": target})
    output = batch.call(model)
    assert run("loss", output, batch) == (pytest.approx(float(output.loss), rel=1e-5), task)


def test_half_precision_is_recognised() -> None:
    batch = as_batch(text())
    output = batch.call(llama().to(torch.bfloat16))
    assert run("loss", output, batch) == (pytest.approx(float(output.loss), rel=1e-2), "causal")


def test_batches_are_added_as_tokens_not_as_means() -> None:
    model, metric = llama(), resolve("perplexity")
    both = text()
    rows = []
    for part in (slice(0, 2), slice(2, 4)):
        batch = as_batch({key: value[part] for key, value in both.items()})
        output = batch.call(model)
        rows.append(rows_of(metric, output, batch, metric.reference(output, batch)))
    whole = float(as_batch(both).call(model).loss.detach())
    assert metric.aggregate(np.concatenate(rows)) == pytest.approx(math.exp(whole), rel=1e-5)


def test_the_edited_model_is_judged_on_the_task_of_the_full_one() -> None:
    batch = as_batch(text())
    metric, output = resolve("loss"), batch.call(llama())
    reference = metric.reference(output, batch)
    output.loss = torch.tensor(torch.nan)
    output.logits = torch.full_like(output.logits, torch.nan)
    with pytest.raises(MetricError, match=r'^metric "loss" is NaN for example 0 of a batch \(4 of 4 examples\)'):
        rows_of(metric, output, batch, reference)


def test_a_loss_that_is_no_reading_of_the_logits_is_refused() -> None:
    batch = as_batch(text())
    output = batch.call(llama())
    output.loss = output.loss + 1
    losses = {spec: run(f"loss:{spec}", output, batch)[0] for spec in ("causal", "tokens")}
    with pytest.raises(MetricError) as caught:
        run("loss", output, batch)
    assert str(caught.value) == (
        f'metric "loss" is not the loss this model computes: its own is {float(output.loss):.4f}, from logits and '
        f"target it would be {losses['causal']:.4f} (causal), {losses['tokens']:.4f} (tokens). "
        'Say which you mean: "loss:causal" or "loss:tokens"; or write it yourself: file.py:function.'
    )


def test_without_a_loss_a_target_equal_to_the_inputs_means_the_next_token() -> None:
    inputs = text()
    labels = inputs.pop("labels")
    output = llama()(**inputs)
    shifted = F.cross_entropy(output.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert run("loss", output, Batch(kwargs=inputs, target=labels, examples=4)) == (
        pytest.approx(float(shifted), rel=1e-5),
        "causal",
    )
    ahead = torch.cat([labels[:, 1:], torch.full((4, 1), -100)], dim=1)
    assert run("loss", output.logits, Batch(args=(inputs["input_ids"],), target=ahead, examples=4)) == (
        pytest.approx(float(shifted), rel=1e-5),
        "tokens",
    )


def test_a_plain_classifier() -> None:
    logits, target = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, -100, 1])
    value, task = run("loss", logits, Batch(target=target, examples=6))
    assert (value, task) == (pytest.approx(float(F.cross_entropy(logits, target)), rel=1e-6), "classes")
    assert run("loss", logits, Batch(target=target.tolist(), examples=6))[0] == value
    assert run("loss", (logits, torch.randn(2)), Batch(target=target[:, None], examples=6))[0] == value


def test_pixels_and_torchs_order_of_dimensions() -> None:
    logits, target = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    expected = pytest.approx(float(F.cross_entropy(logits, target)), rel=1e-6)
    assert run("loss", {"out": logits}, Batch(target=target, examples=2)) == (expected, "tokens")
    flat = logits.flatten(2)
    assert run("loss", flat, Batch(target=target.flatten(1), examples=2)) == (expected, "tokens")


def test_numbers_are_squared_unless_said_otherwise() -> None:
    numbers, target = torch.randn(5, 1), torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    batch = Batch(target=target, examples=5)
    assert run("loss", numbers, batch) == (pytest.approx(float(F.mse_loss(numbers[:, 0], target)), rel=1e-6), "squared")
    expected = float(F.binary_cross_entropy_with_logits(numbers[:, 0], target))
    assert run("loss:binary", numbers, batch) == (pytest.approx(expected, rel=1e-6), "binary")
    ratings = torch.tensor([4, 2, 5, 1, 3])
    assert run("loss", numbers, Batch(target=ratings, examples=5))[1] == "squared"


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from identikit.metrics import cost

    logits, batch = torch.randn(3, 7, 5), Batch(target=torch.randint(0, 5, (3, 7)), examples=3)
    at_once = run("loss", logits, batch)[0]
    monkeypatch.setattr(cost, "_CHUNK", 12)
    assert run("loss", logits, batch)[0] == pytest.approx(at_once, rel=1e-7)


REFUSED = {
    "no target": (
        "loss",
        torch.randn(2, 3),
        None,
        'metric "loss" needs a target, and this batch has none. Hand over (inputs, target) or a dict with labels '
        '(command line: --target COLUMN), or use "fidelity", which needs none.',
    ),
    "no logits": (
        "loss",
        {"sentence_embedding": torch.randn(2, 3)},
        torch.tensor([0, 1]),
        'metric "loss" needs logits, and this output (dict with sentence_embedding) has none.',
    ),
    "target of no numbers": (
        "loss",
        torch.randn(2, 3),
        {"boxes": torch.zeros(2, 4)},
        'metric "loss" takes a target that is a tensor or a list of numbers; found dict. Write the metric yourself for '
        "another: file.py:function.",
    ),
    "a class too many": (
        "loss",
        torch.randn(2, 3),
        torch.tensor([0, 3]),
        "the target of row 1 is class 3, and the logits have 3 classes (0 to 2). Number the classes from 0; mark what "
        "is not to be judged with -100.",
    ),
    "classes as floats": (
        "loss",
        torch.randn(2, 3),
        torch.tensor([0.0, 1.0]),
        'metric "loss" cannot be computed: the output is 2x3 and the target 2 of float32. Class numbers must be '
        "integers: target.long().",
    ),
    "shapes that do not fit": (
        "loss",
        torch.randn(2, 3),
        torch.zeros(2, 5, dtype=torch.long),
        'metric "loss" cannot be computed: the output is 2x3 and the target 2x5 of int64. Expected logits [examples, '
        "classes] with a target [examples], one for each token, or one shape for both.",
    ),
    "no tokens": (
        "perplexity",
        torch.randn(2, 3),
        torch.tensor([0, 1]),
        'metric "perplexity" cannot be computed: the output is 2x3 and the target 2 of int64. They fit loss:classes.',
    ),
    "a kind that does not fit": (
        "loss:causal",
        torch.randn(2, 3),
        torch.tensor([0, 1]),
        'metric "loss:causal" cannot be computed: the output is 2x3 and the target 2 of int64. They fit loss:classes.',
    ),
    "numbers or answers": (
        "loss",
        torch.randn(2, 3),
        torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]),
        'metric "loss": the target may be numbers to meet or answers of yes and no. Say which: "loss:squared" or '
        '"loss:binary".',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    spec, output, target, message = REFUSED[name]
    with pytest.raises(MetricError) as caught:
        run(spec, output, Batch(target=target, examples=2))
    assert str(caught.value) == message


def test_nothing_counted_is_nan_in_the_aggregate() -> None:
    rows = np.zeros((3, 2))
    assert math.isnan(resolve("loss").aggregate(rows))


def test_a_label_smoothed_classifier_is_refused_and_its_accuracy_is_not() -> None:
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    output = SequenceClassifierOutput(loss=F.cross_entropy(logits, target, label_smoothing=0.3), logits=logits)
    batch = Batch(target=target, examples=4)
    with pytest.raises(MetricError, match='Say which you mean: "loss:classes"; or write it yourself'):
        run("loss", output, batch)
    assert run("accuracy", output, batch)[1] == "classes"
