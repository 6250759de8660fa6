"""The text of a model card: golden files, a front matter that the hub reads, no markup from what users typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

import sample_results as sample
from identikit.plan import Edit, Plan
from identikit.reporting.card import GENERATION, MARK, Facts, Proof, card
from identikit.reporting.front_matter import front_matter
from identikit.results import DataInfo
from identikit.results.chosen import chosen_step
from identikit.results.provenance import Figure, Provenance, Step

LOADS = 'from transformers import BertModel\n\nmodel = BertModel.from_pretrained("this folder")'
PROOF = Proof("it was loaded again by its library's own loader", 2.4e-7, 3.1, 2)
VERSIONS = {"identikit": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"}


def pruned() -> Facts:
    command = "identikit prune models/all-MiniLM-L6-v2 --data pairs.csv --keep 0.95 --to small"
    step = dataclasses.replace(chosen_step(sample.front(), method="greedy"), command=command)
    return Facts(
        kind="BertModel",
        form="checkpoint",
        plan=Plan.of(["encoder.layer.1", "encoder.layer.2"]),
        loads=LOADS,
        proof=PROOF,
        parameters=19_164_288,
        matter={"base_model": "org/name", "license": "apache-2.0", "tags": ("identikit",)},
        versions=VERSIONS,
        provenance=Provenance((step,)),
        holds=(True,),
        original="ORIGINAL_README.md",
    )


def healed() -> Facts:
    """A plan folder of a model that generates, healed after its prune: the prune's figures are no longer its own."""
    figure = Figure("kl", 0.021, full=0.0, before=0.34, higher_is_better=False,
                    data=DataInfo("self", "77aa", 120), chosen_on=False)  # fmt: skip
    steps = (*pruned().provenance.steps, Step("heal", ("Distilled for 300 seconds.",), figures=(figure,)))
    plan = Plan(frozenset({Edit("identity", "model.layers.1"), Edit("zero", "model.layers.2.mlp")}))
    changes = {"kind": "LlamaForCausalLM", "form": "plan", "plan": plan, "generates": True, "original": ""}
    said = 'import identikit as ik\n\nmodel = ik.load("this folder")'
    return dataclasses.replace(
        pruned(), **changes, loads=said, provenance=Provenance(steps), holds=(False, True), proof=Proof("read again")
    )


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("card.md", card(pruned()))
    golden("card_healed.md", card(healed()))
    nothing = Facts("BertModel", "checkpoint", Plan.of(["encoder.layer.1"]), LOADS, PROOF)
    golden("card_of_a_plan_alone.md", card(nothing))


def test_the_hub_reads_it(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(card(pruned()), encoding="utf-8")
    assert hub.metadata_load(tmp_path / "README.md") == {
        "base_model": "org/name", "license": "apache-2.0", "tags": ["identikit"],
    }  # fmt: skip
    assert hub.ModelCard.load(tmp_path / "README.md").text.lstrip().startswith(f"{MARK}\n# ")


TEXTS = ["no", "on", "1.0", "a: b", "- x", "#x", "null", "x #y", '"', "a'b", "\u00e9", "2024-01-01", "apache-2.0"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_of_the_front_matter_stays_that_text(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    lines = front_matter({"one": text, "many": (text, "b")}).removeprefix("---\n").removesuffix("---\n")
    assert yaml.safe_load(lines) == {"one": text, "many": [text, "b"]}


def test_a_line_end_cannot_add_a_key() -> None:
    yaml = pytest.importorskip("yaml")
    lines = front_matter({"license": "mit\nlicense: other\n---"}).removeprefix("---\n").removesuffix("---\n")
    assert set(yaml.safe_load(lines)) == {"license"}


def test_generation_is_warned_of_where_layers_went() -> None:
    assert GENERATION in card(healed())
    assert GENERATION not in card(pruned())
    whole = dataclasses.replace(healed(), plan=Plan(), provenance=Provenance(), holds=())
    grown = dataclasses.replace(whole, plan=Plan(frozenset({Edit("duplicate", "model.layers.1")})))
    assert GENERATION not in card(whole)
    assert GENERATION not in card(grown)


def test_figures_of_an_earlier_model_are_not_claimed() -> None:
    stale = "These are not the figures of the model in this folder"
    assert card(healed()).count(stale) == 1
    assert stale not in card(pruned())


def test_hostile_texts() -> None:
    step = Step("prune", ("<script>x</script> | [a](b)",), goal="*bold*", name="x/<img>", command="a ``` b\n# c")
    text = card(dataclasses.replace(pruned(), provenance=Provenance((step,)), holds=(False,)))
    assert "<script>" not in text
    assert "<img>" not in text
    assert "````bash\na ``` b # c\n````" in text
