"""LayerDrop runs the layers that are drawn and no others, and holds under DDP whatever each process drew."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from identikit.errors import BlockError
from identikit.nn import LayerDrop, Residual, linear_schedule

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def stack(drop: Any = 0.5, depth: int = 4) -> LayerDrop:
    torch.manual_seed(0)
    return LayerDrop([Residual(nn.Linear(4, 4)) for _ in range(depth)], drop)


class Doubles(nn.Module):
    """A layer that changes the dtype and nothing else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()


def runs(net: LayerDrop) -> list[int]:
    """The numbers of the layers that run from now on; hooks write them down."""
    ran: list[int] = []
    for number, layer in enumerate(net.layers):
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
    return ran


def test_the_layers_that_were_drawn_run_and_no_others() -> None:
    net = stack()
    ran = runs(net)
    seen = set()
    for seed in range(40):
        ran.clear()
        torch.manual_seed(seed)
        output, drawn, expected = net(X), tuple(ran), X
        for number in drawn:
            expected = net.layers[number](expected)
        assert torch.equal(output, expected)
        seen.add(drawn)
    assert len(seen) > 8


def test_each_layer_is_dropped_as_often_as_it_should_be() -> None:
    drops = linear_schedule(5, 0.8)
    net = stack(drops, depth=5)
    ran = runs(net)
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(2000):
            net(X)
    assert [ran.count(number) / 2000 for number in range(5)] == pytest.approx([1 - drop for drop in drops], abs=0.04)


def test_in_evaluation_every_layer_runs() -> None:
    net = stack(1.0).eval()
    assert torch.equal(net(X), nn.Sequential(*net.layers)(X))


def test_a_dropped_layer_gets_a_gradient_of_zero_and_the_input_all_of_it() -> None:
    net, x = stack(1.0), X.clone().requires_grad_()
    net.layers[1].requires_grad_(False)
    net(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(X))
    for number, layer in enumerate(net.layers):
        for parameter in layer.parameters():
            assert (parameter.grad is None) if number == 1 else (parameter.grad.count_nonzero() == 0)


def test_a_dropped_layer_can_be_differentiated_twice() -> None:
    net, x = LayerDrop([nn.Linear(4, 4), nn.Linear(4, 4)], [1.0, 0.0]), X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert net.layers[0].weight.grad is None or net.layers[0].weight.grad.count_nonzero() == 0
    assert net.layers[1].weight.grad.count_nonzero() > 0


def test_the_input_is_not_shared_with_a_layer_that_edits_in_place() -> None:
    net = LayerDrop([nn.Linear(4, 4), nn.ReLU(inplace=True)], [1.0, 0.0])
    before = X.clone()
    output = net(X)
    assert torch.equal(X, before)
    assert torch.equal(output, X.relu())


def test_other_arguments_reach_each_layer() -> None:
    class Shift(nn.Module):
        def forward(self, x: torch.Tensor, by: float, *, times: int) -> torch.Tensor:
            return x + by * times

    assert torch.allclose(LayerDrop([Shift(), Shift()], 0.0)(X, 0.5, times=3), X + 3)


def _train(rank: int, folder: Path) -> None:
    """One of two processes: steps under DDP with draws of its own, then the same without the attachment."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    net = stack()
    ran, steps = runs(net), []
    parallel = DistributedDataParallel(net)
    torch.manual_seed(100 + rank)
    for _ in range(4):
        parallel.zero_grad()
        ran.clear()
        parallel(X + rank).square().sum().backward()
        steps.append((list(ran), [parameter.grad for parameter in net.parameters()]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("identikit.nn.layer_drop.attach", lambda x, layer: x)
        bare = DistributedDataParallel(stack([1.0, 0.0, 0.0, 0.0]))
        bare(X).sum().backward()
        with pytest.raises(RuntimeError, match="find_unused_parameters=True"):
            bare(X)
    torch.save(steps, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_drop_different_layers_and_agree_on_the_gradients(tmp_path: Path) -> None:
    multiprocessing.spawn(_train, args=(tmp_path,), nprocs=2)
    ours, theirs = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert [ran for ran, _ in ours] != [ran for ran, _ in theirs]
    assert any(len(ran) < 4 for ran, _ in ours + theirs)
    for (ran, gradients), (other, others) in zip(ours, theirs, strict=True):
        expected = _gradients(ran, X), _gradients(other, X + 1)
        for mine, same, first, second in zip(gradients, others, *expected, strict=True):
            assert torch.equal(mine, same)
            torch.testing.assert_close(mine, (first + second) / 2)


def _gradients(ran: list[int], x: torch.Tensor) -> list[torch.Tensor]:
    """What one process alone gets from these layers."""
    net = stack()
    y = x
    for number in ran:
        y = net.layers[number](y)
    if ran:
        y.square().sum().backward()
    return [torch.zeros_like(each) if each.grad is None else each.grad for each in net.parameters()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drop", [0.0, 1.0])
def test_the_draw_does_not_decide_the_dtype(drop: float, training: bool) -> None:
    net = LayerDrop([nn.Linear(4, 4)], drop).train(training)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net.layers[0](X).dtype == torch.bfloat16
        assert net(X).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch.func.jvp's own
def test_forward_differentiation_and_gradients_of_each_sample() -> None:
    net = LayerDrop([nn.Linear(4, 4), nn.Linear(4, 4)], 1.0)
    output, tangent = torch.func.jvp(net, (X,), (2 * X,))
    assert torch.equal(output, X)
    assert torch.equal(tangent, 2 * X)

    def loss(parameters: dict[str, torch.Tensor], sample: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, parameters, sample).sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="same")
    for name, gradient in each(dict(net.named_parameters()), X).items():
        assert gradient.shape == (5, *net.get_parameter(name).shape)
        assert gradient.count_nonzero() == 0


@pytest.mark.parametrize("training", [True, False])
def test_compilers_and_tracers_select_what_is_drawn(training: bool) -> None:
    net = stack().train(training)
    everything = _subsets(net) if training else [nn.Sequential(*net.layers)(X)]
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(net, (X,)).module(check_guards=False)
    traced = torch.fx.symbolic_trace(nn.Sequential(net))
    for other in (compiled, exported, traced):
        torch.manual_seed(0)
        outputs = torch.stack([other(X) for _ in range(24)])
        assert all(any(torch.allclose(output, each, atol=1e-6) for each in everything) for output in outputs)
        assert (len(outputs.unique(dim=0)) > 4) == training  # no draw is frozen into the graph
    compiled(X).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def _subsets(net: LayerDrop) -> list[torch.Tensor]:
    outputs = [X]
    for layer in net.layers:
        outputs += [layer(output) for output in outputs]
    return outputs


def test_on_the_meta_device_a_shape_goes_through() -> None:
    assert stack().to("meta")(X.to("meta")).shape == X.shape


def test_copies_and_pickles_keep_it() -> None:
    net = stack()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        torch.manual_seed(5)
        expected = net(X)
        torch.manual_seed(5)
        assert torch.equal(other(X), expected)
    assert list(net.state_dict())[:2] == ["layers.0.branch.weight", "layers.0.branch.bias"]


def test_what_it_says_of_itself() -> None:
    for drop in (0.1, np.float32(0.1)):
        assert repr(LayerDrop([nn.ReLU()], drop)).splitlines()[1] == "  drop=0.1"  # type: ignore[arg-type]
    assert repr(stack(linear_schedule(4, 0.3))).splitlines()[1] == "  drop=0..0.3"
    assert torch.equal(LayerDrop([], 0.5)(X), X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: LayerDrop([nn.ReLU(), nn.ReLU()], [0.1, 0.2, 0.3]),
            "LayerDrop: 3 probabilities for 2 layers. Give one for all, or one each: linear_schedule(2, 0.3).",
        ),
        (
            lambda: LayerDrop([nn.ReLU()], torch.tensor(0.1)),  # type: ignore[arg-type]
            "LayerDrop: tensor(0.1000) is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
        (
            lambda: LayerDrop([Doubles()], 0.0)(X),
            "LayerDrop: layer 0 (Doubles) makes float64 out of float32, so it cannot be left out. Keep it outside the "
            "stack, or give layers that return one tensor of their input's shape and dtype.",
        ),
        (
            lambda: LayerDrop([nn.ReLU()], 1.5),
            "LayerDrop: 1.5 is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
        (
            lambda: LayerDrop([nn.ReLU(), nn.Linear(4, 6)], 0.0)(X),
            "LayerDrop: layer 1 (Linear) makes 5x6 out of 5x4, so it cannot be left out. Keep it outside the stack, or "
            "give layers that return one tensor of their input's shape and dtype.",
        ),
        (
            lambda: LayerDrop([nn.LSTM(4, 4)], 0.0)(X),
            "LayerDrop: layer 0 (LSTM) makes a tuple out of 5x4, so it cannot be left out. Keep it outside the stack, "
            "or give layers that return one tensor of their input's shape and dtype.",
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
