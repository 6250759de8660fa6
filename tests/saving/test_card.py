"""The card of a saved folder: what it says is so, it loads as it says, and no person's text is lost or misread."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from identikit.errors import IdentikitWarning, SaveError
from identikit.reporting.card import GENERATION
from identikit.saving.card import ASIDE, MARK
from identikit.saving.original import ORIGINAL, base_of, read_matter
from identikit.surgery.carried_provenance import holding, provenance_of
from small_net import batches, made

THEIRS = """---
license: cc-by-4.0
language:
- no
- en
tags: [bert, mine]
base_model: org/parent
pipeline_tag: text-classification
library_name: transformers
datasets: [secret]
model-index:
- name: x
  results: []
---
# The full model

Accuracy: 99.
"""


def data() -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return [{"input_ids": torch.randint(5, 20, (8, 6))} for _ in range(3)]


def text_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def matter_of(folder: Path) -> Any:
    import huggingface_hub as hub

    assert hub.ModelCard.load(folder / "README.md").data.to_dict() == hub.metadata_load(folder / "README.md")
    return hub.metadata_load(folder / "README.md")


def run_snippet(folder: Path, **names: Any) -> Any:
    """The model that the card's own code makes."""
    (code,) = re.findall(r"## Loading it\n\n```python\n(.*?)```", text_of(folder), flags=re.DOTALL)
    exec(code.replace("this folder", str(folder)), names)
    return names["model"]


def diff() -> object:
    return ik.remove(tiny.model("diff"), "model.layers.1")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tiny.folder(tmp_path / "source", "classifier")
    (folder / "README.md").write_text(THEIRS)
    return folder


def test_a_pruned_model_carries_its_card(tmp_path: Path, source: Path) -> None:
    pruned = ik.prune(ik.load(source), data(), drop=1, holdout=0, name="models/source")
    ik.save(pruned.model, tmp_path / "x", like=source)
    text, score = text_of(tmp_path / "x"), pruned.front.choice.scores["fidelity"]
    assert "\n# source without 1 layer\n" in text
    assert f"- `identity at {pruned.plan.places[0]}`\n" in text
    assert "Goal: drop 1 layer." in text
    assert "Greedy search: " in text
    assert f" {score.edited:.3f} |" in text or f" {score.edited:.4f} |" in text
    assert f"24 examples of a list of 3 batches ({pruned.front.header.data.fingerprint})" in text
    assert "the model that was saved is 0: they are equal" in text
    assert f"torch {torch.__version__}" in text
    assert "not the figures" not in text
    assert GENERATION not in text
    twin = json.loads((tmp_path / "x" / "identikit.json").read_text())
    assert twin["steps"][0]["figures"][0]["edited"] == score.edited
    assert twin["saved"]["proof"]["difference"] == 0.0
    assert twin["saved"]["holds"] == [True]


def test_the_cards_code_loads_what_was_saved(tmp_path: Path) -> None:
    """A bare BERT without a pooler: the library would draw one at random unless it is told."""
    model = ik.remove(tiny.model("embedding"), "encoder.layer.1")
    ik.save(model, tmp_path / "x")
    again = run_snippet(tmp_path / "x")
    with torch.no_grad():
        assert torch.equal(again(input_ids=tiny.IDS)[0], model(input_ids=tiny.IDS)[0])
    assert set(again.state_dict()) == set(model.state_dict())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_cards_code_of_other_libraries(tmp_path: Path) -> None:
    import timm

    vit = timm.create_model("vit_tiny_patch16_224", depth=3, img_size=32, embed_dim=24, num_heads=2).eval()
    picture = torch.randn(1, 3, 32, 32)
    ik.save(ik.remove(vit, "blocks.1", inputs=picture), tmp_path / "timm", inputs=picture)
    assert torch.equal(run_snippet(tmp_path / "timm")(picture), vit(picture))
    example = batches()[0][0]
    net = ik.remove(made(), "layers.1", inputs=example)
    ik.save(net, tmp_path / "own", inputs=example)
    again = run_snippet(tmp_path / "own", the_full_model=made())
    assert torch.equal(again(example), net(example))
    assert matter_of(tmp_path / "own")["library_name"] == "identikit"


def test_sentence_transformers(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    tiny.folder(tmp_path / "inner", "embedding")
    inner = Transformer(str(tmp_path / "inner"))
    model = SentenceTransformer(modules=[inner, Pooling(16, "mean")], device="cpu")
    model.save(str(tmp_path / "source"), create_model_card=False)
    (tmp_path / "source" / "README.md").write_text("---\npipeline_tag: sentence-similarity\n---\n# x\n")
    smaller = ik.remove(ik.load(tmp_path / "source"), "0.model.encoder.layer.1")
    ik.save(smaller, tmp_path / "x", like=tmp_path / "source")
    again, sentences = run_snippet(tmp_path / "x"), ["the cat sat", "a dog ran"]
    assert (again.encode(sentences) == smaller.encode(sentences)).all()
    matter = matter_of(tmp_path / "x")
    assert (matter["library_name"], matter["pipeline_tag"]) == ("sentence-transformers", "sentence-similarity")


def test_the_original_card_is_kept_and_none_of_its_figures_claimed(tmp_path: Path, source: Path) -> None:
    ik.save(ik.remove(ik.load(source), "bert.encoder.layer.1"), tmp_path / "x", like=source)
    assert (tmp_path / "x" / ORIGINAL).read_text() == THEIRS
    assert "99" not in text_of(tmp_path / "x")
    assert matter_of(tmp_path / "x") == {
        "base_model": "org/parent",
        "library_name": "transformers",
        "license": "cc-by-4.0",
        "language": ["no", "en"],
        "pipeline_tag": "text-classification",
        "tags": ["bert", "mine", "identikit", "layer-pruning"],
    }
    ik.save(ik.load(tmp_path / "x"), tmp_path / "again", like=tmp_path / "x")  # from there on, and it still travels
    assert (tmp_path / "again" / ORIGINAL).read_text() == THEIRS
    assert matter_of(tmp_path / "again") == matter_of(tmp_path / "x")


def test_the_task_is_left_out_where_it_may_be_another(tmp_path: Path, source: Path) -> None:
    ik.save(ik.remove(tiny.model("embedding"), "encoder.layer.1"), tmp_path / "x", like=source)
    ik.save(ik.remove(tiny.model("classifier"), "bert.encoder.layer.1"), tmp_path / "y", "plan", like=source)
    assert "pipeline_tag" not in {**matter_of(tmp_path / "x"), **matter_of(tmp_path / "y")}
    assert matter_of(tmp_path / "y")["library_name"] == "identikit"


@pytest.mark.parametrize("text", ["# mine", "---\na: [\n---\n", "---\n- a\n---\n", "---\nlicense: {a: 1}\n---\n", ""])
def test_a_card_without_front_matter_is_kept_too(text: str, tmp_path: Path, source: Path) -> None:
    (source / "README.md").write_text(text)
    ik.save(ik.remove(ik.load(source), "bert.encoder.layer.1"), tmp_path / "x", like=source)
    assert (tmp_path / "x" / ORIGINAL).read_text() == text
    assert set(matter_of(tmp_path / "x")) == {"library_name", "tags"}
    assert read_matter(text.encode()) == {}


def test_a_card_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path, source: Path) -> None:
    (tmp_path / "private").write_text("secret")
    (source / "README.md").unlink()
    (source / "README.md").symlink_to(tmp_path / "private")
    with pytest.raises(SaveError, match="outside its folder"):
        ik.save(ik.remove(ik.load(source), "bert.encoder.layer.1"), tmp_path / "x", like=source)
    assert not (tmp_path / "x").exists()


def test_the_base_is_named_where_it_is_known(tmp_path: Path) -> None:
    model = tiny.model("classifier")
    model.config._name_or_path = "models/bert"  # a local folder may be called like that
    assert base_of(model, None) == ""
    model.config._commit_hash = "0123456789" * 4
    assert base_of(model, None) == "models/bert"
    cached = tmp_path / "models--org--the-name" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    assert base_of(tiny.model("classifier"), cached) == "org/the-name"
    ik.save(ik.remove(model, "bert.encoder.layer.1"), tmp_path / "x")
    assert matter_of(tmp_path / "x")["base_model"] == "models/bert"


def test_figures_stay_with_the_model_they_are_of(tmp_path: Path) -> None:
    """Saved and loaded they hold; of a model trained, cast or cut further they are no longer claimed."""
    stale = "These are not the figures of the model in this folder"
    model = ik.prune(tiny.model("classifier"), data(), drop=1).model
    ik.save(model, tmp_path / "x")
    loaded: Any = ik.load(tmp_path / "x")
    assert provenance_of(loaded) == provenance_of(model)
    ik.save(loaded, tmp_path / "y")
    assert text_of(tmp_path / "y") == text_of(tmp_path / "x")
    assert stale not in text_of(tmp_path / "y")
    with torch.no_grad():
        loaded.classifier.weight[0, 0] += 1
    ik.save(loaded, tmp_path / "trained")
    ik.save(ik.load(tmp_path / "x").to(torch.bfloat16), tmp_path / "cast")
    ik.save(ik.remove(ik.load(tmp_path / "x"), "bert.encoder.layer.0"), tmp_path / "further")
    for name in ("trained", "cast", "further"):
        assert stale in text_of(tmp_path / name), name


def test_figures_are_not_those_of_a_model_that_is_bypassed_further(tmp_path: Path) -> None:
    model = ik.prune(tiny.model("classifier"), data(), drop=1).model
    with ik.bypass(model, "bert.encoder.layer.1"):
        ik.save(model, tmp_path / "x", "plan")
    assert "These are not the figures of the model in this folder" in text_of(tmp_path / "x")


def test_figures_are_not_those_of_a_model_with_other_running_statistics() -> None:
    """No weight changes where batch norms are re-estimated."""
    block = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()) for _ in range(4)]
    model = ik.prune(nn.Sequential(*block).eval(), list(torch.randn(6, 8, 4)), drop=1).model
    assert holding(model) == (True,)
    model(torch.randn(8, 4))
    assert holding(model) == (True,)
    model.train()(torch.randn(8, 4))
    assert holding(model.eval()) == (False,)


def test_a_plan_alone_claims_nothing(tmp_path: Path) -> None:
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x")
    text = text_of(tmp_path / "x")
    assert "nothing was measured: this card has no figures" in text
    assert GENERATION in text
    assert "|" not in text


def test_a_damaged_twin_does_not_stop_a_model(tmp_path: Path) -> None:
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x")
    (tmp_path / "x" / "identikit.json").write_text('{"format": "mine"}')
    with pytest.warns(IdentikitWarning, match=r"The model is loaded without its history\."):
        model: Any = ik.load(tmp_path / "x")
    assert model.config.num_hidden_layers == 3


def test_a_difference_is_said(tmp_path: Path) -> None:
    """A model that does not load to the same bits: the card says how far off it was."""

    class Rounded(nn.Linear):
        def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
            super()._load_from_state_dict(*args, **kwargs)
            with torch.no_grad():
                self.weight.mul_(1 + 1e-6)

    ik.save(nn.Sequential(Rounded(4, 4)).eval(), tmp_path / "x", inputs=torch.ones(1, 4))
    assert re.search(r"the model that was saved is \d\.\de-0[678], of values up to ", text_of(tmp_path / "x"))


def test_a_plan_folder_says_what_it_is(tmp_path: Path) -> None:
    ik.save(diff(), tmp_path / "x", "plan")
    text = text_of(tmp_path / "x")
    assert f"{MARK}\n# DiffLlamaForCausalLM without 1 layer: full configuration and plan\n" in text
    assert "- `identity at model.layers.1`\n" in text
    again = run_snippet(tmp_path / "x")
    assert len(again.model.layers) == 3


def test_the_card_of_users_own_code_asks_for_it(tmp_path: Path) -> None:
    example = batches()[0][0]
    model = ik.remove(made(), "layers.1", inputs=example)
    ik.save(model, tmp_path / "x", "plan", inputs=example)
    assert 'ik.load("this folder", model=the_full_model)' in text_of(tmp_path / "x")
    assert "only your code makes the model" in text_of(tmp_path / "x")


def test_a_checkpoint_does_not_keep_the_card_of_the_plan_it_replaces(tmp_path: Path) -> None:
    ik.save(diff(), tmp_path / "x", "plan")
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x", overwrite=True)
    assert "LlamaForCausalLM without 1 layer\n" in text_of(tmp_path / "x")
    assert not (tmp_path / "x" / ASIDE).exists()


def test_a_persons_own_readme_stays(tmp_path: Path) -> None:
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x")
    (tmp_path / "x" / "README.md").write_text("---\nlicense: mit\n---\nmy own words")
    for _ in range(2):
        ik.save(diff(), tmp_path / "x", "plan", overwrite=True)
        assert text_of(tmp_path / "x") == "---\nlicense: mit\n---\nmy own words"
        assert MARK in (tmp_path / "x" / ASIDE).read_text()


def test_saved_over_its_own_source(source: Path) -> None:
    """The person's card stays where it is, once; ours stands beside it and points there."""
    ik.save(ik.remove(ik.load(source), "bert.encoder.layer.1"), source, like=source, overwrite=True)
    assert text_of(source) == THEIRS
    assert not (source / ORIGINAL).exists()
    assert "[README.md](README.md). **Every figure in it is the original model's**" in (source / ASIDE).read_text()
