"""A recurrent layer hands out its state too: where the model makes a view of it, None in its place has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import rnn

import identikit as ik
from identikit.errors import RoleError
from laws.snapshot import Snapshot


class Tagger(nn.Module):
    """Two recurrent layers; `look` is what becomes of the first one's state, which nothing reads."""

    def __init__(self, kind: type[nn.RNNBase], look: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = kind(6, 6, batch_first=True), kind(6, 6, batch_first=True)
        self.look = look

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, state = self.first(x)
        self.look(state[0] if isinstance(state, tuple) else state)
        out: torch.Tensor = self.second(x)[0]
        return out


VIEWS: dict[str, Callable[[torch.Tensor], object]] = {
    "squeeze": lambda state: state.squeeze(0),
    "last": lambda state: state[-1],
    "transpose": lambda state: state.transpose(0, 1).reshape(2, -1),
}
KINDS = [nn.LSTM, nn.GRU, nn.RNN]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_state_that_is_only_viewed_is_needed(kind: type[nn.RNNBase], view: str) -> None:
    model, inputs = Tagger(kind, VIEWS[view]).eval(), torch.randn(2, 5, 6)
    before = Snapshot(model)
    for as_ in ("identity", None):
        with pytest.raises(RoleError, match=r'^"first" makes an output \(1x2x6\) that later layers read; bypassing it'):
            ik.bypass(model, "first", inputs=inputs, as_=as_)
    with pytest.raises(RoleError, match=r'^"first" returns 2 outputs that are read later; a replacement makes one'):
        ik.remove(model, "first", as_="mean", data=[inputs])
    with ik.bypass(model, "first", inputs=inputs, as_="zero"), torch.no_grad():
        assert torch.equal(model(inputs), model.second(torch.zeros(2, 5, 6))[0])
    assert before.changes(model) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_nobody_looks_at_may_be_lost(kind: type[nn.RNNBase]) -> None:
    model, inputs = Tagger(kind, lambda state: None).eval(), torch.randn(2, 5, 6)
    with ik.bypass(model, "first", inputs=inputs, as_="identity"), torch.no_grad():
        assert torch.equal(model(inputs), model.second(inputs)[0])


def test_what_no_operation_shows_is_refused_in_one_line() -> None:
    """A shape is read by Python alone."""
    model, inputs = Tagger(nn.GRU, lambda state: state.shape[0]).eval(), torch.randn(2, 5, 6)
    before = Snapshot(model)
    for edit in (ik.bypass, ik.remove):
        with pytest.raises(RoleError) as refusal:
            edit(model, "first", inputs=inputs, as_="identity")
        assert str(refusal.value) == (
            "Tagger does not run with first out of action (AttributeError: 'NoneType' object has no attribute "
            "'shape'); it was left as it was. Keep the layer, or edit one inside it."
        )
        assert before.changes(model) == []


class Packed(nn.Module):
    """Sequences of unequal length, packed for the recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = nn.LSTM(6, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out: torch.Tensor = self.head(rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0])
        return out


def test_a_layer_between_packed_sequences() -> None:
    model, lengths = Packed().eval(), torch.tensor([3, 5, 2])
    x = torch.randn(3, 5, 6) * (torch.arange(5) < lengths[:, None])[..., None]
    inputs = {"x": x, "lengths": lengths}
    with torch.no_grad():
        absent = {"identity": model.head(x), "zero": model.head(torch.zeros_like(x))}
        for as_, expected in absent.items():
            with ik.bypass(model, "layer", inputs=inputs, as_=as_):
                torch.testing.assert_close(model(**inputs), expected)
        torch.testing.assert_close(
            ik.remove(model, "layer", inputs=inputs, as_="identity")(**inputs), absent["identity"]
        )
