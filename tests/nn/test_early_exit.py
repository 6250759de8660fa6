"""Early exit: training sees every exit; in evaluation each sample leaves at the first exit that is sure of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import EarlyExit, Exited

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))


def net(
    threshold: float = 0.5, per: str = "sample", when: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> EarlyExit:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)]
    model = EarlyExit(
        blocks, {number: nn.Linear(4, 3) for number in (1, 2, 4)}, threshold=threshold, per=per, when=when
    )
    for parameter in model.parameters():  # spread out, so that the samples differ
        nn.init.normal_(parameter)
    return model


def likely(y: torch.Tensor) -> torch.Tensor:
    """A rule of a user's own: some sample of each batch is sure, some is not."""
    return y[:, 0] > 0


def expected(model: EarlyExit, x: torch.Tensor) -> Exited:
    """The definition, sample by sample or batch by batch."""
    outputs = model.all_exits(x)
    sure = torch.stack(
        [y.softmax(1).amax(1) > model.threshold if model.when is None else model.when(y) for y in outputs]
    )
    sure = sure if model.per == "sample" else sure.all(1, keepdim=True).repeat(1, len(x))
    sure[-1] = True
    taken = sure.int().argmax(0)
    return Exited(torch.stack(outputs)[taken, torch.arange(len(x))], taken)


def test_training_returns_every_exit_and_reaches_every_parameter() -> None:
    model = net()
    outputs = model(X)
    x, by_hand = X, []
    for number, block in enumerate(model.blocks):
        x = block(x)
        if number in (1, 2, 4):
            by_hand.append(model.exits[str(number)](x))
    assert all(torch.equal(one, other) for one, other in zip(outputs, by_hand, strict=True))
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@given(threshold=st.floats(0.3, 0.95), seed=st.integers(0, 100), per=st.sampled_from(["sample", "batch"]))
def test_each_sample_leaves_at_the_first_exit_that_is_sure(threshold: float, seed: int, per: str) -> None:
    model = net(threshold, per).eval()
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(seed)) * 3
    wanted, found = expected(model, x), model(x)
    assert torch.equal(found.taken, wanted.taken)
    torch.testing.assert_close(found.output, wanted.output)


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_a_threshold_of_zero_is_the_first_exit_and_one_the_last(per: str) -> None:
    assert net(0.0, per).eval()(X).taken.tolist() == [0] * 12
    assert net(1.0, per).eval()(X * 1000).taken.tolist() == [2] * 12


def test_a_rule_of_one_s_own_decides() -> None:
    model = net(when=likely).eval()
    assert torch.equal(model(X).taken, expected(model, X).taken)
    assert len(model(X).taken.unique()) > 1


def test_blocks_run_on_those_that_are_left() -> None:
    model = net(when=likely).eval()
    sizes: dict[int, int] = {}
    for number, block in enumerate(model.blocks):
        block.register_forward_pre_hook(lambda _, args, number=number: sizes.update({number: len(args[0])}))
    taken = model(X).taken
    left = [int((taken >= exit).sum()) for exit in (0, 0, 1, 2, 2)]
    assert [sizes.get(number, 0) for number in range(5)] == left
    sizes.clear()
    model.when = lambda y: torch.ones(len(y), dtype=torch.bool)
    model(X)
    assert sizes == {0: 12, 1: 12}


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_compilers_and_exporters_select_the_same(per: str) -> None:
    model = net(per=per, when=likely).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(model, (X,), dynamic_shapes=({0: batch},)).module()
    for x in (X, X[:5], X[:2]):
        for other in (compiled, exported):
            found = other(x)
            assert torch.equal(found.taken, model(x).taken)
            torch.testing.assert_close(found.output, model(x).output)


def test_copies_pickles_and_other_shapes() -> None:
    model = net().eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(map(torch.equal, other(X), model(X)))
    assert model(X[:0]).output.shape == (0, 3)
    assert net().eval().to("meta")(X.to("meta")).taken.shape == (12,)
    pictures = EarlyExit([nn.Conv2d(1, 2, 3), nn.Flatten()], {1: nn.Linear(18, 18), 0: nn.Flatten(-3)}, when=likely)
    assert [tuple(output.shape) for output in pictures(torch.ones(2, 1, 5, 5))] == [(2, 18), (2, 18)]
    traced = torch.fx.symbolic_trace(net())
    assert all(map(torch.equal, traced(X), net()(X)))
    assert list(model.exits) == ["1", "2", "4"]


@pytest.mark.parametrize("head", [nn.Identity(), nn.Unflatten(0, (12, 1))])
def test_a_head_that_hands_the_stream_on_is_not_edited_by_what_follows(head: nn.Module) -> None:
    blocks = [nn.Linear(4, 4), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))]
    model = EarlyExit(blocks, {0: head, 1: head}, when=lambda y: torch.ones(len(y), dtype=torch.bool))
    expected = head(blocks[0](X))
    assert (expected < 0).any()
    assert torch.equal(model(X)[0], expected)
    assert torch.equal(model.eval()(X).output, expected)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X).output, expected)


def test_what_it_says_of_itself() -> None:
    assert repr(net()).splitlines()[1] == '  after blocks 1, 2, 4, threshold=0.5, per="sample"'
    assert repr(net(when=likely)).splitlines()[1] == '  after blocks 1, 2, 4, when=given, per="sample"'


LINEAR = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: LINEAR}),
            "EarlyExit: block 1 is the last and has no exit, so nothing would read it. Add exits[1].",
        ),
        (lambda: EarlyExit([LINEAR], {1: LINEAR}), "EarlyExit: an exit for block 1, but the blocks are 0 to 0."),
        (lambda: EarlyExit([], {}), "EarlyExit: no blocks. Give the trunk as a list of modules."),
        (
            lambda: EarlyExit([LINEAR], {0: LINEAR}, threshold=90),
            "EarlyExit: threshold=90 is no probability. Give 0 to 1, or a rule: when=.",
        ),
        (
            lambda: EarlyExit([LINEAR], {0: LINEAR}, per="row"),
            'EarlyExit: no per="row". Use one of "sample", "batch".',
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: nn.Linear(4, 2), 1: LINEAR}, threshold=0.6).eval()(X),
            "EarlyExit: exit 1 gives [4] a sample, another [2]. Give heads with outputs of one size.",
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: LINEAR, 1: nn.Linear(4, 5)})(X),
            "EarlyExit: exit 1 gives [5] a sample, another [4]. Give heads with outputs of one size.",
        ),
        (
            lambda: EarlyExit([LINEAR], {0: nn.LSTM(4, 4)})(X),
            "EarlyExit: exit 0 gives a tuple, not a tensor. Wrap it in a module that picks one.",
        ),
        (
            lambda: EarlyExit([LINEAR], [LINEAR]),  # type: ignore[arg-type]
            "EarlyExit: exits= is a list. Say behind which block each is: {2: head}.",
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: LINEAR, 1: LINEAR}).eval()(X[:, None]),
            "EarlyExit: an exit gave 12x1x4, and a threshold needs [N, classes], at least two of them. Say when an "
            "exit is sure: when=.",
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: nn.Linear(4, 1), 1: nn.Linear(4, 1)}).eval()(X),
            "EarlyExit: an exit gave 12x1, and a threshold needs [N, classes], at least two of them. Say when an exit "
            "is sure: when=.",
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: LINEAR, 1: LINEAR}, when=lambda y: True).eval()(X),  # type: ignore[arg-type,return-value]
            "EarlyExit: when= gave True for 12 samples. Give a tensor of one boolean a sample.",
        ),
        (
            lambda: EarlyExit([LINEAR, LINEAR], {0: LINEAR, 1: LINEAR}, when=lambda y: y > 0).eval()(X),
            "EarlyExit: when= gave bool of shape [12, 4] for 12 samples. Give a tensor of one boolean a sample.",
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
