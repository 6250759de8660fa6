"""Running statistics are moved by what the removal changed on the data, with everything else as it was."""

from __future__ import annotations

import copy

import torch
from torch import nn

import identikit as ik
from identikit.batches import as_batch
from identikit.compensating.statistics import batch_norms, moved, seen
from identikit.families.anatomy import Anatomy, anatomy_of


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.norm(self.conv(x)).relu())


def net() -> nn.Sequential:
    """Four blocks; the running statistics are those of many examples."""
    torch.manual_seed(0)
    blocks = nn.Sequential(*(Block() for _ in range(4)))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), blocks, nn.Flatten(), nn.Linear(144, 2)).eval()
    for norm in batch_norms(model).values():
        norm.train()
        norm.momentum = None
    with torch.no_grad():
        model(drawn(1000, seed=9))
    for norm in batch_norms(model).values():
        norm.momentum = 0.1
    return model.eval()


def drawn(count: int, *, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) + 0.5


def of(model: nn.Module, data: list[torch.Tensor]) -> tuple[Anatomy, list[object]]:
    return anatomy_of(model, data[0]), [as_batch(batch) for batch in data]


def test_what_a_norm_sees_is_the_mean_over_all_batches() -> None:
    model = net()
    data = [drawn(8, seed=number) for number in range(5)]
    anatomy, batches = of(model, data)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(1)
    found = seen(anatomy, model, batches)  # type: ignore[arg-type]
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(1))  # dropout drew nothing
    with torch.no_grad():
        taken = [model[1][0].conv(model[0](batch)) for batch in data]  # type: ignore[index, union-attr, operator]
    mean, var = found["1.0.norm"]
    torch.testing.assert_close(mean, torch.stack([each.mean((0, 2, 3)) for each in taken]).mean(0))
    torch.testing.assert_close(var, torch.stack([each.var((0, 2, 3)) for each in taken]).mean(0))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {norm.momentum for norm in batch_norms(model).values()} == {0.1}
    assert not any(module.training for module in model.modules())


def test_norms_before_the_gap_keep_theirs_and_those_behind_it_come_nearer_to_the_truth() -> None:
    """Of few examples: nearer to the statistics of many than those few's, on average over eight draws."""
    full = net()
    smaller = ik.remove(copy.deepcopy(full), "1.1", inputs=drawn(2, seed=0))
    anatomy, many = of(full, [drawn(4000, seed=4)])
    truth = seen(anatomy, smaller, many)  # type: ignore[arg-type]
    off = {"moved": 0.0, "anew": 0.0}
    for seed in range(8):
        few = of(full, [drawn(16, seed=10 + seed)])[1]
        anew, one = seen(anatomy, smaller, few), copy.deepcopy(smaller)  # type: ignore[arg-type]
        moved(one, seen(anatomy, full, few), anew)  # type: ignore[arg-type]
        norms, before = batch_norms(one), batch_norms(smaller)
        assert list(norms) == ["1.0.norm", "1.2.norm", "1.3.norm"]  # by their first paths
        assert torch.equal(norms["1.0.norm"].running_mean, before["1.0.norm"].running_mean)  # type: ignore[arg-type]
        assert torch.equal(norms["1.0.norm"].running_var, before["1.0.norm"].running_var)  # type: ignore[arg-type]
        for path in ("1.2.norm", "1.3.norm"):
            own = (norms[path].running_mean, norms[path].running_var)
            off["moved"] += apart(truth[path], own)  # type: ignore[arg-type]
            off["anew"] += apart(truth[path], anew[path])
    assert off["moved"] < 0.7 * off["anew"], off


def apart(one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> float:
    return sum(float((mine - theirs).square().sum()) for mine, theirs in zip(one, other, strict=True))


def test_a_feature_that_is_always_zero_keeps_its_variance() -> None:
    full = net()
    with torch.no_grad():
        full[1][2].conv.weight[0].zero_()  # type: ignore[index, union-attr]
    data = [drawn(16, seed=3)]
    smaller = ik.remove(copy.deepcopy(full), "1.1", inputs=data[0])
    anatomy, batches = of(full, data)
    moved(smaller, seen(anatomy, full, batches), seen(anatomy, smaller, batches))  # type: ignore[arg-type]
    assert all(norm.running_var.isfinite().all() for norm in batch_norms(smaller).values())  # type: ignore[union-attr]


def test_norms_without_statistics_are_none_of_them() -> None:
    assert batch_norms(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.LayerNorm(2))) == {}
