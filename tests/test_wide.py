"""A seeded sample of the wide zoo, judged as `make zoo` judges all of it; and the judge, which must see a fault."""

from __future__ import annotations

import copy
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from wide import NotBuilt, build, run
from wide.cases import DECODE
from wide.compare import CLOSE, apart, results
from wide.configs import small_config
from wide.decoding import ways
from wide.judge import Story
from wide.reference import skipping
from wide.stacks import stacks_of

ROOT = Path(__file__).parents[1]
# Two of each auto class, drawn by random.Random(5) from those that build and have a stack of whole blocks; what became
# of the removal that the name draws is written beside them where it is no plain checkpoint.
SAMPLE = {
    "causal-lm": {"granite": "", "mamba": ""},
    "masked-lm": {"yoso": "", "roformer": ""},
    "sequence-classification": {"nystromformer": "", "axk2": ""},
    "seq2seq-lm": {"t5gemma": "", "musicflamingo": ""},
    "image-classification": {"convnext": "", "focalnet": ""},
    "audio-classification": {"hubert": "", "unispeech-sat": ""},
    "ctc": {"unispeech": "", "lasr_ctc": ""},
    "speech-seq2seq": {"seamless_m4t": "", "whisper": ""},
}
CASES = [(auto, kind, verdict or "checkpoint") for auto, those in SAMPLE.items() for kind, verdict in those.items()]


@pytest.mark.filterwarnings("ignore")  # what a library says while it is built is no matter of ours
@pytest.mark.parametrize(("auto", "model_type", "verdict"), CASES)
def test_a_removal_ends_as_it_should(auto: str, model_type: str, verdict: str) -> None:
    """One stack and one removal of it, drawn by the name; the whole story."""
    fresh = build(auto, model_type)
    model, batch = copy.deepcopy(fresh)
    draw = random.Random(f"{auto} {model_type}")
    stack = draw.choice(stacks_of(model, lambda: run(model, batch)))
    places = draw.choice(list(stack.cases().values()))
    decodes = ways(model, batch) if auto in DECODE else []
    told = Story(lambda: copy.deepcopy(fresh), stack, places, decodes).tell()
    assert told["verdict"] == verdict, (places, told)


def llama() -> tuple[Any, Any, Any]:
    model, batch = build("causal-lm", "llama")
    (stack,) = stacks_of(model, lambda: run(model, batch))
    return model, batch, stack


def told_of(places: list[str]) -> dict[str, Any]:
    model, batch, stack = llama()
    return Story(lambda: copy.deepcopy((model, batch)), stack, places, ["step", "generate"]).tell()


def test_the_judge_sees_another_layer_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    bypass = ik.bypass
    monkeypatch.setattr(ik, "bypass", lambda model, place, **options: bypass(model, "model.layers.2", **options))
    told = told_of(["model.layers.1"])
    assert (told["verdict"], told["why"][:8]) == ("wrong", "bypassed")


def test_the_judge_sees_a_cache_that_is_not_renumbered(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(model: Any, places: list[str], **options: Any) -> Any:
        del model.model.layers[int(places[0].rpartition(".")[2])]
        model.config.num_hidden_layers -= 1
        return model

    monkeypatch.setattr(ik, "remove", careless)
    told = told_of(["model.layers.0"])
    assert told["verdict"] in ("wrong", "crash")
    assert "removed, step" in told["why"]


def test_the_judge_sees_a_checkpoint_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(model: Any, folder: Path, **options: Any) -> None:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.model.norm.weight.mul_(1.01)
        other.save_pretrained(folder)

    monkeypatch.setattr(ik, "save", careless)
    told = told_of(["model.layers.1"])
    assert (told["verdict"], told["why"][:8]) == ("wrong", "reloaded")


def test_an_error_that_is_no_refusal_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise KeyError("layer_idx")

    monkeypatch.setattr(ik, "remove", broken)
    told = told_of(["model.layers.1"])
    assert (told["verdict"], told["why"][:8]) == ("crash", "KeyError")


def test_every_layer_of_the_reference_matters() -> None:
    model, batch, stack = llama()
    full = results(run(model, batch))
    assert stack.blocks == [f"model.layers.{layer}" for layer in range(4)]
    for place in stack.blocks:
        with skipping(model, stack, [place]):
            assert apart(results(run(model, batch)), full) > 100 * CLOSE
    assert apart(results(run(model, batch)), full) == 0


def test_the_cases_of_a_stack() -> None:
    stack = llama()[2]
    assert stack.cases() == {
        "first": ["model.layers.0"],
        "middle": ["model.layers.1"],
        "last": ["model.layers.3"],
        "two": ["model.layers.1", "model.layers.2"],
    }


def test_what_later_blocks_need_is_seen() -> None:
    model, batch = build("seq2seq-lm", "t5")
    encoder, decoder = stacks_of(model, lambda: run(model, batch))
    assert [path for stack in (encoder, decoder) for path, made in stack.makes.items() if made] == [
        "encoder.block.0",
        "decoder.block.0",
    ]


def test_blocks_are_counted_not_stages_nor_parts_of_blocks() -> None:
    """ConvNeXt's first stage keeps the shape, as does the middle convolution of a bottleneck; T5's block has parts."""
    found = {}
    for auto, kind in (("image-classification", "convnext"), ("image-classification", "resnet"), ("seq2seq-lm", "t5")):
        model, batch = build(auto, kind)
        found[kind] = [stack.path for stack in stacks_of(model, lambda m=model, b=batch: run(m, b))]
    assert found == {
        "convnext": [f"convnext.encoder.stages.{stage}.layers" for stage in range(4)],
        "resnet": [f"resnet.encoder.stages.{stage}.layers" for stage in range(4)],
        "t5": ["encoder.block", "decoder.block"],
    }


def test_a_small_configuration_shows_every_kind_of_layer() -> None:
    from transformers import Gemma3TextConfig, Qwen3NextConfig

    assert small_config(Gemma3TextConfig, "gemma3_text", vary=True).layer_types == [
        "sliding_attention",
        "full_attention",
        "sliding_attention",
        "full_attention",
    ]
    config = small_config(Qwen3NextConfig, "qwen3_next", vary=True)
    assert (config.num_hidden_layers, len(set(config.layer_types)), config.vocab_size) == (4, 2, 256)


def test_what_cannot_be_built_says_why() -> None:
    with pytest.raises(NotBuilt, match="detectron2"):
        build("sequence-classification", "layoutlmv2")


def page_module() -> Any:
    """benchmarks/coverage_page.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("coverage_page", ROOT / "benchmarks" / "coverage_page.py")
    assert spec is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def test_the_page_counts_what_the_lines_say(tmp_path: Path) -> None:
    head = {"auto": "ctc", "type": "some", "class": "SomeForCTC"}
    verdicts = {"first": "needed", "middle": "checkpoint", "last": "plan", "two": "wrong"}
    lines = [
        {
            "kind": "block",
            **head,
            "stack": "a.b",
            "which": which,
            "places": ["a.b.0"],
            "verdict": verdict,
            "why": "x | y",
        }
        for which, verdict in verdicts.items()
    ]
    lines.append({"kind": "model", **head, "builds": True, "stacks": {"a.b": 4}, "decodes": []})
    lines.append({"kind": "model", **head, "type": "other", "builds": False, "why": "too large"})
    module = page_module()
    module.write(lines, tmp_path)
    text = (tmp_path / module.PAGE).read_text()
    assert "| ctc | 2 | 1 | 3 | 33.3 % | 66.7 % | 1 | 0 |" in text  # needed is no removal
    assert "| some | ctc | two | `a.b.0` | wrong | x \\| y |" in text
    assert "| other | ctc | too large |" in text


def test_the_page_is_the_one_that_the_figures_give() -> None:
    module = page_module()
    page, result, rivals = (ROOT / place for place in (module.PAGE, module.RESULT, module.RIVALS))
    assert page.is_file() == result.is_file()
    if result.is_file():
        quoted = json.loads(rivals.read_text()) if rivals.is_file() else None
        facts = json.loads(result.read_text())
        assert page.read_text() == module.page(facts, quoted)
        counts = [each for those in facts["classes"].values() for each in those["removals"].values()]
        assert all(each["wrong"] == each["crash"] == 0 for each in counts), "nothing is silently wrong"
