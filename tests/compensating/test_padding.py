"""What stands at padded places is nobody's business: the fit is the same, bit for bit, whatever does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from compensating.drawn import like, shared
from identikit.batches import Batch
from identikit.compensating.compensate import compensated
from identikit.families.anatomy import anatomy_of
from identikit.surgery.choose import plan_for
from zoo import case


def padded_with(batch: Batch, token: int) -> Batch:
    ids, mask = batch.kwargs["input_ids"], batch.kwargs["attention_mask"]
    return replace(batch, kwargs={**batch.kwargs, "input_ids": torch.where(mask.bool(), ids, token)})


@pytest.mark.parametrize("form", ["fold", "adapter"])
def test_padding(form: str) -> None:
    found = case("bert")
    model = found.build()
    anatomy = anatomy_of(model, found.inputs(model))
    assert not bool(anatomy.batch.kwargs["attention_mask"].all())
    plan = plan_for(anatomy, ["bert.encoder.layer.1"])
    data = like(anatomy.batch, batches=8)
    made = [
        compensated(anatomy, plan, *shared([padded_with(batch, token) for batch in data]), form) for token in (0, 7)
    ]
    one, other = (model.state_dict() for model, _, _ in made)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert made[0][2] == made[1][2]
