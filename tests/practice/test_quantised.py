"""Quantised linear layers: torch's own dynamic ones, and int8 weights with scales as other libraries keep them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import identikit as ik
import tiny
from identikit.errors import SaveError
from practice.where import PLACE, logits

SIZE = sum(value.numel() for value in tiny.model("causal").model.layers[1].parameters())


class Int8Linear(nn.Linear):
    """A stand-in for the layers of quantisation libraries: one byte a weight, one scale a row."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        scale = layer.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((layer.weight.detach() / scale).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)


def by_hand() -> Any:
    model = tiny.model("causal")
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, Int8Linear(child))
    return model


def dynamic() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization is to move to torchao: theirs to say
        return torch.ao.quantization.quantize_dynamic(tiny.model("causal"), {nn.Linear}, dtype=torch.qint8)


@pytest.fixture(params=[by_hand, dynamic])
def model(request: pytest.FixtureRequest) -> Any:
    made = request.param()
    with torch.no_grad():
        yield made


# Reading the state of torch.ao's layers says that typed storage is to go: theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")


def test_sites_count_the_packed_weights(model: Any) -> None:
    found = ik.sites(model)
    assert [(site.path, site.ok) for site in found] == [(f"model.layers.{layer}", True) for layer in range(4)]
    assert found[1].parameters == SIZE
    (inner,) = ik.sites(model, at=f"{PLACE}.mlp")
    assert (inner.role, inner.parameters) == ("branch", 3 * 16 * 24)


def test_bypass_undo_and_remove(model: Any) -> None:
    full = logits(model)
    with ik.bypass(model, PLACE):
        bypassed = logits(model)
    assert not torch.allclose(bypassed, full, atol=0.1)
    assert torch.equal(logits(model), full)
    ik.remove(model, PLACE)
    assert model.config.num_hidden_layers == 3
    assert torch.equal(logits(model), bypassed)


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_a_save_is_refused_by_name(model: Any, form: Any, tmp_path: Path) -> None:
    ik.remove(model, PLACE)
    with pytest.raises(SaveError, match=r"was quantised after it was loaded \(model.layers.0.self_attn"):
        ik.save(model, tmp_path / "no", form)
    assert not (tmp_path / "no").exists()


def test_a_plain_network_with_int8_weights_is_saved_as_it_is(tmp_path: Path) -> None:
    def net() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(*(Int8Linear(nn.Linear(8, 8)) for _ in range(3)))

    model, x = net(), torch.randn(2, 8)
    ik.remove(model, "1", inputs=x)
    ik.save(model, tmp_path / "short", inputs=x)
    assert torch.equal(ik.load(tmp_path / "short", model=net(), inputs=x)(x), model(x))
