"""The sentence-transformers family, on the real all-MiniLM-L6-v2: layers dropped, saved, loaded by both libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import identikit as ik
from identikit.errors import SaveError
from identikit.families import family_of
from identikit.families.sentence_transformers import SentenceTransformers
from identikit.families.transformers_construct import _write_parts

FAMILY = SentenceTransformers()
STACK = "0.model.encoder.layer"
SENTENCES = ["A man is playing a guitar.", "The cat sat."]


@pytest.fixture
def minilm(minilm_path: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm_path), device="cpu", local_files_only=True).eval()


@pytest.fixture
def dropped(minilm: Any, shorten: Callable[[nn.Module, str, Sequence[int]], int]) -> Any:
    FAMILY.resize(minilm, STACK, [0, 2, 4, 5], shorten(minilm, STACK, [0, 2, 4, 5]))
    return minilm


def test_matches_and_comes_before_transformers(minilm: Any) -> None:
    assert family_of(minilm).name == "sentence-transformers"
    assert family_of(minilm[0].model).name == "transformers"
    assert not FAMILY.matches(nn.Sequential())


def test_the_example_is_one_dictionary(minilm: Any) -> None:
    batch = FAMILY.example(minilm)
    assert batch is not None
    with torch.no_grad(), FAMILY.quiet(minilm):
        assert batch.call(minilm)["sentence_embedding"].shape == (2, 384)


def test_no_example_without_a_transformer_inside() -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize

    assert FAMILY.example(SentenceTransformer(modules=[Normalize()], device="cpu")) is None


def test_the_configuration_is_that_of_the_transformer_inside(minilm: Any) -> None:
    configuration = FAMILY.configuration(minilm)
    assert configuration is not None
    assert configuration["0.model"]["num_hidden_layers"] == 6


def test_a_shortened_model_loads_with_both_libraries(dropped: Any, minilm_path: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    assert dropped[0].model.config.num_hidden_layers == 4
    FAMILY.save(dropped, tmp_path, minilm_path)
    assert not (tmp_path / "README.md").exists()
    assert (tmp_path / "vocab.txt").read_bytes() == (minilm_path / "vocab.txt").read_bytes()
    assert json.loads((tmp_path / "1_Pooling/config.json").read_text())
    again: Any = FAMILY.rebuild(tmp_path, dropped)
    assert type(again) is type(dropped)
    assert not again.training
    assert again.max_seq_length == dropped.max_seq_length == 256
    assert torch.equal(*(model.encode(SENTENCES, convert_to_tensor=True) for model in (again, dropped)))
    plain, info = AutoModel.from_pretrained(tmp_path, local_files_only=True, output_loading_info=True)
    assert plain.config.num_hidden_layers == 4
    assert not any(info.values())


def test_half_precision_stays(minilm: Any, tmp_path: Path) -> None:
    minilm.to(torch.bfloat16)
    FAMILY.save(minilm, tmp_path, None)
    assert {value.dtype for value in FAMILY.rebuild(tmp_path, minilm).parameters()} == {torch.bfloat16}


def test_a_weight_that_the_library_would_draw_at_random_is_refused(dropped: Any, tmp_path: Path) -> None:
    FAMILY.save(dropped, tmp_path, None)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.3.attention.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    name = "0.model.encoder.layer.3.attention.output.dense.weight"
    with pytest.raises(SaveError, match=f"the weight {name} is not what was saved"):
        FAMILY.rebuild(tmp_path, dropped)


def test_a_configuration_with_another_depth_is_refused(dropped: Any, tmp_path: Path) -> None:
    FAMILY.save(dropped, tmp_path, None)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(SaveError, match=r"the weight 0\.model\.encoder\.layer\.4\.\S+ is unexpected"):
        FAMILY.rebuild(tmp_path, dropped)


class Doubled(nn.Tanh):
    """An activation of the user's own."""


@pytest.mark.parametrize(("activation", "called"), [(Doubled(), "Doubled"), (torch.sin, "sin")])
def test_an_activation_that_the_library_would_exchange_is_not_called_proved(
    activation: Any, called: str, minilm: Any, tmp_path: Path
) -> None:
    """It loads no code unasked, and puts a Tanh there with a line in its log: even one that computes the same."""
    from sentence_transformers.sentence_transformer import modules

    minilm.append(modules.Dense(384, 8, activation_function=activation))
    with pytest.raises(SaveError) as error:
        ik.save(minilm, tmp_path / "x")
    number = len(minilm) - 1
    assert str(error.value).endswith(
        f' loaded again computes Tanh where "{number}" has {called}: sentence-transformers loads no activation but a '
        "class of torch.nn. Put one of those there."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_part_with_weights_of_its_own_is_in_the_plan_form_too(minilm: Any, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer import modules

    minilm.append(modules.Dense(384, 8))
    smaller = ik.remove(minilm, "0.model.encoder.layer.2")
    again = ik.load(ik.save(smaller, tmp_path / "plan", format="plan"))
    assert (again.encode(["a dog"]) == smaller.encode(["a dog"])).all()


def test_a_part_that_lies_elsewhere_is_not_written_there(tmp_path: Path) -> None:
    """modules.json is a stranger's file."""
    folder, full, outside = tmp_path / "plan", tmp_path / "made" / "full", tmp_path / "made" / "elsewhere"
    for place in (folder, full, outside):
        place.mkdir(parents=True)
    save_file({"1.weight": torch.ones(1)}, folder / "identikit-weights.safetensors")
    parts = [{"name": "1", "type": "x.Dense", "path": path} for path in ("../elsewhere", str(outside), "", "absent")]
    (folder / "modules.json").write_text(json.dumps(parts))
    _write_parts(folder, full)
    assert list(outside.iterdir()) == list(full.iterdir()) == []
