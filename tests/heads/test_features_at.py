"""`features(at=...)`: the model ends at a layer; what is behind it is not computed, and its weights are gone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import identikit as ik
from heads.headed import HEADED, headed
from identikit.errors import IdentikitError, NotReachedError, PlaceError, PlanError, RoleError
from identikit.surgery.apply import bypass
from laws.snapshot import Snapshot
from zoo import case

PICTURE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@contextmanager
def calls_of(model: nn.Module) -> Iterator[set[str]]:
    """The paths of the layers whose forward is called inside, the model itself left out."""
    called: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda _, __, path=path: called.add(path))
        for path, module in model.named_modules()
        if path
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def what_it_returns(model: nn.Module, layer: str, call: Any) -> Any:
    """What a layer of the full model returns, copied at once."""
    seen: list[Any] = []
    hook = model.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(copy.deepcopy(output)))
    with torch.no_grad():
        call(model)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("layer", ["layer3", "layer3.1", "layer2.0.bn1", "bn1", "avgpool", "fc"])
def test_the_model_returns_what_the_layer_returned(layer: str) -> None:
    model, full = case("resnet").build(), case("resnet").build()
    expected = what_it_returns(full, layer, lambda one: one(PICTURE))
    ik.features(model, at=layer, inputs=PICTURE)
    with torch.no_grad():
        assert torch.equal(model(PICTURE), expected)
    record = model.identikit_features
    assert (record.at, record.width, record.shape) == (layer, expected.shape[1], tuple(expected.shape[1:]))
    gone = [key for key in full.state_dict() if key.startswith(tuple(f"{path}." for path in record.removed))]
    assert list(model.state_dict()) == [key for key in full.state_dict() if key not in gone]


def test_what_is_behind_the_layer_is_not_computed() -> None:
    model, full = case("resnet").build(), case("resnet").build()
    ik.features(model, at="layer3", inputs=PICTURE)
    assert model.identikit_features.removed == ("layer4", "fc")
    with calls_of(full) as before:
        full(PICTURE)
    with calls_of(model) as after:
        model(PICTURE)
    behind = {path for path in before if path.split(".")[0] in ("layer4", "avgpool", "fc")}
    assert after == before - behind
    with FlopCounterMode(display=False) as whole:
        full(PICTURE)
    with FlopCounterMode(display=False) as tail:
        full.fc(torch.flatten(full.avgpool(full.layer4(torch.zeros(2, 16, 4, 4))), 1))
    with FlopCounterMode(display=False) as left:
        model(PICTURE)
    assert left.get_total_flops() == whole.get_total_flops() - tail.get_total_flops() > 0


def test_a_sequential_is_simply_shorter() -> None:
    inputs = HEADED["squeezenet"][1]
    model = ik.features(headed("squeezenet"), at="1", inputs=inputs)
    assert [name for name, _ in model.named_children()] == ["0", "1"]
    assert "forward" not in vars(model)


@pytest.mark.parametrize("name", ["llama", "t5", "whisper", "encoder_post_norm", "shared", "in_place", "unet"])
def test_the_zoo(name: str) -> None:
    entry = case(name)
    layer = entry.blocks()[1]
    model, batch = entry.build(), entry.inputs(entry.build())
    expected = what_it_returns(entry.build(), layer, batch.call)
    ik.features(model, at=layer, inputs=batch)
    with torch.no_grad():
        found = batch.call(model)
    expected, found = (value[0] if isinstance(value, tuple) else value for value in (expected, found))
    assert torch.equal(found, expected) if name != "encoder_post_norm" else torch.allclose(found, expected, atol=1e-5)
    assert model.identikit_features.width == expected.shape[-1 if expected.ndim == 3 else 1]
    assert model.identikit_features.parameters > 0


def test_it_is_copied_pickled_compiled_exported_and_learns() -> None:
    model = ik.features(case("resnet").build(), at="layer2", inputs=PICTURE)
    with torch.no_grad():
        expected = model(PICTURE)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            assert torch.equal(other(PICTURE), expected)
            other.conv1.weight.zero_()
            assert not torch.equal(other(PICTURE), expected)
    with torch.no_grad():
        assert torch.equal(model(PICTURE), expected)
        assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(PICTURE), expected)
        assert torch.equal(torch.export.export(model, (PICTURE,), strict=True).module()(PICTURE), expected)
    model(PICTURE).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_under_gradient_checkpointing() -> None:
    entry = case("llama")
    model, batch = ik.features(entry.build(), at="model.layers.1"), entry.inputs(entry.build())
    batch.call(model).sum().backward()
    expected = model.model.layers[0].mlp.up_proj.weight.grad.clone()
    model.zero_grad()
    model.activation_checkpointing_enable()
    batch.call(model.train()).sum().backward()
    assert torch.allclose(model.model.layers[0].mlp.up_proj.weight.grad, expected)


def test_it_can_be_cut_again() -> None:
    model = ik.features(case("resnet").build(), inputs=PICTURE)
    with pytest.raises(RoleError) as error:
        ik.features(model, inputs=PICTURE)
    assert str(error.value) == (
        "the head of this ResNet is off already (model.identikit_features). Name a layer to end at: at=..."
    )
    ik.features(model, at="layer4", inputs=PICTURE)
    ik.features(model, at="layer1.1", inputs=PICTURE)
    expected = what_it_returns(case("resnet").build(), "layer1.1", lambda one: one(PICTURE))
    with torch.no_grad():
        assert torch.equal(model(PICTURE), expected)
    assert {key.split(".")[0] for key in model.state_dict()} == {"conv1", "bn1", "layer1"}
    assert not any(key.startswith("layer1.2") for key in model.state_dict())


def test_no_text_without_a_head() -> None:
    model = ik.features(case("llama").build(), at="model.norm")
    with pytest.raises(RoleError) as error:
        model.generate(torch.tensor([[5, 6]]))
    assert str(error.value) == 'this LlamaForCausalLM ends at "model.norm" (ik.features), so it cannot generate.'


def test_parts_of_a_cut_model_say_why_they_do_not_run() -> None:
    model = ik.features(case("resnet").build(), at="layer2", inputs=PICTURE)
    with pytest.raises(RoleError) as error:
        model.layer2(torch.zeros(1, 8, 4, 4))
    assert str(error.value) == (
        '"layer2" is where ik.features ended this ResNet: call the whole model, not a part of it.'
    )
    with pytest.raises(RoleError) as gone:
        model.layer4(torch.zeros(1, 16, 4, 4))
    assert str(gone.value) == ('"layer4" was cut off by ik.features, with its weights. Load the model again to run it.')


class Twice(nn.Module):
    """One layer that runs twice, one that never does, one that returns numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.unused, self.fc = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.count = Count()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.again(x))
        return self.fc(x) * self.count(x)


class Count(nn.Module):
    def forward(self, x: torch.Tensor) -> int:
        return len(x)


REFUSED: dict[str, tuple[type[IdentikitError], str]] = {
    "again": (RoleError, '"again" runs 2 times in a pass and has no one output. Name one that runs once.'),
    "unused": (NotReachedError, '"unused" is not called on this example, so Twice cannot end there. Name another one.'),
    "count": (RoleError, '"count" returns no features (no floating tensor). Name another layer to end at.'),
    "*": (PlaceError, '"*" means 4 layers; a model ends at one. Name it: at="unused".'),
    "fcc": (PlaceError, 'no layer "fcc" in Twice. Did you mean "fc"?'),
}


@pytest.mark.parametrize("place", REFUSED)
def test_what_is_no_place_to_end_at(place: str) -> None:
    model, inputs = Twice().eval(), torch.randn(2, 8)
    before = Snapshot(model)
    kind, message = REFUSED[place]
    with pytest.raises(kind) as error:
        ik.features(model, at=place, inputs=inputs)
    assert str(error.value) == message
    assert before.changes(model) == []


@pytest.mark.parametrize("place", [0, ["body"], nn.Linear(1, 1)])
def test_a_place_is_a_path(place: Any) -> None:
    model = Twice().eval()
    with pytest.raises(PlaceError) as error:
        ik.features(model, at=place, inputs=torch.randn(2, 8))
    assert str(error.value) == (f'at={place!r}: a layer is named by its path, such as "layer3"; a model ends at one.')


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.fc = nn.Embedding(24, 6), nn.LSTM(6, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.cell(self.embed(x))[0])


TOKENS = torch.zeros(2, 24, dtype=torch.int64)
WIDTHS = {
    "transposed": (nn.Sequential(nn.Conv2d(3, 32, 1), nn.ConvTranspose2d(32, 8, 2, 2), nn.Flatten()), "1", PICTURE, 8),
    "embedding": (Recurrent(), "embed", TOKENS, 6),
    "gates": (Recurrent(), "cell", TOKENS, 6),
    "shuffled": (nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2), nn.Flatten()), "1", PICTURE, None),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_the_width_is_that_of_the_features_though_a_weight_has_the_size_of_another_dimension(name: str) -> None:
    """32 rows and 32 channels before them; 24 words, 24 places, and 24 rows of an LSTM's gates."""
    model, layer, inputs, width = WIDTHS[name]
    assert ik.features(model.eval(), at=layer, inputs=inputs).identikit_features.width == width


class Changed(nn.Module):
    """A hook on the layer has the last word about its output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(8, 8), nn.Linear(8, 3)
        self.body.register_forward_hook(lambda _, __, output: output * 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.body(x)))


def test_a_model_that_cannot_end_there_stays_whole() -> None:
    model, inputs = Changed().eval(), torch.randn(2, 8)
    before, expected = Snapshot(model), model(inputs)
    with pytest.raises(RoleError) as error:
        ik.features(model, at="body", inputs=inputs)
    assert str(error.value) == (
        "Changed, cut, does not give what it should; it was left as it was. Name another layer to end at: at=..."
    )
    assert before.changes(model) == []
    assert torch.equal(model(inputs), expected)


def test_not_while_an_edit_is_applied() -> None:
    entry = case("bert")
    model = entry.build()
    with bypass(model, "bert.encoder.layer.1"), pytest.raises(PlanError) as error:
        ik.features(model)
    assert str(error.value) == "an edit is still applied to this model. Undo the handle, then cut."
