"""A residual block adds, concatenates or gates; and refuses, naming both sizes, what plain torch would broadcast."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Identity, LayerScale, PadShortcut, Residual, ReZero, StochasticDepth, Tap, residual_block

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def mlp(into: int = 8, out: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, 16), nn.ReLU(), nn.Linear(16, out))


def conv(into: int = 4, out: int = 4, stride: int = 1, dims: int = 2) -> nn.Module:
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](into, out, 3, stride=stride, padding=1)


def image(channels: int = 4, size: int = 7, dims: int = 2) -> torch.Tensor:
    return torch.randn(2, channels, *[size] * dims)


class Doubles(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


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


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "wider": (
        lambda: Residual(nn.Sequential(nn.Linear(100, 200), nn.Linear(200, 400))),
        "Residual: the branch maps 100 to 400 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 40,400 parameters) or shortcut="pad".',
    ),
    "narrower": (
        lambda: Residual(conv(6, 4)),
        "Residual: the branch maps 6 to 4 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 32 parameters).',
    ),
    "narrower, padded": (
        lambda: Residual(conv(6, 4), "pad"),
        'PadShortcut: zeros cannot turn 6 features into 4. Use shortcut="project".',
    ),
    "strided": (
        lambda: Residual(conv(4, 4, stride=2)),
        "Residual: the branch strides by 2 but the shortcut is the identity. "
        'Use shortcut="project" (adds 24 parameters) or shortcut="pad".',
    ),
    "seen at the call": (
        lambda: Residual(Doubles(), Identity())(X) is None or Residual(_Widens())(X),
        "Residual: the branch maps 8 to 16 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 144 parameters) or shortcut="pad".',
    ),
    "smaller image": (
        lambda: Residual(nn.Conv2d(4, 4, 3))(image()),
        "Residual: from 2x4x7x7 the branch makes 2x4x5x5 and the shortcut 2x4x7x7; they cannot be added without "
        'broadcasting. Make the branch keep the size, or use shortcut="project" with in_features=, out_features= and '
        "stride=.",
    ),
    "broadcast 50 to 1": (
        lambda: Residual(nn.Linear(50, 50), nn.Linear(50, 1))(torch.randn(3, 50)),
        "Residual: from 3x50 the branch makes 3x50 and the shortcut 3x1; they cannot be added without broadcasting. "
        'Make the shortcut give what the branch gives, or let it be made: shortcut="project".',
    ),
    "broadcast gate": (
        lambda: Residual(nn.Linear(50, 50), nn.Linear(50, 1), merge="gate")(torch.randn(3, 50)),
        "Residual: from 3x50 the branch makes 3x50 and the shortcut 3x1; they cannot be added without broadcasting. "
        'Make the shortcut give what the branch gives, or let it be made: shortcut="project".',
    ),
    "concat of two image sizes": (
        lambda: Residual(nn.Conv2d(4, 4, 3), merge="concat")(image()),
        "Residual: from 2x4x7x7 the branch makes 2x4x5x5 and the shortcut 2x4x7x7; they cannot be joined along the "
        'features. Make the branch keep the size, or use shortcut="project" with in_features=, out_features= and '
        "stride=.",
    ),
    "wrong sizes given": (
        lambda: Residual(_Widens(), "project", in_features=8, out_features=9)(X),
        "Residual: from 2x8 the branch makes 2x16 and the shortcut 2x9; they cannot be added without broadcasting. "
        "Give in_features=, out_features=, stride= and dims= as the branch has them.",
    ),
    "a tuple": (
        lambda: Residual(nn.LSTM(8, 8))(X),
        "Residual: the branch returned a tuple, not a tensor. Make it return the tensor to add: wrap it in a module "
        "whose "
        "forward picks it.",
    ),
    "another dtype": (
        lambda: Residual(_Casts())(X),
        "Residual: the branch makes float64 and the shortcut float32; their sum would be cast. Cast the branch's "
        "output: "
        "out.to(x.dtype), or run the block under torch.autocast.",
    ),
    "sizes unknown": (
        lambda: Residual(Doubles(), "project"),
        'Residual: shortcut="project" needs sizes that cannot be read from the branch. Give in_features=, '
        "out_features=.",
    ),
    "gate unknown": (
        lambda: Residual(Doubles(), merge="gate"),
        'Residual: merge="gate" needs sizes that cannot be read from the branch. Give out_features=.',
    ),
    "contradiction": (
        lambda: Residual(nn.Linear(8, 16), "project", in_features=10),
        "Residual: in_features=10, and the branch says 8. Leave it out, or make the branch with 10.",
    ),
    "no size": (
        lambda: Residual(Doubles(), "project", in_features=0, out_features=4),
        "Residual: in_features=0 is no whole number from 1 on. Use in_features=1 or more.",
    ),
    "no module": (
        lambda: Residual(torch.relu),
        "Residual: the branch is a builtin_function_or_method, not a module. Wrap it in a class of nn.Module.",
    ),
    "an activation that is a function": (
        lambda: Residual(mlp(), activation=nn.functional.relu),
        "Residual: activation=relu makes no module (relu() missing 1 required positional argument: 'input'). "
        "Give a class of one, activation=nn.ReLU, or a function that returns one.",
    ),
    "an activation that is a word": (
        lambda: Residual(mlp(), activation="relu"),
        "Residual: activation='relu' is no module. Give a class of one: activation=nn.ReLU.",
    ),
    "a pair": (
        lambda: Residual(mlp())((X, X)),
        "Residual: called with a tuple, not a tensor. Give the stream first: block(x, ...).",
    ),
    "a shortcut that gives a pair": (
        lambda: Residual(mlp(), nn.GRU(8, 8))(X),
        "Residual: the shortcut returned a tuple, not a tensor. Make it return the tensor to add: wrap it in a module "
        "whose forward picks it.",
    ),
    "no such shortcut": (
        lambda: Residual(mlp(), "projection"),
        'Residual: no shortcut="projection". Did you mean "project"? Use one of "identity", "pad", "project", '
        '"project_all".',
    ),
    "no such merge": (
        lambda: Residual(mlp(), merge="sum"),
        'Residual: no merge="sum". Use one of "add", "concat", "gate".',
    ),
    "no such side": (
        lambda: Residual(mlp(), pad_side="left"),
        'Residual: no pad_side="left". Use one of "both", "front", "behind".',
    ),
    "a stride with nothing to stride over": (
        lambda: Residual(mlp(), "pad", stride=2),
        "Residual: stride=2 needs a spatial dimension to stride over. Say dims=1, 2 or 3.",
    ),
    "dims": (
        lambda: Residual(mlp(), dims=4),
        "Residual: dims=4; there are 0 (features last), 1, 2 or 3 spatial dimensions. Use dims=2 for images [N, C, H, "
        "W].",
    ),
    "pad called with other features": (
        lambda: PadShortcut(4, 6)(torch.ones(2, 5)),
        "PadShortcut: made for 4 features before 0 spatial dimensions, called with 2x5. Give in_features= and dims= as "
        "the "
        "input has them.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_both_sizes_and_the_fix(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(BlockError) as error:
        make()
    assert str(error.value) == message


class _Widens(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x], dim=-1)


class _Casts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()


def test_autocast_may_mix_dtypes() -> None:
    block = Residual(mlp())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block(X)
    torch.testing.assert_close(out, block(X), atol=0.05, rtol=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(BlockError, match="the branch makes float64"):
        Residual(_Casts())(X)


def test_the_parameters_that_the_message_promises_are_added() -> None:
    for branch, promised in ((nn.Linear(100, 400), 40_400), (conv(6, 4), 32)):
        added = sum(parameter.numel() for parameter in Residual(branch, "project").shortcut.parameters())
        assert added == promised


class Adds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        return 2 * x


class AddsToAView(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.view(-1)[0] = 9
        return 2 * x


@pytest.mark.parametrize("branch", [Adds(), AddsToAView(), nn.Sequential(Identity(), Adds())])
@pytest.mark.parametrize("shortcut", ["identity", nn.Linear(8, 8)])
@pytest.mark.parametrize("inference", [False, True])
def test_a_branch_that_edits_its_input_is_refused_at_the_first_call(
    branch: nn.Module, shortcut: str | nn.Module, inference: bool
) -> None:
    block = Residual(branch, shortcut)
    with torch.inference_mode(inference):
        for _ in range(2):  # not checked off by a call that failed
            with pytest.raises(BlockError) as error:
                block(torch.randn(2, 8))
    assert str(error.value) == (
        "Residual: the input was edited in place, so the shortcut would carry the edited values. Look for operations "
        "such as += and relu_."
    )


def test_an_edit_that_only_evaluation_makes_is_seen_there() -> None:
    """A dropout hands on its input itself in evaluation, and a new tensor while training."""
    for first in (nn.Dropout(0.1), StochasticDepth(0.1)):
        block = Residual(nn.Sequential(first, nn.ReLU(inplace=True), nn.Linear(8, 8)))
        block(X)
        for inference in (False, True):
            with torch.inference_mode(inference), pytest.raises(BlockError, match="the input was edited in place"):
                block.eval()(torch.randn(2, 8))


def test_in_inference_mode_edits_are_counted_and_not_guessed_from_values() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * self.relu(x)

    block = Residual(Inner())
    with torch.inference_mode():
        for x in (torch.ones(2, 8), torch.full((2, 8), float("nan"))):  # values that relu_ leaves alone
            with pytest.raises(BlockError) as error:
                block(x)
    assert str(error.value) == (
        "Residual: the input was edited in place, so the shortcut would carry the edited values. Use inplace=False in "
        '"branch.relu" (ReLU(inplace=True)), or look for operations such as += and relu_.'
    )


def test_a_branch_may_edit_what_a_preactivation_made_for_it() -> None:
    branch = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8))
    block = Residual(branch, preactivation=nn.LayerNorm(8))
    x = X.clone().requires_grad_()
    block(x).sum().backward()
    assert torch.equal(x, X)
    assert torch.equal(block(X), X + branch(block.preactivation(X)))


def test_a_branch_may_edit_what_only_it_is_given() -> None:
    """A projection has read the preactivated input before the branch edits it."""
    block = Residual(
        nn.Sequential(nn.Identity(), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(8, 16)), "project",
        preactivation=nn.LayerNorm(8), in_features=8,
    )  # fmt: skip
    before = block.preactivation(X)
    with torch.no_grad():
        torch.testing.assert_close(block(X), block.shortcut(before) + block.branch(before.clone()))


def test_an_in_place_activation_first_is_refused_when_it_is_built() -> None:
    """Under torch.compile no call is watched, so what can be read is read."""
    message = (
        "Residual: the branch edits its input with ReLU(inplace=True), and the shortcut would carry the edited values. "
        "Use ReLU(inplace=False)."
    )
    leading = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8)))
    for build in (
        lambda: Residual(leading),
        lambda: Residual(mlp(), preactivation=nn.ReLU(inplace=True)),
        lambda: Residual(leading, "project_all", preactivation=nn.LayerNorm(8)),
    ):
        with pytest.raises(BlockError) as error:
            build()
        assert str(error.value) == message
    hidden = Residual(nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(8, 8)))
    with pytest.raises(BlockError, match=re.escape('Use inplace=False in "branch.1" (ReLU(inplace=True))')):
        hidden(torch.randn(2, 8))


def test_in_place_inside_the_branch_is_fine() -> None:
    block = Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 8)), activation=nn.ReLU(True))
    x = X.clone()
    block(x).sum().backward()
    assert torch.equal(x, X)


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
    block = torch.compile(Residual(_Widens()), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"the branch maps 8 to 16 features"):
        block(X)
