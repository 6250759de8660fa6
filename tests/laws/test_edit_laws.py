"""Laws 1, 2 and 6 over the zoo: an edit undone is no edit, bypassed equals removed, what is called ok runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from identikit.batches import Batch, tensors_of
from identikit.families.anatomy import anatomy_of
from identikit.families.sites import sites
from identikit.structure.compare import difference, equal
from identikit.surgery.apply import apply, bypass, install
from identikit.surgery.carried import carried
from identikit.surgery.choose import plan_for
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import ZOO, Case


def choices(case: Case) -> dict[str, list[str]]:
    """The first, a middle and the last layer of every stack, several at once, and several stacks at once."""
    blocks = [path for path in case.blocks() if not any(path.startswith(f"{outer}.") for outer in case.blocks())]
    found: dict[str, list[str]] = {}
    for stack in dict.fromkeys(path.rpartition(".")[0] for path in blocks):
        own = [path for path in blocks if path.rpartition(".")[0] == stack]
        for name, chosen in (("first", own[:1]), ("middle", own[1:2]), ("last", own[-1:]), ("several", own[:2])):
            if chosen:
                found[f"{name} of {stack}"] = chosen
    return found | {"all stacks": blocks[1::2]}


EDITS = [pytest.param(case, places, id=f"{case.name}-{name}") for case in ZOO for name, places in choices(case).items()]
NAMES = [pytest.param(case, id=case.name) for case in ZOO]


def run(model: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
    """The model's output tensors on a copy of the batch, as a user would get them."""
    with torch.no_grad():
        return tensors_of(batch.copied().call(model))


def bits(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("case", "places"), EDITS)
def test_an_edit_undone_is_no_edit(case: Case, places: list[str]) -> None:
    model = case.build()
    batch = case.inputs(model)
    full = run(model, batch)
    before = Snapshot(model)

    with bypass(model, *places, inputs=batch) as handle:
        edited = run(model, batch)
        assert bits(run(model, batch), edited), "the edited model computes the same twice"
        assert list(model.state_dict()) == before.keys
        assert set(handle.calls) == set(places)
        assert all(count > 0 for count in handle.calls.values())
        assert equal(tensors_of(handle.output), edited)
    assert not equal(edited, full), "the edit changed something"
    assert bits(run(model, batch), full)
    assert before.changes(model) == []


@pytest.mark.parametrize(("case", "places"), EDITS)
def test_bypassed_equals_removed(case: Case, places: list[str]) -> None:
    model = case.build()
    batch = case.inputs(model)
    with bypass(model, *places, inputs=batch) as handle:
        bypassed, plan = run(model, batch), handle.plan
    count = sum(parameter.numel() for parameter in model.parameters())

    assert remove(model, plan, inputs=batch) is model
    assert difference(run(model, batch), bypassed) <= 1
    assert sum(parameter.numel() for parameter in model.parameters()) < count
    history = carried(model)
    assert history is not None
    assert set(history.plan.places) >= set(places)


@pytest.mark.parametrize("case", NAMES)
def test_a_plan_made_on_one_model_is_applied_to_an_equal_one(case: Case) -> None:
    model, again = case.build(), case.build()
    batch = case.inputs(model)
    with bypass(model, case.blocks()[-1], inputs=batch) as handle:
        expected = run(model, batch)
    with apply(again, handle.plan, inputs=batch):
        assert bits(run(again, batch), expected)


@pytest.mark.parametrize("case", NAMES)
def test_removed_one_by_one_equals_removed_together(case: Case) -> None:
    """Places mean the model as it is now; what the model carries speaks of the model first loaded."""
    together, singly = case.build(), case.build()
    batch = case.inputs(together)
    stack = case.blocks()[-1].rpartition(".")[0]
    own = [path for path in case.blocks() if path.rpartition(".")[0] == stack]
    remove(together, own[-2:], inputs=batch)
    last = singly.get_submodule(own[-1])
    remove(singly, own[-2], inputs=batch)
    remove(singly, next(path for path, module in singly.named_modules() if module is last), inputs=batch)
    assert difference(run(singly, batch), run(together, batch)) <= 1
    assert carried(singly).plan.places == carried(together).plan.places  # type: ignore[union-attr]


@pytest.mark.parametrize("case", NAMES)
def test_what_is_called_ok_runs(case: Case) -> None:
    """Law 6: whole blocks and inner roles alike; the checked pass counts them, and the model is whole afterwards."""
    model = case.build()
    batch = case.inputs(model)
    anatomy = anatomy_of(model, batch)
    before = Snapshot(model)
    ok = list(_ok_places(case, anatomy))
    assert ok
    for path in ok:
        with install(anatomy, plan_for(anatomy, [path])) as handle:
            assert handle.calls[path] > 0
    assert before.changes(model) == []


def _ok_places(case: Case, anatomy: object) -> Iterator[str]:
    """Every ok place of the model: blocks, and what lies inside the last block."""
    inner = case.blocks()[-1]
    for path in anatomy.paths:  # type: ignore[attr-defined]
        near = path.startswith(f"{inner}.")
        if anatomy.verdict(path, prove=near).ok:  # type: ignore[attr-defined]
            yield path


@pytest.mark.parametrize("case", NAMES)
def test_the_blocks_of_the_stacks_are_found_and_the_needed_ones_refused(case: Case) -> None:
    model = case.build()
    batch = case.inputs(model)
    anatomy = anatomy_of(model, batch)
    for path in case.blocks():
        assert anatomy.verdict(path, prove=False).ok, path
    for path in case.makes_needed:
        assert not anatomy.verdict(path).ok, path
    shown = {site.path for site in sites(model, batch) if site.ok}
    assert shown == set(anatomy.blocks())
