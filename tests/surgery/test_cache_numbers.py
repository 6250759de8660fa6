"""The numbers of a plain model's layers: in a ModuleDict, from any first number on, deep inside what was removed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from identikit.surgery.renumber import layer_numbers
from zoo import case, weigh

IDS = torch.randint(0, 50, (2, 6), generator=torch.Generator().manual_seed(0))
WIDTH = 8
Cache = dict[int, tuple[torch.Tensor, torch.Tensor]]


class Attention(nn.Module):
    """Causal, with a cache that is looked up by the layer's number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.number = number

    def forward(self, x: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        keys, values = self.key(x), self.value(x)
        if cache is not None:
            if self.number in cache:
                keys = torch.cat([cache[self.number][0], keys], dim=1)
                values = torch.cat([cache[self.number][1], values], dim=1)
            cache[self.number] = (keys, values)
        new, every = x.shape[1], keys.shape[1]
        mask = torch.full((new, every), -1e9).triu(every - new + 1)
        return (self.query(x) @ keys.transpose(1, 2) / WIDTH**0.5 + mask).softmax(-1) @ values


class Wrapped(nn.Module):
    """The attention one module deeper."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.inner = Attention(number)

    def forward(self, x: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        return self.inner(x, cache)


class Layer(nn.Module):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.mixer, self.up = Wrapped(number), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        x = x + self.mixer(x, cache)
        return x + torch.tanh(self.up(x))


class Decoder(nn.Module):
    """Reads its position off the first place of the cache."""

    def __init__(self, start: int, depth: int, *, named: bool) -> None:
        super().__init__()
        layers = [Layer(start + number) for number in range(depth)]
        self.layers: Any = nn.ModuleDict({f"h{n}": each for n, each in enumerate(layers)}) if named else None
        self.layers = self.layers if named else nn.ModuleList(layers)
        self.words, self.places, self.start = nn.Embedding(50, WIDTH), nn.Embedding(50, WIDTH), start

    def forward(self, ids: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        past = cache[self.start][0].shape[1] if cache and self.start in cache else 0
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]) + past)
        for layer in self.layers.values() if isinstance(self.layers, nn.ModuleDict) else self.layers:
            x = layer(x, cache)
        return x


def off(model: nn.Module) -> float:
    with torch.no_grad():
        whole, cache = model(IDS), {}
        steps = torch.cat([model(IDS[:, at : at + 1], cache) for at in range(IDS.shape[1])], dim=1)
        return float((steps - whole).abs().max() / whole.abs().max())


PLACES = ["layers.{}0", "layers.{}0.mixer", "layers.{}0.mixer.inner", "layers.{}1", "layers.{}2.mixer"]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("start", [0, 1, 7])
@pytest.mark.parametrize("place", PLACES)
def test_the_first_place_belongs_to_a_live_layer(named: bool, start: int, place: str) -> None:
    model, path = weigh(Decoder(start, 4, named=named)), place.format("h" if named else "")
    assert off(model) < 1e-5
    with bypass(model, path, inputs=IDS):
        assert off(model) < 1e-5
    assert off(model) < 1e-5
    assert off(remove(model, path, inputs=IDS)) < 1e-5


@pytest.mark.parametrize("named", [False, True])
def test_one_removal_after_the_other(named: bool) -> None:
    model, name = weigh(Decoder(1, 4, named=named)), "h" if named else ""
    for place in (f"layers.{name}0.mixer", f"layers.{name}1", f"layers.{name}2.mixer"):
        remove(model, place, inputs=IDS)
        assert off(model) < 1e-5
        if not named and place == "layers.1":
            break
    last = f"layers.{name}3.mixer" if named else "layers.[1:3].mixer"
    with pytest.raises(RoleError, match="no layer of this stack feeds the cache"):
        remove(model, last, inputs=IDS)
    assert off(model) < 1e-5


def test_sizes_of_torchs_own_layers_are_no_numbers() -> None:
    growing = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 9), nn.Linear(9, 10))
    assert layer_numbers(growing) == []
    remove(growing, "0", inputs=torch.randn(2, 8))
    assert [(layer.in_features, layer.out_features) for layer in growing] == [(8, 9), (9, 10)]


def test_the_encoders_layers_feed_no_cache() -> None:
    """They carry numbers too; without any of them the model decodes as it did."""
    entry = case("bart")
    model = entry.build()
    with bypass(model, "model.encoder.layers.*", inputs=entry.inputs(model)) as handle:
        assert handle.calls
    remove(model, "model.encoder.layers.*", inputs=entry.inputs(model))
    with pytest.raises(RoleError, match=r"decoding with a cache would break\. Keep one"):
        bypass(model, "model.decoder.layers.*", inputs=entry.inputs(model))


def test_a_kind_whose_attention_is_all_gone_is_refused_by_both_verbs() -> None:
    entry = case("gemma3")
    model = entry.build()
    places = ["model.layers.0.self_attn", "model.layers.2.self_attn"]
    for verb in (bypass, remove):
        with pytest.raises(RoleError, match=r"Keep one of them, or remove the whole layers\."):
            verb(model, places, inputs=entry.inputs(model), as_="zero")
