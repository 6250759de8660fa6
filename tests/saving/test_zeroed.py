"""Branches in a plain checkpoint: zeros in their place, loaded anywhere, equal; told; shared weights refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from identikit.batches import tensors_of
from identikit.errors import IdentikitWarning, SaveError
from identikit.families import family_of
from identikit.saving.zeroed import zeroed_places, zeros_in_place
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from tiny import IDS
from zoo import case

BRANCHES = {
    "llama": ["model.layers.0.self_attn", "model.layers.3.mlp"],
    "gpt2": ["transformer.h.0.attn", "transformer.h.2.mlp"],
    "bert": ["bert.encoder.layer.1.attention.output.dense"],
    "vit": ["vit.layers.1.attention", "vit.layers.2.mlp"],
    "mixtral": ["model.layers.1.mlp", "model.layers.2.self_attn"],
    "bart": ["model.encoder.layers.1.self_attn", "model.decoder.layers.2.encoder_attn"],
}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        output = model(input_ids=IDS)
    return output[0]


def told(model: Any, folder: Path, **how: Any) -> str:
    """What saving warns of."""
    with pytest.warns(IdentikitWarning) as warned:
        ik.save(model, folder, **how)
    (only,) = warned
    return str(only.message)


@pytest.mark.parametrize("name", BRANCHES)
def test_a_checkpoint_without_branches_loads_anywhere(name: str, tmp_path: Path) -> None:
    entry = case(name)
    model: Any = entry.build()
    batch, places = entry.inputs(model), BRANCHES[name]
    ik.remove(model, places, inputs=batch)
    before = Snapshot(model)
    told(model, tmp_path / "x", inputs=batch)
    assert before.changes(model) == []
    again, info = type(model).from_pretrained(tmp_path / "x", output_loading_info=True)
    assert not any(info.values()), info

    def run(one: Any) -> list[torch.Tensor]:
        with torch.no_grad(), family_of(one).quiet(one):
            return tensors_of(batch.copied().call(one.eval()))

    expected = run(model)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(run(again), expected, strict=True))
    assert set(again.state_dict()) == set(entry.build().state_dict())
    loaded = ik.load(tmp_path / "x", inputs=batch)
    assert set(loaded.state_dict()) == set(model.state_dict())  # taken out again: the speed-up is back
    assert carried(loaded).plan == carried(model).plan  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(run(loaded), expected, strict=True))


def test_generation_with_the_cache_is_right(tmp_path: Path) -> None:
    """The first attention is gone: in the checkpoint it feeds the cache again, as the library expects."""
    model = ik.remove(tiny.model("causal"), "model.layers.0.self_attn")
    told(model, tmp_path / "x")
    again: Any = type(model).from_pretrained(tmp_path / "x").eval()
    how = {"max_new_tokens": 4, "do_sample": False, "output_scores": True, "return_dict_in_generate": True}
    scores = [torch.stack(one.generate(IDS, use_cache=cache, **how).scores) for one, cache in
              ((again, True), (again, False), (model, True))]  # type: ignore[operator]  # fmt: skip
    assert torch.allclose(scores[0], scores[1], atol=1e-5)
    assert torch.allclose(scores[0], scores[2], atol=1e-5)


def test_whole_blocks_and_branches_in_one_model(tmp_path: Path) -> None:
    """The blocks are gone from the configuration, the branches are zeros; the output says which are which."""
    model = ik.remove(tiny.model("causal"), ["model.layers.1", "model.layers.2.mlp", "model.layers.3.self_attn"])
    said = told(model, tmp_path / "x")
    assert said == (
        "2 sub-layers are zeroed in this checkpoint (model.layers.2.mlp, model.layers.3.self_attn): it loads anywhere "
        'and computes as without, but no faster. For the speed-up save format="plan" (--format plan).'
    )
    text = (tmp_path / "x" / "README.md").read_text()
    assert "<!-- written by identikit -->\n# LlamaForCausalLM without 1 layer and with 2 sub-layers zeroed\n" in text
    assert "no smaller and no faster than with them" in text
    assert "- `zero at model.layers.2.mlp`\n" in text
    again: Any = type(model).from_pretrained(tmp_path / "x").eval()
    assert again.config.num_hidden_layers == 3
    assert not again.model.layers[1].mlp.down_proj.weight.any()
    assert torch.equal(logits(again), logits(model))
    ik.save(ik.load(tmp_path / "x"), tmp_path / "y", "plan")  # and from there to the form that is faster
    fast = ik.load(tmp_path / "y")
    assert torch.equal(logits(fast), logits(model))
    assert sum(p.numel() for p in fast.parameters()) == sum(p.numel() for p in model.parameters())


def test_in_steps(tmp_path: Path) -> None:
    """A projection, then the branch around it, then more; each as if it had gone at once."""
    model = tiny.model("causal")
    for place in ("1.self_attn.o_proj", "1.self_attn", "0", "1.mlp"):
        ik.remove(model, f"model.layers.{place}")
    told(model, tmp_path / "x")
    assert torch.equal(logits(type(model).from_pretrained(tmp_path / "x").eval()), logits(model))


def test_the_stand_in_holds_no_memory_and_shows_nothing() -> None:
    model = tiny.model("causal")
    full = set(model.state_dict())
    ik.remove(model, "model.layers.1.mlp")
    assert zeroed_places(model) == ("model.layers.1.mlp",)
    assert not any(".1.mlp." in name for name in [*model.state_dict(), *dict(model.named_modules())])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(other), logits(model))
        with zeros_in_place(other):
            assert set(other.state_dict()) == full
        assert not any(".1.mlp." in name for name in other.state_dict())


def test_half_precision_afterwards(tmp_path: Path) -> None:
    model = ik.remove(tiny.model("causal"), "model.layers.1.mlp").to(torch.bfloat16)
    told(model, tmp_path / "x")
    again = type(model).from_pretrained(tmp_path / "x", dtype="auto")
    assert {value.dtype for value in again.parameters()} == {torch.bfloat16}


def test_weights_that_something_else_uses_are_refused(tmp_path: Path, seen: Callable[[], dict[str, bytes]]) -> None:
    model = tiny.model("causal")
    model.model.layers[1].mlp.up_proj.weight = model.model.layers[2].mlp.up_proj.weight
    ik.remove(model, "model.layers.1.mlp")
    before, files = Snapshot(model), seen()
    with pytest.raises(SaveError) as error:
        ik.save(model, tmp_path / "x")
    assert str(error.value) == (
        '"model.layers.1.mlp" was removed, but its up_proj.weight is also model.layers.2.mlp.up_proj.weight: a '
        'checkpoint would have to set that to zero too. Save the plan instead: format="plan" (--format plan).'
    )
    assert seen() == files
    assert before.changes(model) == []
    ik.remove(model, "model.layers.2")  # nothing else uses it now
    told(model, tmp_path / "x")


def test_what_zeros_do_not_silence_is_refused(tmp_path: Path) -> None:
    """Gemma's norm multiplies by one plus its weight: zeros make it no zero, and the proof sees it."""
    entry = case("gemma3")
    model = entry.build()
    ik.remove(model, "model.layers.1.post_feedforward_layernorm", inputs=entry.inputs(model))
    with pytest.raises(SaveError) as error:
        ik.save(model, tmp_path / "x", inputs=entry.inputs(model))
    assert "computes something else with zeros in the place of model.layers.1.post_feedforward_layernorm" in str(
        error.value
    )
    assert not (tmp_path / "x").exists()


def test_the_command_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from identikit.cli import main

    full = tiny.folder(tmp_path / "full", "causal")
    model = ik.load(full)
    with ik.bypass(model, "model.layers.1.mlp") as handle:
        handle.plan.write(tmp_path / "plan.json")
    with pytest.raises(SystemExit) as left:
        main(["apply", str(full), str(tmp_path / "plan.json"), "--to", str(tmp_path / "x")])
    assert not left.value.code
    said = " ".join(capsys.readouterr().err.split())
    assert "1 sub-layer is zeroed in this checkpoint (model.layers.1.mlp)" in said
    assert said.count("zeroed") == 1
