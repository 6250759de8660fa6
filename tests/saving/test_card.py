"""The README of a plan folder: it says what the folder is, never outlives it, and never takes a person's place."""

from __future__ import annotations

from pathlib import Path

import identikit as ik
import tiny
from identikit.saving.card import ASIDE, MARK
from small_net import batches, made


def diff() -> object:
    return ik.remove(tiny.model("diff"), "model.layers.1")


def test_a_plan_folder_says_what_it_is(tmp_path: Path) -> None:
    ik.save(diff(), tmp_path / "x", "plan")
    text = (tmp_path / "x" / "README.md").read_text()
    assert text.startswith(f"{MARK}\n# DiffLlamaForCausalLM without 1 layer: full configuration and plan\n")
    assert "- `identity at model.layers.1`\n" in text
    assert 'model = ik.load("this folder")\n' in text


def test_the_card_of_users_own_code_asks_for_it(tmp_path: Path) -> None:
    example = batches()[0][0]
    model = ik.remove(made(), "layers.1", inputs=example)
    ik.save(model, tmp_path / "x", "plan", inputs=example)
    assert 'ik.load("this folder", model=the_full_model)' in (tmp_path / "x" / "README.md").read_text()


def test_a_checkpoint_does_not_keep_the_card_of_the_plan_it_replaces(tmp_path: Path) -> None:
    ik.save(diff(), tmp_path / "x", "plan")
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x", overwrite=True)
    assert not (tmp_path / "x" / "README.md").exists()


def test_a_persons_own_readme_stays(tmp_path: Path) -> None:
    ik.save(ik.remove(tiny.model("causal"), "model.layers.1"), tmp_path / "x")
    (tmp_path / "x" / "README.md").write_text("my own words")
    for _ in range(2):
        ik.save(diff(), tmp_path / "x", "plan", overwrite=True)
        assert (tmp_path / "x" / "README.md").read_text() == "my own words"
        assert (tmp_path / "x" / ASIDE).read_text().startswith(MARK)
