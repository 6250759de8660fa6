"""What cannot be made up for is said by name, before anything is changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compensating.drawn import like, shared
from identikit.batches import as_batch
from identikit.compensating.compensate import check_form, compensated
from identikit.errors import PlanError, RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.surgery.choose import plan_for
from zoo import case


def bert() -> Anatomy:
    found = case("bert")
    model = found.build()
    return anatomy_of(model, found.inputs(model))


def test_a_form_that_there_is_not() -> None:
    with pytest.raises(PlanError, match=r"^compensate='magic' is none of fold, adapter\.$"):
        check_form("magic")
    check_form(None)


def test_an_inner_layer() -> None:
    anatomy = bert()
    plan = plan_for(anatomy, ["bert.encoder.layer.1.attention.self"], as_="zero")
    with pytest.raises(RoleError, match=r'attention\.self" costs cannot be made up for: it is replaced \(zero\), not'):
        compensated(anatomy, plan, *shared(like(anatomy.batch)), "fold")


class Plain(nn.Module):
    """A layer without a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


def test_a_layer_that_adds_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(Plain(), Plain(), Plain())).eval()
    batches = [as_batch(torch.randn(8, 4)) for _ in range(4)]
    anatomy = anatomy_of(model, batches[0])
    _, _, found = compensated(anatomy, plan_for(anatomy, ["0.1"]), *shared(batches), "fold")
    said = 'nothing can be folded into "0.0": it adds nothing to its stream. Use compensate="adapter".'
    assert found.gaps[0].why == said
    assert found.gaps[0].into is None


def test_layers_that_end_in_other_norms() -> None:
    class Ends(nn.Module):
        def __init__(self, norm: nn.Module) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 4), norm

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.norm(x + self.layer(x))
            return out

    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(Ends(nn.LayerNorm(4)), Ends(nn.RMSNorm(4)), Ends(nn.LayerNorm(4)))).eval()
    batches = [as_batch(torch.randn(8, 4)) for _ in range(4)]
    anatomy = anatomy_of(model, batches[0])
    _, _, found = compensated(anatomy, plan_for(anatomy, ["0.1"]), *shared(batches), "fold")
    assert found.gaps[0].why == (
        'nothing can be folded into "0.0": it ends in LayerNorm ("norm"), and "0.1" does not. Use compensate="adapter".'
    )
