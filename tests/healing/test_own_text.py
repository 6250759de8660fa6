"""Text that the teacher writes: from its own distribution, the same for one seed, and no trace is left."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from healing.conftest import CASES, Case
from identikit.errors import DataError
from identikit.healing.own_text import AT_ONCE, TOKENS, batches_of, written
from identikit.progress import board
from identikit.reporting.card import GENERATION


def wrote(teacher: Any, rows: int = 4, seed: int = 0, seconds: float | None = None) -> torch.Tensor:
    with board(False) as bars:
        return written(teacher, rows, seed=seed, seconds=seconds, bars=bars)


@pytest.fixture(scope="module")
def teacher() -> Any:
    return tiny.model("causal")


def test_what_is_written(teacher: Any) -> None:
    settings, drawn = teacher.generation_config.to_dict(), torch.get_rng_state()
    ids = wrote(teacher)
    assert ids.shape == (4, min(TOKENS, teacher.config.max_position_embeddings))
    assert torch.equal(ids[:, 0], torch.full((4,), 1))  # the token that begins a text
    assert torch.equal(ids, wrote(teacher))
    assert not torch.equal(ids, wrote(teacher, seed=1))
    assert teacher.generation_config.to_dict() == settings
    assert torch.equal(torch.get_rng_state(), drawn)


def test_it_is_the_models_own_distribution(teacher: Any) -> None:
    """The first token drawn comes as often as the model says, whatever its generation settings are."""
    teacher.generation_config.top_k = 1
    try:
        ids = wrote(teacher, rows=640)
    finally:
        teacher.generation_config.top_k = 50
    with torch.no_grad():
        expected = teacher(input_ids=torch.tensor([[1]])).logits[0, -1].softmax(-1)
    found = torch.bincount(ids[:, 1].clamp_min(2), minlength=len(expected)) / len(
        ids
    )  # -1 stands behind no first token
    assert float((found - expected).abs().sum()) < 0.25


def test_a_model_without_a_beginning(teacher: Any) -> None:
    held = teacher.config.bos_token_id, teacher.generation_config.bos_token_id
    teacher.config.bos_token_id = teacher.generation_config.bos_token_id = None
    try:
        ids = wrote(teacher, rows=64)
    finally:
        teacher.config.bos_token_id, teacher.generation_config.bos_token_id = held
    assert len(set(ids[:, 0].tolist())) > 5
    assert not {0, 2} & set(ids[:, 0].tolist())  # padding, and the token that ends a text


def test_behind_the_end_is_padding(teacher: Any) -> None:
    ids = wrote(teacher, rows=64)
    ended = [row for row in ids.tolist() if 2 in row]
    assert ended
    for row in ended:
        end = row.index(2)
        assert all(each == -1 for each in row[end + 1 :])
        assert all(each >= 0 for each in row[: end + 1])
    (batch,) = batches_of(ids, 64)
    assert torch.equal(batch.kwargs["attention_mask"], (ids >= 0).long())
    assert int(batch.kwargs["input_ids"].min()) == 0


def test_when_time_is_short_there_is_less(teacher: Any) -> None:
    assert len(wrote(teacher, rows=5 * AT_ONCE, seconds=0.0)) == 2 * AT_ONCE


def test_healed_on_it(llama: Case) -> None:
    full = llama.teacher()
    student = llama.student(full)
    ik.heal(student, full, "self", steps=10, limit=32, batch_size=8, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.improved
    assert (found.data, found.examples, found.held_out) == ("text by the teacher", 24, 8)
    assert found.notes == (GENERATION,)


def test_who_does_not_write() -> None:
    for case in (CASES[0], CASES[-1]):
        teacher = case.teacher()
        with pytest.raises(DataError) as error:
            ik.heal(case.student(teacher), teacher, "self", progress=False)
        assert str(error.value) == (
            f'data="self" is text that the teacher writes, and {type(teacher).__name__} is no causal language model. '
            "Give data: a list of batches (--data FILE)."
        )
