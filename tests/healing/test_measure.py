"""How far outputs and hidden states are apart: equal to the metrics that judge, and blind to padding."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from healing.conftest import Case, texts
from identikit.batches import Batch, as_batch
from identikit.errors import MetricError, ModelError
from identikit.families.anatomy import anatomy_of
from identikit.healing.lesson import Lesson
from identikit.healing.measure import measure_of
from identikit.healing.pairs import pairs_of
from identikit.healing.spread import Spread
from identikit.metrics import resolve


def named(**values: torch.Tensor) -> Any:
    return SimpleNamespace(**values)


def test_what_is_compared_by_what() -> None:
    logits, hidden, vector = torch.randn(2, 5), torch.randn(2, 3, 4), torch.randn(2, 4)
    found = [
        measure_of(named(sentence_embedding=vector, token_embeddings=hidden), None),
        measure_of(named(logits=logits), None),
        measure_of(named(logits=torch.randn(2, 1)), None),
        measure_of(named(last_hidden_state=hidden, pooler_output=vector), None),
        measure_of(logits, None),
        measure_of(logits, "logits"),
        measure_of(logits, "sigmoid"),
        measure_of(hidden, "cosine"),
    ]
    assert [(each.how, each.source) for each in found] == [
        ("cosine", "sentence_embedding"), ("logits", "logits"), ("values", "logits"), ("values", "last_hidden_state"),
        ("values", "output"), ("logits", "output"), ("sigmoid", "output"), ("cosine", "output"),
    ]  # fmt: skip
    assert str(found[0]) == "1 - cosine of sentence embedding"
    assert str(found[1]) == "KL of logits (nats)"


def test_what_cannot_be_compared() -> None:
    with pytest.raises(MetricError, match=r"^metric \"fidelity\" found no sentence embedding, logits"):
        measure_of({"a": 1}, None)
    with pytest.raises(MetricError, match=r"^metric \"heal\" compares directions or distributions"):
        measure_of(torch.randn(4, 1), "logits")
    measure = measure_of(torch.randn(4, 2), None)
    with pytest.raises(ModelError) as error:
        measure.distance(torch.randn(4, 2), torch.randn(4, 3))
    assert str(error.value) == (
        "the output of student and teacher differ in shape (4x3 and 4x2, positions by width): one cannot learn from "
        "the other. Take the teacher that the student was made from."
    )


def test_kl_is_the_metrics_kl() -> None:
    batch = as_batch(texts(1)[0])
    one, other = (named(logits=torch.randn(8, 10, 5)) for _ in range(2))
    measure, metric = measure_of(one, None), resolve("kl")
    taught, index = measure.rows(one, batch)
    own, _ = measure.rows(other, batch, index)
    judged = metric.values(other, batch, metric.reference(one, batch))
    found = measure.distance(taught, own)
    by_row = torch.zeros(8).index_add_(0, index // 10, found) / batch.kwargs["attention_mask"].sum(1)
    torch.testing.assert_close(by_row.double(), judged, rtol=1e-5, atol=1e-6)


def test_values_are_a_share_of_the_teachers_variance() -> None:
    taught, batch = torch.randn(64, 3) * 7 + 100, Batch(examples=64)
    measure = measure_of(taught, None)
    measure.spread.add(taught)
    rows, _ = measure.rows(taught, batch)
    assert float(measure.distance(rows, rows.mean(0).expand_as(rows)).mean()) == pytest.approx(1, rel=1e-5)


def test_a_temperature_leaves_equal_ones_equal() -> None:
    logits = torch.randn(4, 5)
    measure = measure_of(named(logits=logits), None)
    assert float(measure.distance(logits, logits, 3.0).abs().max()) < 1e-6
    other = torch.randn(4, 5)
    assert not torch.allclose(measure.distance(logits, other, 3.0), measure.distance(logits, other))


@pytest.mark.parametrize("where", ["output", "hidden"])
def test_padding_does_not_count(where: str, llama: Case) -> None:
    """Other ids behind the mask change nothing (in a causal model they reach nobody)."""
    teacher = llama.teacher()
    student = llama.student(teacher)
    batch = texts(1)[0]
    other = {**batch, "input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 9)}
    assert not torch.equal(batch["input_ids"], other["input_ids"])
    anatomies = anatomy_of(student, batch), anatomy_of(teacher, batch)
    pairs, _ = pairs_of(*anatomies)
    lesson = Lesson(*anatomies, measure_of(anatomies[1].watched.output, None), pairs)
    with lesson.in_session():
        lesson.prepare([as_batch(batch)])
        one, two = (lesson.compare(as_batch(each)) for each in (batch, other))
    if where == "output":
        assert len(one.output) == int(batch["attention_mask"].sum())
        torch.testing.assert_close(one.output, two.output)
    else:
        assert len(one.hidden) == 3
        assert all(float(each.detach()) > 0 for each in one.hidden)
        torch.testing.assert_close(one.hidden, two.hidden)


def test_a_spread_is_the_variance() -> None:
    rows = torch.randn(100, 4) * torch.tensor([1.0, 2.0, 3.0, 0.0]) + 1e4
    spread = Spread()
    for part in rows.split(7):
        spread.add(part)
    spread.add(rows[:0])
    assert spread.value == pytest.approx(float(rows.double().var(0, unbiased=False).mean()), rel=1e-6)


def test_a_spread_of_nothing_is_one() -> None:
    spread = Spread()
    assert spread.value == 1
    spread.add(torch.ones(5, 2))
    assert spread.value == 1


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_torchs_fused_layers_learn_too() -> None:
    """nn.TransformerEncoder turns a padded batch into a nested tensor where nothing needs a gradient: not here."""
    import copy

    import identikit as ik

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = torch.nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
            self.body = torch.nn.TransformerEncoder(layer, 3)

        def forward(self, x: torch.Tensor, src_key_padding_mask: torch.Tensor) -> torch.Tensor:
            return self.body(x, src_key_padding_mask=src_key_padding_mask)

    torch.manual_seed(0)
    teacher = Net().eval()
    padding = torch.zeros(4, 6, dtype=torch.bool)
    padding[1, 4:] = True
    data = [{"x": torch.randn(4, 6, 16), "src_key_padding_mask": padding} for _ in range(4)]
    student = ik.remove(copy.deepcopy(teacher), "body.layers.1", inputs=data[0])
    ik.heal(student, teacher, data, steps=20, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.after < found.before
    assert found.pairs == (
        ("into body.layers.1", "into body.layers.2"), ("out of body.layers.1", "out of body.layers.2")
    )  # fmt: skip
    assert torch.backends.mha.get_fastpath_enabled()
