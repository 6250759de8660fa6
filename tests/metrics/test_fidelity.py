"""fidelity: 1 for the model itself, what it compares, padding, and what it refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.modeling_outputs import BaseModelOutputWithPooling, MaskedLMOutput, SequenceClassifierOutput

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of
from identikit.metrics.base import Floats


def judge(spec: str, full: Any, edited: Any, batch: Batch) -> Floats:
    metric = resolve(spec)
    return rows_of(metric, edited, batch, metric.reference(full, batch))


def noisy(value: torch.Tensor, scale: float = 0.5) -> torch.Tensor:
    return value + scale * torch.randn(value.shape).to(value.dtype)


OUTPUTS = {
    "sentence embedding": lambda: {"sentence_embedding": torch.randn(4, 8), "token_embeddings": torch.randn(4, 5, 8)},
    "classifier": lambda: SequenceClassifierOutput(logits=torch.randn(4, 3)),
    "tokens": lambda: MaskedLMOutput(logits=torch.randn(4, 5, 11)),
    "half precision": lambda: MaskedLMOutput(logits=torch.randn(4, 5, 11, dtype=torch.bfloat16)),
    "hidden state": lambda: BaseModelOutputWithPooling(last_hidden_state=torch.randn(4, 5, 8)),
    "tensor": lambda: torch.randn(4, 7),
    "feature map": lambda: torch.randn(4, 3, 6, 6),
    "float64": lambda: torch.randn(4, 7, dtype=torch.float64),
    "tuple": lambda: (torch.tensor(1.5), torch.randn(4, 7)),
    "ruled out": lambda: MaskedLMOutput(logits=torch.tensor([[0.0, 1.0, -torch.inf]]).repeat(4, 1)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_model_is_itself(name: str) -> None:
    output, batch = OUTPUTS[name](), Batch(examples=4)
    assert judge("fidelity", output, output, batch) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name not in ("tuple", "ruled out")])
def test_a_changed_model_is_less_and_never_outside_0_to_1(name: str) -> None:
    batch = Batch(examples=4)
    rows = judge("fidelity", OUTPUTS[name](), OUTPUTS[name](), batch)
    assert rows.shape == (4,)
    assert rows.dtype == np.float64
    assert ((rows >= 0) & (rows < 0.999)).all()


def test_logits_are_compared_by_the_sum_of_the_smaller_probabilities() -> None:
    full, edited = torch.randn(3, 6), torch.randn(3, 6)
    rows = judge(
        "fidelity", SequenceClassifierOutput(logits=full), SequenceClassifierOutput(logits=edited), Batch(examples=3)
    )
    expected = torch.minimum(full.softmax(-1), edited.softmax(-1)).sum(-1)
    assert rows == pytest.approx(expected.double().numpy(), abs=1e-6)


@given(st.floats(1e-30, 1e30), st.integers(0, 10_000))
def test_cosine_equals_torch_at_any_scale(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    full, edited = torch.randn(3, 6, generator=generator), torch.randn(3, 6, generator=generator)
    rows = judge("fidelity", full * scale, edited, Batch(examples=3))
    expected = torch.cosine_similarity(full.double(), edited.double()).clamp(min=0)
    assert rows == pytest.approx(expected.numpy(), abs=1e-5)


def test_an_opposite_direction_is_0_and_an_empty_vector_is_equal_only_to_itself() -> None:
    full = torch.tensor([[1.0, 0.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    edited = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert judge("fidelity", full, edited, Batch(examples=4)).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_the_sentence_embedding_comes_before_the_logits_and_they_before_the_hidden_state() -> None:
    everything = {
        "sentence_embedding": torch.randn(2, 4),
        "logits": torch.randn(2, 4),
        "last_hidden_state": torch.randn(2, 3, 4),
    }
    for name in ("sentence_embedding", "logits", "last_hidden_state"):
        for other in everything:
            edited = {**everything, other: torch.randn_like(everything[other])}
            same = judge("fidelity", everything, edited, Batch(examples=2)) == pytest.approx(1.0, abs=1e-6)
            assert same == (other != name)
        del everything[name]


def test_the_pooler_is_never_compared() -> None:
    full = BaseModelOutputWithPooling(last_hidden_state=torch.randn(2, 3, 4), pooler_output=torch.randn(2, 4))
    edited = BaseModelOutputWithPooling(last_hidden_state=full.last_hidden_state, pooler_output=torch.randn(2, 4))
    assert judge("fidelity", full, edited, Batch(examples=2)) == pytest.approx(1.0)
    with pytest.raises(MetricError) as caught:
        judge("fidelity", {"pooler_output": torch.randn(2, 4)}, {}, Batch(examples=2))
    assert str(caught.value) == (
        'metric "fidelity" found no sentence embedding, logits, a hidden state or a tensor of floating-point numbers '
        "in the model's output (dict with pooler_output). Let the model return one, or write the metric yourself: "
        "file.py:function."
    )


MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 1, 1]])


@pytest.mark.parametrize("spec", ["fidelity", "fidelity:cosine", "fidelity:sigmoid", "kl"])
@pytest.mark.parametrize(
    "batch",
    [
        Batch(kwargs={"attention_mask": MASK}, examples=3),
        Batch(args=({"attention_mask": MASK},), examples=3),
        Batch(args=(torch.zeros(3, 4),), kwargs={"src_key_padding_mask": MASK == 0}, examples=3),
        Batch(kwargs={"labels": torch.where(MASK == 1, 5, -100)}, examples=3),
        Batch(target=torch.where(MASK == 1, 5, -100), examples=3),
        Batch(
            kwargs={"decoder_input_ids": MASK, "decoder_attention_mask": MASK, "attention_mask": 1 - MASK}, examples=3
        ),
        Batch(
            kwargs={"decoder_input_ids": MASK, "labels": torch.where(MASK == 1, 5, -100), "attention_mask": 1 - MASK},
            examples=3,
        ),
    ],
    ids=["keyword", "positional dict", "torch's mask", "labels", "target", "decoder mask", "decoder labels"],
)
def test_padding_is_left_out(spec: str, batch: Batch) -> None:
    full, edited = torch.randn(3, 4, 6), torch.randn(3, 4, 6)
    loud = torch.where(MASK[..., None] == 1, edited, 100 * torch.randn(3, 4, 6))
    rows = [judge(spec, {"logits": full}, {"logits": logits}, batch) for logits in (edited, loud)]
    assert rows[0].tolist() == rows[1].tolist()
    alone = judge(spec, {"logits": full[1:2, :1]}, {"logits": edited[1:2, :1]}, Batch(examples=1))
    assert rows[0][1] == pytest.approx(alone[0], abs=1e-6)


def test_an_example_that_is_all_padding_is_an_error() -> None:
    batch = Batch(kwargs={"attention_mask": torch.tensor([[1, 1], [0, 0]])}, examples=2)
    with pytest.raises(MetricError) as caught:
        judge("fidelity", {"logits": torch.randn(2, 2, 3)}, {}, batch)
    assert str(caught.value) == (
        "row 1 of the batch is all padding (attention_mask or labels); leave it out of the data."
    )


def test_a_pair_of_sentences_is_one_example() -> None:
    full, edited = torch.randn(6, 4), torch.randn(6, 4)
    rows = judge("fidelity", {"sentence_embedding": full}, {"sentence_embedding": edited}, Batch(examples=3))
    each = judge("fidelity", {"sentence_embedding": full}, {"sentence_embedding": edited}, Batch(examples=6))
    assert rows == pytest.approx(each.reshape(3, 2).mean(axis=1))


def test_rows_that_do_not_divide_are_an_error() -> None:
    with pytest.raises(MetricError) as caught:
        judge("fidelity", torch.randn(5, 4), torch.randn(5, 4), Batch(examples=3))
    assert str(caught.value) == (
        'metric "fidelity": the model gave 5 rows for 3 examples; the first dimension of the output must be the '
        "examples (batch first), the same number of rows for each."
    )


def test_the_reference_does_not_change_with_the_output() -> None:
    metric, batch, output = resolve("fidelity"), Batch(examples=2), torch.randn(2, 4)
    reference = metric.reference(output, batch)
    before = output.clone()
    output.neg_()
    assert rows_of(metric, before, batch, reference) == pytest.approx(1.0, abs=1e-6)


def test_the_reference_is_small() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 0, 0]])
    output = MaskedLMOutput(logits=torch.randn(1, 6, 10, dtype=torch.bfloat16, requires_grad=True))
    reference = resolve("fidelity").reference(output, Batch(kwargs={"attention_mask": mask}, examples=1))
    assert reference.values_nc.shape == (2, 10)
    assert reference.values_nc.dtype == torch.bfloat16
    assert not reference.values_nc.requires_grad


def test_many_positions_are_compared_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from identikit.metrics import positions

    full, edited = {"logits": torch.randn(3, 7, 5)}, {"logits": torch.randn(3, 7, 5)}
    batch = Batch(kwargs={"attention_mask": torch.tensor([[1] * 7, [1] * 3 + [0] * 4, [1] * 5 + [0] * 2])}, examples=3)
    at_once = judge("fidelity", full, edited, batch)
    monkeypatch.setattr(positions, "_CHUNK", {"cpu": 10})
    assert judge("fidelity", full, edited, batch) == pytest.approx(at_once, abs=1e-7)


def test_images_have_their_classes_in_dimension_1() -> None:
    full, edited = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    expected = torch.minimum(full.softmax(1), edited.softmax(1)).sum(1).flatten(1).mean(1)
    rows = judge("fidelity", {"logits": full}, {"logits": edited}, Batch(examples=2))
    assert rows == pytest.approx(expected.double().numpy(), abs=1e-6)


def test_questions_have_two_distributions() -> None:
    full = {"start_logits": torch.randn(2, 6), "end_logits": torch.randn(2, 6)}
    edited = {"start_logits": full["start_logits"], "end_logits": torch.randn(2, 6)}
    half = torch.minimum(full["end_logits"].softmax(-1), edited["end_logits"].softmax(-1)).sum(-1)
    rows = judge("fidelity", full, edited, Batch(examples=2))
    assert rows == pytest.approx(((1 + half) / 2).double().numpy(), abs=1e-6)


def test_a_kind_says_how_to_compare() -> None:
    full, edited, batch = torch.randn(4, 5), torch.randn(4, 5), Batch(examples=4)
    expected = {
        "cosine": torch.cosine_similarity(full, edited).clamp(min=0),
        "logits": torch.minimum(full.softmax(-1), edited.softmax(-1)).sum(-1),
        "sigmoid": 1 - (full.sigmoid() - edited.sigmoid()).abs().mean(-1),
    }
    for kind, value in expected.items():
        assert judge(f"fidelity:{kind}", full, edited, batch) == pytest.approx(value.double().numpy(), abs=1e-6)
    assert judge("fidelity", full, edited, batch).tolist() == judge("fidelity:cosine", full, edited, batch).tolist()


@pytest.mark.parametrize("spec", ["fidelity", "kl"])
@pytest.mark.parametrize("shape", [(4, 1), (4, 3, 1), (4, 1, 2, 2)], ids=str)
def test_a_single_logit_is_no_distribution(spec: str, shape: tuple[int, ...]) -> None:
    output, batch = {"logits": torch.randn(shape)}, Batch(examples=4)
    with pytest.raises(MetricError) as caught:
        judge(spec, output, output, batch)
    assert str(caught.value) == (
        f'metric "{spec}" compares directions or distributions, and this output has a single number '
        f'({"x".join(map(str, shape))}). Use "{spec}:sigmoid" where it is a logit, or judge it against a target: '
        '"loss" or "spearman".'
    )
    assert judge(f"{spec}:sigmoid", output, output, batch) == pytest.approx(float(spec == "fidelity"))


def test_one_number_per_example_has_no_direction() -> None:
    with pytest.raises(MetricError, match="has a single number"):
        judge("fidelity", torch.randn(4), torch.randn(4), Batch(examples=4))


def test_outputs_of_two_shapes_are_an_error() -> None:
    with pytest.raises(MetricError) as caught:
        judge("fidelity", {"logits": torch.randn(2, 3)}, {"logits": torch.randn(2, 4)}, Batch(examples=2))
    assert str(caught.value) == (
        'metric "fidelity" compares outputs of one shape (rows, positions, width): the full model gave 2x1x3, the '
        "edited one 2x1x4. Write the metric yourself: file.py:function."
    )


@pytest.mark.parametrize("spec", ["fidelity", "fidelity:logits", "fidelity:sigmoid", "kl", "kl:sigmoid"])
def test_nan_is_an_error_and_not_a_score(spec: str) -> None:
    sound = torch.randn(3, 4)
    broken = sound.clone()
    broken[1, 2] = torch.nan
    for full, edited in ((sound, broken), (broken, sound), (broken, broken)):
        with pytest.raises(MetricError) as caught:
            judge(spec, full, edited, Batch(examples=3))
        assert str(caught.value) == (
            f'metric "{spec}" is NaN for example 1 of a batch (1 of 3 examples): the model\'s output is not finite '
            "there, or the metric is not defined on it. Try a wider dtype (float32), or leave the example out."
        )


class Named(NamedTuple):
    features: torch.Tensor
    last_hidden_state: torch.Tensor


def test_a_named_tuple_and_an_object_are_read_by_name() -> None:
    class Output:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

    full = Named(torch.randn(2, 3), torch.randn(2, 5, 4))
    assert judge("fidelity", full, full._replace(features=torch.randn(2, 3)), Batch(examples=2)) == pytest.approx(1.0)
    one, two = torch.randn(2, 3), torch.randn(2, 3)
    named = judge("fidelity", Output(one), Output(two), Batch(examples=2))
    assert named.tolist() == judge("fidelity:logits", one, two, Batch(examples=2)).tolist()


@pytest.mark.parametrize("spec", ["fidelity", "kl"])
def test_without_the_full_model_there_is_nothing_to_compare_with(spec: str) -> None:
    with pytest.raises(MetricError) as caught:
        rows_of(resolve(spec), torch.randn(2, 3), Batch(examples=2), None)
    assert str(caught.value) == (
        f'metric "{spec}" compares with the full model: pass what metric.reference(output, batch) gave for the full '
        "model's output, not NoneType."
    )
