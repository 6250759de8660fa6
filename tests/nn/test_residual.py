"""A residual block adds, concatenates or gates; sizes are read from the branch, and every tool keeps the block."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import LayerScale, Residual, ReZero, Tap, residual_block
from nn.parts import Widens, X, conv, image, mlp


def test_it_is_the_sum_bit_for_bit_forward_and_backward() -> None:
    block, branch = Residual(mlp()), mlp()
    branch.load_state_dict(block.branch.state_dict())
    ours, theirs = X.clone().requires_grad_(), X.clone().requires_grad_()
    left, right = block(ours), theirs + branch(theirs)
    assert torch.equal(left, right)
    left.square().sum().backward()
    right.square().sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@settings(max_examples=60, deadline=None)
@given(
    into=st.integers(1, 6), more=st.integers(0, 5), stride=st.integers(1, 3), size=st.integers(1, 9),
    dims=st.integers(1, 3), shortcut=st.sampled_from(["pad", "project", "project_all"]),
    side=st.sampled_from(["both", "front", "behind"]), down=st.sampled_from(["subsample", "average"]),
)  # fmt: skip
def test_every_shortcut_fits_every_branch(
    into: int, more: int, stride: int, size: int, dims: int, shortcut: str, side: str, down: str
) -> None:
    """Options A, B and C of the ResNet paper, over sizes, strides and dimensions, all read from the branch."""
    branch = conv(into, into + more, stride, dims)
    block = Residual(branch, shortcut, pad_side=side, down=down).eval()
    x = image(into, size, dims)
    out = block(x)
    assert out.shape == branch(x).shape
    torch.testing.assert_close(out - branch(x), block.shortcut(x))
    changes = more > 0 or stride > 1
    plain = type(block.shortcut) is nn.Identity
    assert plain == (not changes and shortcut != "project_all")


def test_the_projection_condition_is_stride_or_width() -> None:
    assert type(Residual(conv(4, 4), "project").shortcut) is nn.Identity
    assert type(Residual(conv(4, 4, stride=2), "project").shortcut) is nn.Sequential
    assert type(Residual(conv(4, 6), "project").shortcut) is nn.Sequential
    assert type(Residual(mlp(8, 9), "project").shortcut) is nn.Linear


def test_a_module_of_ones_own_is_the_shortcut() -> None:
    block = Residual(mlp(8, 5), nn.Linear(8, 5, bias=False))
    torch.testing.assert_close(block(X), block.branch(X) + X @ block.shortcut.weight.T)


def test_activation_is_applied_after_the_addition() -> None:
    for activation in (nn.ReLU, nn.ReLU(), nn.ReLU(inplace=True), lambda: nn.ReLU()):
        block = Residual(mlp(), activation=activation)
        assert torch.equal(block(X), torch.relu(X + block.branch(X)))
        assert block(X).min() == 0


def test_preactivation_reaches_the_branch_and_a_projection_but_not_the_skip() -> None:
    before = nn.Sequential(nn.LayerNorm(8), nn.ReLU())
    same = Residual(mlp(), preactivation=before)
    assert torch.equal(same(X), X + same.branch(before(X)))
    wider = Residual(mlp(8, 9), "project", preactivation=before)
    assert torch.equal(wider(X), wider.branch(before(X)) + wider.shortcut(before(X)))
    padded = Residual(mlp(8, 9), "pad", preactivation=before)
    assert torch.equal(padded(X), padded.branch(before(X)) + padded.shortcut(X))


def test_concat_joins_features_and_the_shortcut_comes_first() -> None:
    block = Residual(mlp(8, 3), merge="concat")
    assert torch.equal(block(X), torch.cat([X, block.branch(X)], dim=-1))
    assert block.out_features == 11
    dense = Residual(conv(4, 2), merge="concat")
    x = image()
    assert torch.equal(dense(x), torch.cat([x, dense.branch(x)], dim=1))
    strided = Residual(conv(4, 2, stride=2), "pad", merge="concat")
    assert strided(x).shape == (2, 6, 4, 4)


def test_a_gate_starts_by_carrying_and_learns() -> None:
    block = Residual(mlp(), merge="gate")
    share = torch.sigmoid(block.gate.weigh(X))
    torch.testing.assert_close(block(X), share * block.branch(X) + (1 - share) * X)
    assert share.mean() < 0.3
    block(X).sum().backward()
    assert block.gate.weigh.weight.grad.abs().sum() > 0
    assert Residual(conv(4, 6), "project", merge="gate")(image()).shape == (2, 6, 7, 7)


def test_further_arguments_go_to_the_branch() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
            return x * mask * scale

    mask = torch.tensor([[1.0], [0.0]])
    assert torch.equal(Residual(Masked())(X, mask, scale=2.0), X + X * mask * 2)


def test_blocks_nest_and_their_sizes_are_read() -> None:
    inner = Residual(mlp(8, 12), "project")
    outer = Residual(nn.Sequential(nn.Dropout(), inner, nn.GELU()), "pad").eval()
    assert (outer.in_features, outer.out_features) == (8, 12)
    assert outer(X).shape == (2, 12)


def test_gates_do_not_hide_the_sizes() -> None:
    assert Residual(nn.Sequential(nn.Linear(8, 16), ReZero()), "project")(X).shape == (2, 16)
    assert Residual(nn.Sequential(nn.Linear(8, 8), LayerScale(8)), merge="gate")(X).shape == (2, 8)
    with pytest.raises(BlockError, match="the branch maps 8 to 16 features"):
        Residual(nn.Sequential(nn.Linear(8, 16), nn.PReLU()))


def test_chains_that_come_back_to_their_shape_need_no_projection() -> None:
    assert Residual(nn.Sequential(nn.Linear(8, 16), nn.GLU()))(X).shape == (2, 8)
    down_and_up = nn.Sequential(nn.Conv2d(4, 4, 2, stride=2), nn.ConvTranspose2d(4, 4, 2, stride=2))
    assert Residual(down_and_up)(image(4, 8)).shape == (2, 4, 8, 8)
    shuffled = nn.Sequential(nn.Conv2d(4, 16, 2, stride=2), nn.PixelShuffle(2))
    assert Residual(shuffled)(image(4, 8)).shape == (2, 4, 8, 8)


@pytest.mark.parametrize("layer", [nn.Sequential(nn.BatchNorm2d(8), nn.ReLU()), nn.MaxPool2d(3, 1, 1), nn.Dropout2d()])
def test_every_layer_of_pictures_tells_the_dimensions(layer: nn.Module) -> None:
    x = image(8, 4)
    block = Residual(layer, merge="concat").eval()
    assert torch.equal(block(x), torch.cat([x, block.branch(x)], dim=1))


def test_dimensions_inside_a_class_of_its_own_are_asked_for() -> None:
    class Across(nn.Module):
        """A convolution along the sequence, features last."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(8, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.mT).mT

    x = torch.randn(2, 5, 8)
    assert Residual(Across())(x).shape == x.shape
    with pytest.raises(BlockError) as error:
        Residual(Across(), merge="concat")
    assert str(error.value) == ('Residual: merge="concat" needs sizes that cannot be read from the branch. Give dims=.')
    assert Residual(Across(), merge="concat", dims=0)(x).shape == (2, 5, 16)


def test_a_shortcut_put_in_later_is_used() -> None:
    block = Residual(nn.Linear(8, 8))
    block.shortcut = nn.Linear(8, 8)
    assert torch.equal(block(X), block.branch(X) + block.shortcut(X))
    block.shortcut = Tap(keep=True)
    block(X)
    assert torch.equal(block.shortcut.value, X)
    projected = Residual(nn.Linear(8, 8), "project_all", preactivation=nn.LayerNorm(8))
    projected.shortcut = nn.Identity()
    assert torch.equal(projected(X), projected.branch(projected.preactivation(X)) + X)


def test_what_is_made_lies_where_the_branch_lies() -> None:
    block = Residual(nn.Linear(2, 3, dtype=torch.float64), "project", merge="gate")
    assert block(torch.randn(4, 2, dtype=torch.float64)).dtype is torch.float64
    assert Residual(nn.Linear(2, 3, device="meta"), "project").shortcut.weight.is_meta


def test_a_nested_block_tells_its_stride() -> None:
    outer = Residual(nn.Sequential(residual_block(4, 4, stride=2)), "project").eval()
    assert outer(image()).shape == (2, 4, 4, 4)


def test_an_unbatched_image_works() -> None:
    assert Residual(conv(4, 6, 2), "pad")(torch.randn(4, 7, 7)).shape == (6, 4, 4)


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "add": lambda: Residual(mlp()),
    "project": lambda: Residual(mlp(8, 9), "project", activation=nn.ReLU),
    "pad": lambda: Residual(mlp(8, 9), "pad", preactivation=nn.LayerNorm(8)),
    "concat": lambda: Residual(mlp(), merge="concat"),
    "gate": lambda: Residual(mlp(), merge="gate"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_copies_pickles_compilers_and_exporters_keep_it(name: str) -> None:
    block = BLOCKS[name]().eval()
    expected = block(X)
    assert torch.equal(copy.deepcopy(block)(X), expected)
    assert torch.equal(pickle.loads(pickle.dumps(block))(X), expected)
    again = BLOCKS[name]().eval()
    again.load_state_dict(block.state_dict())
    assert torch.equal(again(X), expected)
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend="aot_eager")(X), expected)
    torch.testing.assert_close(torch.export.export(block, (X,)).module()(X), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(block))(X), expected)
    assert block.to("meta")(X.to("meta")).shape == expected.shape


def test_the_comparison_is_gone_under_compile() -> None:
    """The graph holds the arithmetic alone, and equal calls do not compile again."""
    graphs = []

    def keep(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(Residual(mlp()), fullgraph=True, backend=keep)
    for _ in range(3):
        compiled(X)
    assert len(graphs) == 1
    called = [node for node in graphs[0].graph.nodes if node.op.startswith("call")]
    assert len(called) == 4  # linear, relu, linear, add


def test_shapes_are_compared_under_compile_too() -> None:
    block = torch.compile(Residual(Widens()), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"the branch maps 8 to 16 features"):
        block(X)
