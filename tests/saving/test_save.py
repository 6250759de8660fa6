"""`save`: what travels along, what is refused, and that pipelines of the library run on what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

import identikit as ik
import tiny
from identikit.errors import InputsError, PlanError, SaveError
from identikit.families import Family
from identikit.plan import Plan
from laws.snapshot import Snapshot
from tiny import IDS

Seen = Callable[[], dict[str, bytes]]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        output = model(input_ids=IDS)
    return output[0]


def test_what_a_configuration_cannot_say(tmp_path: Path, seen: Seen) -> None:
    """DiffLlama ties a constant to the layer's number: a shorter one computes something else."""
    model = ik.remove(tiny.model("diff"), "model.layers.1")
    before, files = Snapshot(model), seen()
    with pytest.raises(SaveError) as error:
        ik.save(model, tmp_path / "x")
    assert str(error.value) == (
        f"{tmp_path / 'x'}: loaded again, this DiffLlamaForCausalLM computes something else: its configuration cannot "
        'express what was removed. Nothing was written. Save the plan instead: format="plan" (--format plan).'
    )
    assert seen() == files
    assert before.changes(model) == []
    ik.save(model, tmp_path / "x", "plan")
    assert torch.equal(logits(ik.load(tmp_path / "x")), logits(model))


@pytest.mark.parametrize("place", ["model.layers.2", "model.layers.0.mlp"])
def test_a_live_handle(place: str, tmp_path: Path, seen: Seen) -> None:
    model = tiny.model("causal")
    files = seen()
    with ik.bypass(model, place):
        with pytest.raises(PlanError) as error:
            ik.save(model, tmp_path / "x")
        assert str(error.value).endswith('only bypassed. Use ik.remove, or save the plan (format="plan").')
        assert seen() == files
        ik.save(model, tmp_path / "x", "plan")
        expected = logits(model)
    again = ik.load(tmp_path / "x")
    assert torch.equal(logits(again), expected)
    assert Plan.read(tmp_path / "x" / "plan.json").places == (place,)


def test_a_live_handle_on_a_removed_model(bert: Any, tmp_path: Path) -> None:
    """The plan unites both, in the paths of the model first loaded; no weight of either layer is written."""
    with ik.bypass(bert, "bert.encoder.layer.2"):
        ik.save(bert, tmp_path / "x", "plan")
        expected = logits(bert)
    assert Plan.read(tmp_path / "x" / "plan.json").places == ("bert.encoder.layer.1", "bert.encoder.layer.3")
    with safe_open(tmp_path / "x" / "identikit-weights.safetensors", "pt") as file:
        layers = {name.split(".")[3] for name in file.keys() if ".layer." in name}  # noqa: SIM118  # no mapping
    assert layers == {"0", "2"}
    assert torch.equal(logits(ik.load(tmp_path / "x")), expected)


def test_a_plan_folder_holds_no_weights_that_a_library_would_take(tmp_path: Path, bert: Any) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification, BertForSequenceClassification

    ik.save(bert, tmp_path / "x", "plan")
    names = {path.name for path in (tmp_path / "x").iterdir()}
    ours = {"README.md", "identikit.json", "identikit-weights.safetensors", "plan.json"}
    assert names == {*ours, "config.json", "configuration.json"}
    for loader in (AutoModel, AutoModelForSequenceClassification, BertForSequenceClassification):
        with pytest.raises(OSError, match="no file named"):
            loader.from_pretrained(tmp_path / "x", local_files_only=True)


def test_a_broken_plan_folder_is_not_kept(
    bert: Any, tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan form is proved too: with one weight off, nothing is written."""
    from identikit.saving import save as saving

    def wrong(model: Any, file: Path, **options: Any) -> None:
        with torch.no_grad():
            model.classifier.weight += 1
        write(model, file, **options)
        with torch.no_grad():
            model.classifier.weight -= 1

    write, files = saving.write_weights, seen()
    monkeypatch.setattr(saving, "write_weights", wrong)
    with pytest.raises(SaveError, match=r"is not the same \(its output differs\)\. Nothing was written\."):
        ik.save(bert, tmp_path / "x", "plan")
    assert seen() == files


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_half_precision_stays(form: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    tiny.model("causal").to(torch.bfloat16).save_pretrained(tmp_path / "full")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "full", dtype="auto")
    ik.remove(model, "model.layers.0")
    ik.save(model, tmp_path / "x", form)
    again = ik.load(tmp_path / "x")
    assert {value.dtype for value in again.parameters()} == {torch.bfloat16}
    assert torch.equal(logits(again), logits(model))
    assert {value.dtype for value in ik.load(tmp_path / "x", dtype="float32").parameters()} == {torch.float32}


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_what_is_no_weight_travels_along(form: Any, tmp_path: Path) -> None:
    full = tiny.folder(tmp_path / "full", "causal")
    (full / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, "max_new_tokens": 7}))
    (full / "LICENSE").write_text("as you like")
    (full / "train.py").write_text("raise SystemExit")
    model = ik.remove(ik.load(full), "model.layers.2")
    ik.save(model, tmp_path / "x", form, like=full)
    for name in ("tokenizer.json", "tokenizer_config.json", "LICENSE", "chat_template.jinja"):
        assert (tmp_path / "x" / name).read_bytes() == (full / name).read_bytes(), name
    assert json.loads((tmp_path / "x" / "generation_config.json").read_text())["max_new_tokens"] == 7
    assert not (tmp_path / "x" / "train.py").exists()


@pytest.mark.parametrize(
    ("kind", "task", "given"),
    [
        ("classifier", "text-classification", "the cat sat"),
        ("masked", "fill-mask", "the <mask> sat"),
        ("embedding", "feature-extraction", "the cat sat"),
        ("causal", "text-generation", "the cat"),
    ],
)
def test_a_pipeline_runs_on_the_folder(kind: str, task: Any, given: str, tmp_path: Path) -> None:
    from transformers import pipeline

    full = tiny.folder(tmp_path / "full", kind)
    model: Any = ik.load(full)
    stack = {"embedding": "encoder.layer", "causal": "model.layers"}.get(kind, "bert.encoder.layer")
    ik.remove(model, f"{stack}.[1,2]")
    ik.save(model, tmp_path / "x", like=full)
    made = pipeline(task, model=str(tmp_path / "x"))
    assert made.model.config.num_hidden_layers == 2
    how = {"max_new_tokens": 3, "do_sample": False} if kind == "causal" else {}
    (said, *_) = made(given, **how)
    again = pipeline(task, model=model, tokenizer=tiny.tokenizer())(given, **how)
    assert said == again[0]


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_sentence_transformers(form: Any, minilm_path: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_path), device="cpu")
    ik.remove(model, "0.model.encoder.layer.[1,3]")
    ik.save(model, tmp_path / "x", form, like=minilm_path)
    names = {path.name for path in (tmp_path / "x").iterdir()}
    assert {"modules.json", "1_Pooling", "config_sentence_transformers.json", "vocab.txt", "plan.json"} <= names
    sentences = ["A plane is taking off.", "Water boils."]
    expected = model.encode(sentences, convert_to_tensor=True)
    assert torch.equal(ik.load(tmp_path / "x").encode(sentences, convert_to_tensor=True), expected)  # type: ignore[operator]
    if form == "checkpoint":
        plain = SentenceTransformer(str(tmp_path / "x"), device="cpu")
        assert torch.equal(plain.encode(sentences, convert_to_tensor=True), expected)
    else:
        with pytest.raises(OSError, match="no file named"):
            SentenceTransformer(str(tmp_path / "x"), device="cpu", local_files_only=True)


def test_no_example(tmp_path: Path, seen: Seen) -> None:
    with pytest.raises(InputsError, match=r"one example of what Linear takes\. Pass inputs=\.\.\."):
        ik.save(nn.Linear(2, 2), tmp_path / "x")
    assert seen() == {}


def test_an_unknown_form(bert: Any, tmp_path: Path) -> None:
    with pytest.raises(SaveError, match='format=\'onnx\' is neither "checkpoint" nor "plan"'):
        ik.save(bert, tmp_path / "x", "onnx")  # type: ignore[arg-type]


def test_a_model_that_draws_random_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof draws the same numbers, whatever the loader drew in between."""
    rebuild = Family.rebuild
    monkeypatch.setattr(Family, "rebuild", lambda *given: (torch.rand(3), rebuild(*given))[1])

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x) + torch.randn(4)

    ik.save(Noisy(), tmp_path / "x", inputs=torch.ones(2, 4))


def test_an_unedited_model(tmp_path: Path) -> None:
    """Nothing is out of action: a checkpoint is the library's own and a card; the plan is empty."""
    model = tiny.model("classifier")
    ik.save(model, tmp_path / "x")
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        *("config.json", "model.safetensors", "README.md", "identikit.json"),
    }
    assert "\nNothing: no layer was taken out or put in.\n" in (tmp_path / "x" / "README.md").read_text()
    ik.save(model, tmp_path / "y", "plan")
    assert torch.equal(logits(ik.load(tmp_path / "y")), logits(model))
