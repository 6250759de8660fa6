"""What each of two processes does in `test_processes.py`. Light to import: it is imported anew in every process."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import identikit as ik
from identikit.errors import InputsError, PlanError, SaveError

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
PLACE = "layers.1"


def meet(rank: int, work: Callable[[], None], folder: Path) -> None:
    """One of two processes: `work` inside a group that meets through a file."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.set_num_threads(1)
    try:
        work()
    finally:
        distributed.destroy_process_group()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def _short() -> torch.Tensor:
    """What Net computes without its second layer."""
    full = Net()
    return nn.Sequential(full.layers[0], full.layers[2], full.layers[3])(X)


def _run(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        output: torch.Tensor = model(X)
    return output


def _train(model: nn.Module) -> None:
    """Two steps, each rank with rows of its own; the loss falls."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model(X + distributed.get_rank()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def _require_one_mind(model: nn.Module) -> None:
    """Every rank holds the same weights."""
    for parameter in model.parameters():
        first = parameter.detach().clone()
        distributed.broadcast(first, 0)
        assert torch.equal(first, parameter)


def ddp() -> None:
    """Bypassed after wrapping and before it, removed before; a removal after it is refused."""
    wrapped = DistributedDataParallel(Net(), find_unused_parameters=True)
    with ik.bypass(wrapped, f"module.{PLACE}", inputs=X):
        assert torch.equal(_run(wrapped), _short())
        _train(wrapped)
    _require_one_mind(wrapped)
    with pytest.raises(PlanError, match=r"for several processes \(DistributedDataParallel\), which wait for"):
        ik.remove(wrapped, PLACE, inputs=X)
    assert len(wrapped.module.layers) == 4

    before = Net()
    ik.bypass(before, PLACE, inputs=X)
    before.layers[1].requires_grad_(False)  # so DDP waits for no gradient of the layer that does not run
    before = DistributedDataParallel(before)
    _train(before)
    _require_one_mind(before)

    removed = DistributedDataParallel(ik.remove(Net(), PLACE, inputs=X))
    assert torch.equal(_run(removed), _short())
    _train(removed)
    _require_one_mind(removed)

    forgotten = DistributedDataParallel(Net())
    with ik.bypass(forgotten, PLACE, inputs=X), pytest.raises(RuntimeError, match="find_unused_parameters=True"):
        _train(forgotten)


def _sharded(model: nn.Module) -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    for layer in model.layers:
        fully_shard(layer)
    return fully_shard(model)


def fsdp() -> None:
    """The same with FSDP2; a plan made before fits; what cannot be right is refused by name."""
    # A bypassed layer hands on its very input, which FSDP takes for a view of its output: it has no backward to hook.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    with ik.bypass(Net(), PLACE, inputs=X) as handle:
        plan = handle.plan
    wrapped = _sharded(Net())
    with pytest.raises(InputsError, match=r"is sharded but has not run yet. Run it once on every rank"):
        ik.sites(wrapped, X)
    full = _run(wrapped)
    assert [site.ok for site in ik.sites(wrapped, X)] == [True] * 4
    with ik.apply(wrapped, plan, inputs=X):
        assert torch.equal(_run(wrapped), _short())
    assert torch.equal(_run(wrapped), full)
    with pytest.raises(PlanError, match=r"for several processes \(FSDPNet\), which wait for the weights of every"):
        ik.remove(wrapped, PLACE, inputs=X)
    with pytest.raises(SaveError, match=r"FSDPNet holds only this process's part of its weights. Gather them first"):
        ik.save(wrapped, "nowhere", inputs=X)
    with ik.bypass(wrapped, PLACE, inputs=X):
        _train(wrapped)

    before = Net()
    ik.bypass(before, PLACE, inputs=X)
    before = _sharded(before)
    assert torch.equal(_run(before), _short())
    _train(before)

    removed = _sharded(ik.remove(Net(), PLACE, inputs=X))
    assert torch.equal(_run(removed), _short())
    _train(removed)
