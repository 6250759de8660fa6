"""Running statistics taken anew: the mean over the batches, with everything else as it was."""

from __future__ import annotations

import copy

import torch
from torch import nn

from identikit.batches import as_batch
from identikit.compensating.statistics import batch_norms, reestimated
from identikit.families.anatomy import anatomy_of


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2))
    return model.eval()


def test_the_mean_over_all_batches() -> None:
    model = net()
    data = [torch.randn(8, 3, 8, 8) + number for number in range(5)]
    anatomy = anatomy_of(model, data[0])
    before = copy.deepcopy(model)
    torch.manual_seed(1)
    reestimated(anatomy, model, [as_batch(batch) for batch in data])
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(1))  # dropout drew nothing
    (norm,) = batch_norms(model)
    with torch.no_grad():
        seen = [model[0](batch) for batch in data]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, torch.stack([each.mean((0, 2, 3)) for each in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([each.var((0, 2, 3)) for each in seen]).mean(0))
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed == {"1.running_mean", "1.running_var"}


def test_norms_without_statistics_are_none_of_them() -> None:
    assert batch_norms(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.LayerNorm(2))) == []
