"""Which blocks can be made the identity, and through which weights: hand-written ones with one difficulty each."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

import identikit as ik
from identikit.errors import RoleError

WIDTH = 8
X = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))


def grown(block: type[nn.Module], x: torch.Tensor = X) -> nn.Module:
    """Two such blocks with another put in behind the second; it computes what the two did."""
    torch.manual_seed(0)
    model = nn.Sequential(block(), block()).eval()
    with torch.no_grad():
        before = model(x)
        ik.insert(model, "", after=[1], inputs=x)
        assert torch.equal(model(x), before)
    return model[2]


def at_zero(block: nn.Module) -> set[str]:
    return {name for name, value in block.named_parameters() if not bool(value.any())}


class GatedRaw(nn.Module):
    """A gated unit in raw parameters, the last one named first: both factors at zero would never learn."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(2 * WIDTH, WIDTH))
        self.up = nn.Parameter(torch.randn(WIDTH, 4 * WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = (x @ self.up).chunk(2, -1)
        return x + (F.silu(gate) * value) @ self.down


def test_of_two_factors_one_is_at_zero() -> None:
    assert at_zero(grown(GatedRaw)) == {"down"}


class ScaledStream(nn.Module):
    """The stream itself is scaled: not zero but one lets it pass."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.tensor(0.7))
        self.work = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.keep * x + torch.tanh(self.work(x))


def test_a_scale_on_the_stream_is_one() -> None:
    block = grown(ScaledStream)
    assert block.keep.item() == 1.0  # type: ignore[union-attr,operator]
    assert at_zero(block) == {"work.weight", "work.bias"}


class TinyScale(nn.Module):
    """A branch scaled by 1e-6 looks closed when it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((WIDTH,), 1e-6))
        self.work = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.work(x)


def test_a_tiny_scale_is_closed_all_the_same() -> None:
    assert at_zero(grown(TinyScale)) == {"scale"}


class WeightNorm(nn.Module):
    """Its directions are divided by their length, and have none at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = weight_norm(nn.Linear(WIDTH, WIDTH)), weight_norm(nn.Linear(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.tanh(self.up(x)))


def test_what_the_block_divides_by_is_left_alone() -> None:
    block = grown(WeightNorm)
    assert "down.parametrizations.weight.original0" in at_zero(block)
    assert "down.parametrizations.weight.original1" not in at_zero(block)


class Experts(nn.Module):
    """One of two experts by the sign of the first feature: the example reaches one."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4), nn.Tanh(), nn.Linear(4, WIDTH)) for _ in range(2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.experts[int(x[0, 0] < 0)](x)


def test_experts_that_the_example_did_not_reach_are_closed_like_the_others() -> None:
    block = grown(Experts)
    assert at_zero(block) == {f"experts.{number}.2.{name}" for number in (0, 1) for name in ("weight", "bias")}
    for x in (X, -X):
        assert torch.equal(block(x), x)


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4), nn.ReLU())


def test_a_chain_without_a_shortcut_gets_dirac_kernels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(chain(), chain(), chain()).eval()
    x = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        before = model(x)
        ik.insert(model, "", after=[1], inputs=x)
        assert torch.allclose(model(x), before, rtol=1e-6, atol=1e-6)
    kernel = model[2][0].weight  # type: ignore[index]
    assert torch.equal(kernel, nn.init.dirac_(torch.empty_like(kernel), 2))


def test_a_linear_layer_of_a_chain_gets_the_unit_matrix() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
    ik.insert(model, "", after=[0], inputs=X)
    assert torch.equal(model[1].weight, torch.eye(WIDTH))  # type: ignore[arg-type]
    assert torch.equal(model[0].weight.grad or torch.zeros(1), torch.zeros(1))  # type: ignore[arg-type]


class Dead(nn.Module):
    """Its branch ends in a ReLU: at zero no gradient comes through."""

    def __init__(self) -> None:
        super().__init__()
        self.work = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.work(x))


class Halved(nn.Module):
    """No weights keep the stream whole."""

    def __init__(self) -> None:
        super().__init__()
        self.work = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2 + torch.tanh(self.work(x))


REFUSED = [
    (
        Dead,
        '"1" is the identity with work.bias at zero, but then no gradient reaches it: it would never learn. '
        'To repeat the layer as it is: ik.duplicate(model, "", [1]).',
    ),
    (
        Halved,
        '"1" cannot be made the identity: with all its weights at zero it still changes its input by 0.5 of its size. '
        'To repeat the layer as it is: ik.duplicate(model, "", [1]).',
    ),
    (nn.ReLU, '"1" has no weights, so a copy of it could learn nothing. Copy another layer.'),
]


@pytest.mark.parametrize(("block", "message"), REFUSED)
def test_what_cannot_be_the_identity_or_could_not_learn_is_refused(block: type[nn.Module], message: str) -> None:
    with pytest.raises(RoleError) as refusal:
        grown(block)
    assert str(refusal.value) == message


class Counted(nn.Module):
    """Runs as many layers as a number of its own says."""

    def __init__(self) -> None:
        super().__init__()
        self.num_layers = 3
        self.layers = nn.ModuleList(TinyScale() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(self.num_layers):
            x = self.layers[number](x)
        return x


class Fixed(Counted):
    """Runs three layers, whatever there are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(3):
            x = self.layers[number](x)
        return x


def test_a_count_that_the_model_keeps_is_brought_in_step() -> None:
    model = Counted()
    ik.insert(model, "layers", after=[2], inputs=X)
    assert model.num_layers == 4


def test_a_last_layer_that_is_the_identity_is_not_left_out() -> None:
    """The output would be the same without it."""
    model = Counted()
    ik.insert(model, "layers", after=-1, inputs=X)
    ik.insert(model, "layers", after=0, inputs=X)
    assert (model.num_layers, len(model.layers)) == (5, 5)


def test_a_copy_that_would_never_run_is_refused() -> None:
    model = Fixed()
    with pytest.raises(RoleError) as refusal:
        ik.insert(model, "layers", after=[2], inputs=X)
    assert str(refusal.value) == (
        'Fixed with copies in "layers" does not compute what it did ("layers.3" never runs), though each copy is the '
        "identity: the stack does more than run its layers in order. It was left as it was."
    )
    assert (model.num_layers, len(model.layers)) == (3, 3)


class Numbered(nn.Module):
    """Tells each layer its number, so that none of them simply hands on what the one before it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TinyScale() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x + number)
        return x


def test_an_unproved_layer_is_refused_without_a_fix_that_growth_does_not_take() -> None:
    with pytest.raises(RoleError) as refusal:
        ik.insert(Numbered(), "layers", after=1, inputs=X)
    assert str(refusal.value) == (
        '"layers.1" is neither a block nor a proved residual branch. Only a whole block can be copied behind itself.'
    )
