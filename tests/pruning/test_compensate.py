"""`prune(compensate=)`: the model that ships is the one that was judged, and making up for layers widens what fits."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
from compensating.test_planted import Added, Rich
from identikit.errors import BudgetError, DataError, PlanError, RoleError
from identikit.metrics import resolve
from identikit.pruning.heldout import SHARE, split
from identikit.pruning.made_up import MakingUp
from identikit.results import Front
from identikit.sources.objects import as_data
from small_net import Net
from tiny import model as tiny
from zoo import weigh

SIZE = 6


class Normed(nn.Module):
    """A block as in a residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


def planted() -> nn.Module:
    """Layer 1 adds a linear map that layer 0 can take over exactly; layer 3 does what nothing can take over."""
    torch.manual_seed(0)
    rich = [Rich(SIZE, bias=True, scale=False) for _ in range(3)]
    layers = [rich[0], Added(nn.Linear(SIZE, SIZE)), rich[1], rich[2]]
    model = nn.Sequential(nn.Sequential(*layers), nn.Linear(SIZE, 3)).eval()
    with torch.no_grad():
        layers[1].layer.weight.mul_(3)  # type: ignore[union-attr, operator]
    return model


def rows(count: int = 20) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(16, SIZE, generator=random) for _ in range(count)]


def score(model: nn.Module, full: nn.Module, batches: Any, name: str) -> float:
    """The metric of `model` on `batches`, by the plain way."""
    metric = resolve(name)
    found = []
    with torch.no_grad():
        for batch in batches:
            reference = metric.reference(batch.copied().call(full), batch)
            found.append(metric.values(batch.copied().call(model), batch, reference).double().numpy())
    return metric.aggregate(np.concatenate(found))


@pytest.mark.parametrize("form", ["fold", "adapter"])
def test_the_figures_are_of_the_model_that_ships(form: str, tmp_path: Path) -> None:
    model, data = planted(), rows()
    found = ik.prune(model, data, metrics="kl", drop=1, at="0.[1:4]", compensate=form)
    made_up = found.front.choice.compensated
    assert made_up is not None
    assert made_up.form == form
    assert made_up.helps
    plain = ik.prune(model, data, metrics="kl", drop=1, at="0.[1:4]").plan
    bound = (found.plan.fingerprint, found.plan.weights, found.plan.model)
    assert bound == (plain.fingerprint, plain.weights, plain.model)
    assert plain.weights
    held = split(as_data(data), SHARE, 0).held
    assert made_up.scores["kl"].edited == pytest.approx(score(found.model, model, held, "kl"), rel=1e-6)
    assert made_up.scores["kl"].edited < found.front.choice.scores["kl"].edited
    ik.save(found.model, tmp_path / "out", format="plan" if form == "adapter" else "checkpoint", inputs=data[0])
    again = ik.load(tmp_path / "out", model=planted(), inputs=data[0])
    with torch.no_grad():
        assert torch.equal(again(data[0]), found.model(data[0]))
    value = found.front.to_json()
    text = (files("identikit") / "schemas" / "front.schema.json").read_text()
    jsonschema.validate(value, json.loads(text))
    assert Front.from_json(json.loads(json.dumps(value))) == found.front


def test_the_set_is_chosen_that_is_best_once_made_up_for() -> None:
    """Layer 1 costs most alone and nothing once folded."""
    model, data = planted(), rows()
    with torch.no_grad():
        model[0][1].layer.weight.mul_(10)  # type: ignore[index, union-attr, operator]
    plain = ik.prune(model, data, metrics="kl", drop=1, at="0.[1:4]")
    found = ik.prune(model, data, metrics="kl", drop=1, at="0.[1:4]", compensate="fold")
    assert plain.front.choice.places != ("0.1",)
    assert found.front.choice.places == found.plan.places == ("0.1",)
    assert found.front.why[0] == '"0.1" went: of the 3 best sets of 1 layer, each made up for, it scores best.'
    made_up = found.front.choice.compensated
    assert made_up is not None
    held = split(as_data(data), SHARE, 0).held
    assert made_up.scores["kl"].edited == pytest.approx(score(found.model, model, held, "kl"), abs=1e-9)
    assert made_up.scores["kl"].edited < 1e-6 < plain.front.choice.scores["kl"].edited


def test_sets_that_can_be_folded_are_tried_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stands before layer 0: of the sets that follow the best one, those with it come last."""
    tried: list[list[tuple[str, ...]]] = []

    def first(making: MakingUp, plans: Any) -> int:
        tried.append([plan.places for plan in plans])
        return 0

    monkeypatch.setattr(MakingUp, "best_of", first)
    found = ik.prune(planted(), rows(), metrics="kl", drop=2, at="0.*", compensate="fold", method="beam")
    (sets,) = tried
    assert len(sets) == 4
    assert sets[0] == found.front.choice.places
    costs = {row.places: row.edited for row in found.scan}
    foldable = [places for places in costs if len(places) == 2 and "0.0" not in places and places != sets[0]]
    expected = sorted(foldable, key=lambda places: costs[places])
    assert sets[1 : 1 + len(expected)] == expected


def test_without_it_nothing_of_it_is_said() -> None:
    found = ik.prune(planted(), rows(), metrics="kl", drop=1, at="0.*")
    assert all(point.compensated is None for point in found.front.points)
    assert "compensated" not in found.front.choice.to_json()
    assert found.front.said == found.front.why


def test_a_floor_that_holds_only_for_the_model_made_up_for() -> None:
    model, data = planted(), rows()
    with pytest.raises(BudgetError, match="cannot be reached by dropping any layer"):
        ik.prune(model, data, metrics="kl", max_drop=1e-4, at="0.1")
    found = ik.prune(model, data, metrics="kl", max_drop=1e-4, at="0.1", compensate="fold")
    assert found.front.choice.places == ("0.1",)
    held = split(as_data(data), SHARE, 0).held
    assert score(found.model, model, held, "kl") < 1e-4


def test_the_floor_still_stops_what_cannot_be_made_up_for() -> None:
    with pytest.raises(BudgetError, match="cannot be reached by dropping any layer"):
        ik.prune(planted(), rows(), metrics="kl", max_drop=1e-6, at="0.[2:4]", compensate="fold")


def test_what_does_not_help_is_left_and_said() -> None:
    model = planted()
    with torch.no_grad():
        for value in model[0][1].parameters():  # type: ignore[index, union-attr]
            value.zero_()
    found = ik.prune(model, rows(), metrics="kl", drop=1, at="0.*", compensate="fold")
    made_up = found.front.choice.compensated
    assert found.front.choice.places == ("0.1",)
    assert made_up is not None
    assert not made_up.helps
    assert found.front.said[-1] == "Compensating (fold) was tried and left: on other examples it does not help."
    assert torch.equal(found.model[0][0].down.weight, model[0][0].down.weight)  # type: ignore[index, union-attr]


def test_where_only_the_dropped_alone_hold_the_floor_they_are_what_ships(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the held-out examples the model made up for may, rarely, be the worse one."""
    scores, asked = MakingUp._scores, []

    def worse_first(making: MakingUp, shipped: nn.Module) -> Any:
        asked.append(shipped)
        true = scores(making, shipped)
        return {"kl": replace(true["kl"], edited=9.0, effect=9.0, low=8.9, high=9.1)} if len(asked) == 1 else true

    monkeypatch.setattr(MakingUp, "_scores", worse_first)
    model, data = planted(), rows()
    found = ik.prune(model, data, metrics="kl", max_drop=2.0, at="0.1", compensate="fold")
    made_up = found.front.choice.compensated
    assert made_up is not None
    assert not made_up.helps
    held = split(as_data(data), SHARE, 0).held
    assert made_up.scores["kl"].edited == pytest.approx(score(found.model, model, held, "kl"), rel=1e-6)
    assert torch.equal(found.model[0][0].down.weight, model[0][0].down.weight)  # type: ignore[index, union-attr]


def test_what_is_said_of_each_gap() -> None:
    found = ik.prune(planted(), rows(), metrics="kl", drop=1, at="0.1", compensate="fold")
    (said,) = found.front.said[len(found.front.why) :]
    assert said.startswith('"0.1": folded into "0.0" (of the stream\'s spread 0.0 % differ, ')
    assert "folded" in repr(found)
    assert "kl, not folded" in repr(found) or "folded" in found.front.to_markdown()


def test_statistics_of_batch_norms_are_moved_where_that_helps() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(*[Normed() for _ in range(4)])
    model = weigh(nn.Sequential(nn.Conv2d(3, 8, 3), body, nn.Flatten(), nn.Linear(8 * 36, 4)))
    random = torch.Generator().manual_seed(2)
    data = [torch.randn(16, 3, 8, 8, generator=random) + 1 for _ in range(24)]
    found = ik.prune(model, data, metrics="kl", drop=1, at="1.*", compensate="fold")
    made_up = found.front.choice.compensated
    assert made_up is not None
    held = split(as_data(data), SHARE, 0).held
    assert made_up.scores["kl"].edited == pytest.approx(score(found.model, model, held, "kl"), rel=1e-5)
    anew = any(
        not torch.equal(value, dict(found.model.named_buffers())[name])
        for name, value in ik.remove(model, list(found.plan.places), inputs=data[0]).named_buffers()
        if name.endswith("running_mean")
    )
    assert anew is made_up.statistics


def test_a_language_model_of_its_own_library(tmp_path: Path) -> None:
    model = tiny("masked", layers=4)
    random = torch.Generator().manual_seed(0)
    data = [{"input_ids": torch.randint(5, 18, (8, 6), generator=random)} for _ in range(24)]
    found = ik.prune(model, data, drop=1, compensate="fold", method="beam")
    ik.save(found.model, tmp_path / "out", inputs=data[0])
    import transformers

    again = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        assert torch.equal(again(**data[0]).logits, found.model(**data[0]).logits)
    card = (tmp_path / "out" / "README.md").read_text()
    made_up = found.front.choice.compensated
    assert made_up is not None
    assert made_up.sentences()[0] in " ".join(card.replace("\\", "").split())  # Markdown's own signs are escaped


def test_refusals() -> None:
    model, data = planted(), rows()
    with pytest.raises(PlanError, match="compensate='magic' is none of fold, adapter"):
        ik.prune(model, data, drop=1, compensate="magic")
    with pytest.raises(BudgetError, match="is judged by a metric over examples; --score has none"):
        ik.prune(model, data, drop=1, compensate="fold", score=lambda model: 1.0)
    with pytest.raises(BudgetError, match="makes up for layers that are dropped; --as mean replaces them"):
        ik.prune(model, data, drop=1, compensate="fold", as_="mean")
    with pytest.raises(BudgetError, match="puts in parameters and time that --params does not count"):
        ik.prune(model, data, params=0.9, compensate="adapter")
    with pytest.raises(DataError, match="8 examples are too few for both"):
        ik.prune(model, [data[0][:8]], drop=1, at="0.*", compensate="fold")
    branches = weigh(Net())
    with pytest.raises(RoleError, match=r"costs cannot be made up for"):
        ik.prune(branches, [torch.randn(32, 6)] * 4, drop=1, at="layers.*.branch", compensate="fold")
