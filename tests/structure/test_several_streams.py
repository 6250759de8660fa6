"""Blocks with more than one stream: each goes on where it came from, also where all have the same shape."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import RoleError
from identikit.families.anatomy import anatomy_of
from zoo import weigh

TOKENS = 6


def draw(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def flux() -> nn.Module:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    size = {"patch_size": 1, "in_channels": 4, "num_layers": 3, "num_single_layers": 3, "attention_head_dim": 8}
    size |= {"num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 8}
    return weigh(FluxTransformer2DModel(**size, axes_dims_rope=(2, 2, 4)))


def flux_inputs(text: int = TOKENS) -> dict[str, Any]:
    """As many text tokens as patches: nothing but the code says which stream is which."""
    return {
        "hidden_states": draw(1, TOKENS, 4), "encoder_hidden_states": draw(1, text, 16, seed=1),
        "pooled_projections": draw(1, 8, seed=2), "timestep": torch.tensor([0.5]),
        "img_ids": draw(TOKENS, 3, seed=3), "txt_ids": torch.zeros(text, 3),
    }  # fmt: skip


def sd3() -> nn.Module:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    size = {"sample_size": 4, "patch_size": 2, "in_channels": 4, "out_channels": 4, "num_layers": 3}
    size |= {"attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 16, "pooled_projection_dim": 8}
    return weigh(SD3Transformer2DModel(**size, caption_projection_dim=16, pos_embed_max_size=8))


def sd3_inputs() -> dict[str, Any]:
    return {
        "hidden_states": draw(1, 4, 4, 4), "encoder_hidden_states": draw(1, 4, 16, seed=1),
        "pooled_projections": draw(1, 8, seed=2), "timestep": torch.tensor([0.5]),
    }  # fmt: skip


def with_forward(model: nn.Module, path: str, forward: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The reference: the layer's forward written by hand."""
    layer = model.get_submodule(path)
    vars(layer)["forward"] = forward
    with torch.no_grad():
        output = model(**inputs)[0]
    del vars(layer)["forward"]
    return output


def handed_on(hidden_states: Any, encoder_hidden_states: Any, *_: Any, **__: Any) -> Any:
    return encoder_hidden_states, hidden_states


@pytest.mark.parametrize("path", ["transformer_blocks.1", "single_transformer_blocks.1", "single_transformer_blocks.2"])
def test_the_streams_of_flux_are_not_swapped(path: str) -> None:
    """The text stream comes back first and goes in second; diffusers' own layer skip hands them on the other way."""
    model, inputs = flux(), flux_inputs()
    expected = with_forward(model, path, handed_on, inputs)
    swapped = with_forward(model, path, lambda hidden_states, encoder_hidden_states, *_, **__: (
        hidden_states, encoder_hidden_states), inputs)  # fmt: skip
    with ik.bypass(model, path, inputs=inputs), torch.no_grad():
        assert torch.equal(model(**inputs)[0], expected)
    assert not torch.allclose(expected, swapped, atol=1e-3)


def test_the_streams_of_sd3_are_not_swapped() -> None:
    model, inputs = sd3(), sd3_inputs()
    expected = with_forward(model, "transformer_blocks.1", handed_on, inputs)
    ik.remove(model, "transformer_blocks.1", inputs=inputs)
    assert len(model.transformer_blocks) == 2
    with torch.no_grad():
        assert torch.equal(model(**inputs)[0], expected)


def test_a_block_that_ends_one_stream() -> None:
    """SD3's last block returns no text stream: None goes on, as its own forward does it."""
    model, inputs = sd3(), sd3_inputs()
    last = len(model.transformer_blocks) - 1
    expected = with_forward(
        model, f"transformer_blocks.{last}", lambda hidden_states, *_, **__: (None, hidden_states), inputs
    )
    with ik.bypass(model, f"transformer_blocks.{last}", inputs=inputs), torch.no_grad():
        assert torch.equal(model(**inputs)[0], expected)


def test_the_branches_of_a_double_stream_block() -> None:
    """Attention returns a branch of either stream, the MLPs one of one; all scaled by gates of the condition."""
    model, inputs = flux(), flux_inputs(text=4)
    zeros = with_forward(
        model, "transformer_blocks.1.attn",
        lambda hidden_states, encoder_hidden_states, **_: (0 * hidden_states, 0 * encoder_hidden_states), inputs,
    )  # fmt: skip
    anatomy = anatomy_of(model, inputs)
    for name in ("attn", "ff", "ff_context"):
        assert anatomy.verdict(f"transformer_blocks.1.{name}").role == "branch", name
    with ik.bypass(model, "transformer_blocks.1.attn", inputs=inputs), torch.no_grad():
        assert torch.allclose(model(**inputs)[0], zeros, atol=1e-6)


def test_a_u_net_with_long_skips() -> None:
    """What both goes on and is kept for the way up: identity where the shape stays, refused by name where not."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    size = {"sample_size": 8, "in_channels": 3, "out_channels": 3, "layers_per_block": 2, "norm_num_groups": 4}
    size |= {"block_out_channels": (8, 16), "attention_head_dim": 4}
    down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
    model = weigh(UNet2DModel(**size, down_block_types=down, up_block_types=up))
    inputs = {"sample": draw(1, 3, 8, 8), "timestep": torch.tensor([3])}
    path = "down_blocks.1.attentions.0"
    expected = with_forward(model, path, lambda hidden_states, *_, **__: hidden_states, inputs)
    with ik.bypass(model, path, inputs=inputs), torch.no_grad():
        assert torch.equal(model(**inputs)[0], expected)
    for path in ("down_blocks.0", "down_blocks.1", "up_blocks.0", "up_blocks.1", "up_blocks.1.resnets.0"):
        with pytest.raises(RoleError, match=f'^"{path}"'):
            ik.bypass(model, path, inputs=inputs)


class Recurrent(nn.Module):
    """LSTMs or GRUs one behind the other; the states read by nobody, or by the head."""

    def __init__(self, kind: type[nn.RNNBase], *, reads: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind(8, 8, batch_first=True) for _ in range(3))
        self.head, self.reads = nn.Linear(8, 3), reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = []
        for layer in self.layers:
            x, state = layer(x)
            states.append(state)
        read = {"nobody": [], "last": states[-1:], "all": states}[self.reads]
        hidden = ((state[0] if isinstance(state, tuple) else state).transpose(0, 1) for state in read)
        return self.head(sum(hidden, x))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_recurrent_layer_whose_states_nobody_reads_is_a_block(kind: type[nn.RNNBase]) -> None:
    model, x = weigh(Recurrent(kind, reads="nobody")), draw(2, 5, 8)
    first, _, last = model.layers
    expected = model.head(last(first(x)[0])[0])
    with ik.bypass(model, "layers.1", inputs=x):
        assert torch.equal(model(x), expected)
    ik.remove(model, "layers.1", inputs=x)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize(("kind", "reads", "free"), [(nn.LSTM, "last", ["0", "1"]), (nn.GRU, "all", [])])
def test_states_that_are_read_later_cannot_be_given(kind: type[nn.RNNBase], reads: str, free: list[str]) -> None:
    model, x = weigh(Recurrent(kind, reads=reads)), draw(2, 5, 8)
    for name in ("0", "1", "2"):
        if name in free:
            with ik.bypass(model, f"layers.{name}", inputs=x):
                model(x)
        else:
            with pytest.raises(RoleError, match=rf'"layers\.{name}" makes an output \(1x2x8\) that later layers read'):
                ik.bypass(model, f"layers.{name}", inputs=x)


def test_an_attention_that_returns_its_weights() -> None:
    """(output, weights): the weights read by nobody, the output added to the stream."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.attn = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.norm(x)
            return x + self.attn(y, y, y)[0]

    model, x = weigh(nn.Sequential(Layer(), Layer(), Layer())), draw(2, 5, 8)
    expected = model[2](model[0](x))
    with ik.bypass(model, "1.attn", inputs=x) as handle:
        assert [edit.op for edit in handle.plan] == ["zero"]
        assert torch.equal(model(x), expected)


@dataclasses.dataclass
class Both:
    left: torch.Tensor
    right: torch.Tensor
    note: str = "none"


class Output(OrderedDict):  # type: ignore[type-arg]
    """As libraries return them: a mapping that is read by attribute."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


MADE = {"dataclass": Both, "mapping": lambda left, right: Output(left=left, right=right)}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_streams_inside_an_object(made: Any) -> None:
    """Two streams of one shape, returned in the opposite order, in a dataclass or a mapping."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, right: torch.Tensor, left: torch.Tensor) -> Any:
            return made(left=left + torch.tanh(self.a(right)), right=right + torch.tanh(self.b(left)))

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Crossed() for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = x, x.flip(0)
            for layer in self.layers:
                both = layer(right=right, left=left)
                left, right = both.left, both.right
            return torch.cat([left, 2 * right], -1)

    model, x = weigh(Chain()), draw(4, 8)
    for number in range(3):
        left, right = x, x.flip(0)
        for layer in (each for other, each in enumerate(model.layers) if other != number):
            both = layer(right=right, left=left)
            left, right = both.left, both.right
        with ik.bypass(model, f"layers.{number}", inputs=x):
            assert torch.equal(model(x), torch.cat([left, 2 * right], -1)), number
