"""Edits that change nothing: each must be an error with its cause, never a silent success."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from identikit.errors import IdentikitWarning, NotReachedError, RoleError
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import case, weigh

X = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))


def encoder(depth: int = 2) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return weigh(nn.TransformerEncoder(layer, depth, enable_nested_tensor=False))


def test_the_fast_path_of_an_encoder_layer_never_calls_its_children() -> None:
    """nn.TransformerEncoderLayer in eval mode reads its children's weights: an edit of a child runs 0 times."""
    model = encoder()
    before = Snapshot(model)
    for place in ("layers.1.linear1", "layers.1.self_attn", "layers.0.norm2", "layers.0.dropout1"):
        for verb in (bypass, remove):
            with pytest.raises(NotReachedError) as error:
                verb(model, place, inputs=X)
            assert str(error.value) == (
                f'"{place}" was edited but not called in the checked pass: nn.TransformerEncoderLayer\'s fast path '
                "reads its weights directly. Switch it off with torch.backends.mha.set_fastpath_enabled(False)."
            )
    assert before.changes(model) == []


def test_with_the_fast_path_off_the_same_edit_runs() -> None:
    model = encoder()
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with bypass(model, "layers.1.linear2", inputs=X) as handle:
            assert handle.calls == {"layers.1.linear2": 1}
            assert [edit.op for edit in handle.plan] == ["zero"]
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def test_the_out_projection_of_torch_attention_is_never_called() -> None:
    """nn.MultiheadAttention reads out_proj's weight, with the fast path on and off."""
    model = encoder()
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with pytest.raises(NotReachedError) as error:
            bypass(model, "layers.1.self_attn.out_proj", inputs=X)
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
    assert str(error.value) == (
        '"layers.1.self_attn.out_proj" was edited but not called in the checked pass, so the edit would change '
        'nothing. nn.MultiheadAttention reads its weights directly: edit "layers.1.self_attn" itself.'
    )


class Heads(nn.Module):
    """A second head that this forward does not use, and an early exit."""

    def __init__(self, exits: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))
        self.head, self.unused = nn.Linear(16, 3), nn.Linear(16, 3)
        self.exits = exits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            x = torch.relu(layer(x))
            if number + 1 == self.exits:
                break
        return self.head(x)


@pytest.mark.parametrize("place", ["unused", "layers.3"])
def test_what_the_forward_never_reaches_is_an_error(place: str) -> None:
    model = Heads(exits=3)
    for verb in (bypass, remove):
        with pytest.raises(NotReachedError) as error:
            verb(model, place, inputs=X)
        assert str(error.value) == (
            f'"{place}" was edited but not called in the checked pass, so the edit would change nothing. '
            "Pass `inputs` that reach it, or edit a layer that runs."
        )


def test_an_expert_that_the_example_did_not_reach_is_a_warning() -> None:
    """Routing depends on the tokens: the edit may matter for others."""

    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

        def forward(self, x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
            return x + sum(self.experts[int(number)](x) for number in chosen)

    model = weigh(Routed())
    inputs = (X, torch.tensor([0, 1]))
    with pytest.warns(IdentikitWarning) as caught:
        handle = bypass(model, "experts.2", inputs=inputs, as_="zero")
    assert {str(warning.message) for warning in caught} == {
        'the example did not reach "experts.2"; its edit is applied but unchecked.'
    }
    assert handle.calls == {"experts.2": 0}
    assert torch.equal(model(X, torch.tensor([2])), X)
    handle.undo()
    assert not torch.equal(model(X, torch.tensor([2])), X)


class ByForward(nn.Module):
    """Calls `layer.forward`, as SqueezeBERT does: no hook fires, an override on the instance does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer.forward(x)
        return x


def test_a_layer_called_by_its_forward_is_edited_all_the_same() -> None:
    model = weigh(ByForward())
    expected = model.layers[2](model.layers[0](X))
    with bypass(model, "layers.1", inputs=X):
        assert torch.equal(model(X), expected)
    assert torch.equal(remove(model, "layers.1", inputs=X)(X), expected)


class Captured(nn.Module):
    """Keeps bound forwards from its construction: no edit of the instance is ever seen."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.steps = tuple(layer.forward for layer in self.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x


def test_a_forward_captured_at_construction_cannot_be_reached() -> None:
    for verb in (bypass, remove):
        with pytest.raises(NotReachedError) as error:
            verb(Captured(), "layers.1", inputs=X)
        assert '"layers.1" was edited but not called in the checked pass' in str(error.value)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_layer_inside_torchscript_cannot_be_reached() -> None:
    scripted = torch.jit.trace(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)).eval(), X)
    model = nn.Sequential(nn.Linear(16, 16), scripted, nn.Linear(16, 16))
    for place in ("1.0", "1"):
        with pytest.raises(NotReachedError) as error:
            bypass(model, place, inputs=X)
        assert str(error.value) == (
            f'"{place}" runs inside TorchScript, where no edit reaches it. '
            "Edit the model before it is traced or scripted."
        )


def test_a_layer_without_effect_is_still_said_to_run() -> None:
    """A dropout in eval mode: the edit changes nothing because the layer does nothing; that is no error."""
    entry = case("bert")
    model = entry.build()
    with bypass(model, "bert.encoder.layer.1.output.dropout", inputs=entry.inputs(model), as_="identity") as handle:
        assert handle.calls == {"bert.encoder.layer.1.output.dropout": 1}


def test_what_was_said_wrongly_of_a_layer_is_refused_where_it_cannot_be_made() -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 16))
    with pytest.raises(RoleError) as error:
        bypass(model, "0", inputs=X, as_="identity")
    assert str(error.value) == (
        '"0" takes 2x5x16 and returns 2x5x8: no input has its output\'s shape. '
        'Keep it, or replace it: as_="adapter" with data=[...].'
    )
    with pytest.raises(RoleError) as error:
        bypass(model, "0", inputs=X, as_="nothing")
    assert str(error.value) == "as_='nothing' is none of identity, zero, one, mean, shortcut, adapter, resample."
