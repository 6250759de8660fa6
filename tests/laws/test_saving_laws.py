"""Law 3 over the zoo: saved, then loaded with the library's own loader, it computes the same; nothing is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch, tensors_of
from identikit.families import family_of
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from zoo import ZOO, Case


def choices(case: Case) -> dict[str, list[str]]:
    """The first, a middle, the last layer and two of the last stack, and one of each stack."""
    blocks = [path for path in case.blocks() if not any(path.startswith(f"{outer}.") for outer in case.blocks())]
    stacks = list(dict.fromkeys(path.rpartition(".")[0] for path in blocks))
    own = [path for path in blocks if path.rpartition(".")[0] == stacks[-1]]
    found = {"first": own[:1], "middle": own[1:2], "last": own[-1:], "two": own[:2]}
    first_of_each = [next(path for path in blocks if path.rpartition(".")[0] == stack) for stack in stacks]
    return found | ({"each stack": first_of_each} if len(stacks) > 1 else {})


EDITS = [pytest.param(case, places, id=f"{case.name}-{name}") for case in ZOO for name, places in choices(case).items()]
PLANS = [
    pytest.param(case, choices(case)[name], id=f"{case.name}-{name}")
    for case in ZOO
    for name in ("two", "each stack")
    if name in choices(case)
]


def run(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad(), family_of(model).quiet(model):
        return tensors_of(batch.copied().call(model))


def assert_bits(one: nn.Module, other: nn.Module, batch: Batch) -> None:
    first, second = run(one, batch), run(other, batch)
    assert len(first) == len(second)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def own_loader(model: Any, folder: Path) -> nn.Module:
    """What a user without identikit would call, with its list of what is missing."""
    loaded, info = type(model).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return loaded.eval()


@pytest.mark.parametrize(("case", "places"), EDITS)
def test_a_checkpoint_is_the_model(case: Case, places: list[str], tmp_path: Path) -> None:
    model = case.build()
    batch = case.inputs(model)
    ik.remove(model, places, inputs=batch)
    before, folder = Snapshot(model), tmp_path / "saved"
    assert ik.save(model, folder, inputs=batch) == folder
    assert before.changes(model) == []
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]

    plain = not family_of(model).self_contained
    again = ik.load(folder, case.build() if plain else None, inputs=batch)
    assert not again.training
    assert_bits(again, model, batch)
    assert carried(again).plan == carried(model).plan  # type: ignore[union-attr]
    if plain:
        return
    library = own_loader(model, folder)
    assert_bits(library, model, batch)
    assert sum(p.numel() for p in library.parameters()) < sum(p.numel() for p in case.build().parameters())
    if "input_ids" in batch.kwargs and model.can_generate():  # type: ignore[operator]
        how = {"max_new_tokens": 3, "do_sample": False, "output_scores": True, "return_dict_in_generate": True}
        given = {name: value for name, value in batch.kwargs.items() if name in ("input_ids", "attention_mask")}
        scores = [each.generate(**given, **how).scores for each in (library, model)]  # type: ignore[operator]
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*scores, strict=True))


@pytest.mark.parametrize(("case", "places"), PLANS)
def test_a_plan_folder_is_the_model(case: Case, places: list[str], tmp_path: Path) -> None:
    model = case.build()
    batch = case.inputs(model)
    ik.remove(model, places, inputs=batch)
    before, folder = Snapshot(model), tmp_path / "saved"
    ik.save(model, folder, "plan", inputs=batch)
    assert before.changes(model) == []
    plain = not family_of(model).self_contained
    again = ik.load(folder, case.build() if plain else None, inputs=batch if plain else None)
    assert not again.training
    assert_bits(again, model, batch)
    assert carried(again).plan == carried(model).plan  # type: ignore[union-attr]
    assert set(again.state_dict()) == set(model.state_dict())


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ZOO])
def test_a_plan_of_what_is_only_bypassed(case: Case, tmp_path: Path) -> None:
    """A live handle: the folder holds the model without those layers, and computes what the bypassed one does."""
    model = case.build()
    batch = case.inputs(model)
    place = case.blocks()[-1]
    with ik.bypass(model, place, inputs=batch) as handle:
        expected, plan = run(model, batch), handle.plan
        ik.save(model, tmp_path / "saved", "plan", inputs=batch)
    plain = not family_of(model).self_contained
    again = ik.load(tmp_path / "saved", case.build() if plain else None, inputs=batch if plain else None)
    assert all(torch.equal(a, b) for a, b in zip(run(again, batch), expected, strict=True))
    assert carried(again).plan == plan  # type: ignore[union-attr]
