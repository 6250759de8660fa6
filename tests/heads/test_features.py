"""`features`: what a head took is what the cut model gives, bit for bit; nothing else of the model changes."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from heads.headed import HEADED, headed, what_it_takes
from identikit.errors import InputsError, SaveError
from identikit.structure.compare import equal
from zoo import case


def out(model: nn.Module, inputs: Any) -> Any:
    with torch.no_grad():
        output = model(inputs)
    return output["logits"] if isinstance(output, dict) else output


@pytest.mark.parametrize("name", HEADED)
def test_the_cut_model_gives_what_the_head_took(name: str) -> None:
    _, inputs, layer, pooled, removed = HEADED[name]
    model, full = headed(name), headed(name)
    expected = pooled(what_it_takes(full, inputs, layer))
    weights = dict(model.named_parameters())
    assert ik.features(model, inputs=inputs) is model
    features = out(model, inputs)
    assert equal(features, expected)
    assert name in ("squeezenet", "tokens") or torch.equal(features, expected)
    record = model.identikit_features
    assert (record.width, record.shape) == (features.shape[1], tuple(features.shape[1:]))
    assert (record.removed, record.at) == (removed, None)
    kept = {key: weight for key, weight in weights.items() if not key.startswith(tuple(f"{one}." for one in removed))}
    assert list(model.state_dict()) == list(kept)
    assert all(weight is kept[key] for key, weight in model.named_parameters())
    assert record.parameters == sum(weight.numel() for weight in weights.values()) - sum(
        weight.numel() for weight in kept.values()
    )


@pytest.mark.parametrize("name", ["lenet", "alexnet", "squeezenet"])
def test_it_is_copied_and_pickled_and_learns(name: str) -> None:
    inputs = HEADED[name][1]
    model = ik.features(headed(name), inputs=inputs)
    expected = out(model, inputs)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(out(other, inputs), expected)
        assert other.identikit_features == model.identikit_features
        with torch.no_grad():
            next(other.parameters()).zero_()  # a copy's forward runs on the copy's weights
        assert not torch.equal(out(other, inputs), expected)
    assert torch.equal(out(model, inputs), expected)
    model(inputs).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_the_dropout_in_front_of_the_head_goes_too() -> None:
    inputs = HEADED["alexnet"][1]
    model = ik.features(headed("alexnet"), inputs=inputs)
    expected = out(model, inputs)
    assert torch.equal(out(model.train(), inputs), expected)


def test_what_lets_the_examples_features_through_but_not_others_is_seen() -> None:
    inputs = HEADED["clamp"][1]
    model, loud = headed("clamp"), inputs * 1e4
    expected = what_it_takes(model, loud, "fc")
    assert expected.abs().max() > 50
    assert torch.equal(out(ik.features(model, inputs=inputs), loud), expected)


def test_a_picture_that_is_one_place_at_the_end_leaves_the_pooling() -> None:
    model = case("resnet").build()
    small, large = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 32, 32)
    expected = what_it_takes(model, large, "fc")
    ik.features(model, inputs=small)
    assert torch.equal(out(model, large), expected)
    assert model.identikit_features.removed == ("fc",)


@pytest.mark.parametrize(("name", "layer"), [("bert", "classifier"), ("vit", "classifier"), ("nested", "head")])
def test_the_zoo(name: str, layer: str) -> None:
    entry = case(name)
    model, batch = entry.build(), entry.inputs(entry.build())
    expected = what_it_takes(model, dict(batch.kwargs) or batch.args[0], layer)
    with torch.no_grad():
        before = batch.call(model)
        after = batch.call(ik.features(model, inputs=batch))
    if isinstance(after, torch.Tensor):
        assert torch.equal(after, expected)
    else:
        assert type(after) is type(before)
        assert torch.equal(after.logits, expected)


def test_a_transformers_model_gives_its_other_outputs_as_before() -> None:
    entry = case("bert")
    model, batch = entry.build(), entry.inputs(entry.build())
    asked = {**batch.kwargs, "output_hidden_states": True}
    with torch.no_grad():
        before = model(**asked).hidden_states
        after = ik.features(model)(**asked).hidden_states
    assert len(after) == len(before) == 5
    assert all(torch.equal(one, other) for one, other in zip(after, before, strict=True))


def llama_classifier() -> Any:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=64, num_key_value_heads=2, num_labels=3, pad_token_id=0, **size)
        return LlamaForSequenceClassification(config).eval()


@pytest.mark.parametrize("lengths", [(12, 9), (3, 12), (12, 12)])
def test_a_head_before_the_choice_of_a_token(lengths: tuple[int, int]) -> None:
    """LLaMA scores every token, then takes the last one that is no padding: so are the features, for any padding."""
    model = llama_classifier()
    mask = (torch.arange(12) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, 64, (2, 12)) * mask
    with torch.no_grad():
        states = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        ik.features(model)  # on its own example, which has no padding
        features = model(input_ids=ids, attention_mask=mask).logits
    last = torch.tensor(lengths) - 1
    assert torch.equal(features, states[torch.arange(2), last])
    assert model.identikit_features.removed == ("score",)


def test_labels_are_refused() -> None:
    model = ik.features(llama_classifier())
    ids, labels = torch.randint(1, 64, (2, 5)), torch.tensor([0, 1])
    message = (
        "LlamaForSequenceClassification without its head has no scores to compare with labels=. "
        "Call it without, and compute the loss from the features."
    )
    for given in ({"labels": labels}, {"labels": labels, "attention_mask": torch.ones_like(ids)}):
        with pytest.raises(InputsError) as error:
            model(input_ids=ids, **given)
        assert str(error.value) == message
    with pytest.raises(InputsError, match="no scores to compare with labels="):
        model(ids, None, None, None, None, labels)
    with pytest.raises(InputsError, match="no scores to compare with labels="):
        ik.features(llama_classifier(), inputs={"input_ids": ids, "labels": labels})
    assert model(ids).loss is None


def test_libraries_still_read_what_the_forward_takes() -> None:
    import inspect

    model = llama_classifier()
    before = inspect.signature(model.forward)
    assert inspect.signature(ik.features(model).forward) == before


def test_the_compiler_follows() -> None:
    inputs = HEADED["lenet"][1]
    model = ik.features(headed("lenet"), inputs=inputs)
    assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(inputs), out(model, inputs))
    compiled: Any = torch.compile(headed("alexnet"), backend="eager")
    compiled(inputs)
    assert ik.features(compiled, inputs=inputs) is compiled
    assert compiled(inputs).shape == (2, 72)
    assert compiled.identikit_features.width == 72


def test_what_is_saved(tmp_path: Path) -> None:
    inputs = HEADED["alexnet"][1]
    model = ik.features(headed("alexnet"), inputs=inputs)
    ik.save(model, tmp_path / "plain", inputs=inputs)
    again = ik.features(headed("alexnet"), inputs=inputs)
    with torch.no_grad():
        next(again.parameters()).zero_()
    loaded = ik.load(tmp_path / "plain", model=again, inputs=inputs)
    assert torch.equal(out(loaded, inputs), out(model, inputs))


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize("verb", ["remove", "insert"])
def test_what_was_edited_before_the_cut_is_loaded_into_a_model_that_was_too(
    tmp_path: Path, verb: str, form: Any
) -> None:
    """The plan is one of the full model, and the cut cannot be undone to follow it."""

    def edited() -> nn.Module:
        model = case("nested").build()
        if verb == "insert":
            ik.insert(model, "stages.0", after=1, inputs=inputs)
        else:
            ik.remove(model, "stages.0.1", inputs=inputs)
        return ik.features(model, at="stages.1", inputs=inputs)

    inputs = case("nested").inputs(case("nested").build()).args[0]
    model, other = edited(), edited()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    ik.save(model, tmp_path / "cut", form, inputs=inputs)
    assert torch.equal(ik.load(tmp_path / "cut", model=other)(inputs), model(inputs))


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_what_cannot_be_saved(tmp_path: Path, form: Any) -> None:
    entry = case("vit")
    model = ik.features(entry.build())
    with pytest.raises(SaveError) as error:
        ik.save(model, tmp_path / "folder", format=form)
    assert str(error.value) == (
        "ik.features cut this ViTForImageClassification, and no checkpoint or plan of its library says so. Save the "
        'weights: torch.save(model.state_dict(), "cut.pt"). They load into a model that is cut in the same way.'
    )
    assert not (tmp_path / "folder").exists()
    again = ik.features(entry.build())
    again.load_state_dict(model.state_dict())
