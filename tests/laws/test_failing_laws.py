"""Law 9: a verb that fails leaves the model as it found it, wherever it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import IdentikitError, InputsError, NotReachedError, PlaceError, PlanError, RoleError
from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.families.sites import sites
from identikit.plan import Plan
from identikit.structure.override import Override
from identikit.surgery import install as installing
from identikit.surgery.apply import apply, bypass, only
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import ZOO, Case, case

NAMES = [pytest.param(entry, id=entry.name) for entry in ZOO]
VERBS: dict[str, Callable[..., Any]] = {"bypass": bypass, "only": only, "remove": remove}


def unchanged(model: nn.Module, kind: type[BaseException], verb: Callable[[], Any]) -> str:
    before = Snapshot(model)
    with pytest.raises(kind) as error:
        verb()
    assert before.changes(model) == []
    return str(error.value)


@pytest.mark.parametrize("entry", NAMES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_place(entry: Case, verb: str) -> None:
    model = entry.build()
    block = entry.blocks()[-1]
    message = unchanged(model, PlaceError, lambda: VERBS[verb](model, f"{block}0", inputs=entry.inputs(model)))
    assert f'no layer "{block}0" in {type(model).__name__}.' in message


@pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in ZOO if e.makes_needed])
@pytest.mark.parametrize("verb", ["bypass", "remove"])
def test_a_needed_layer(entry: Case, verb: str) -> None:
    model = entry.build()
    for place in entry.makes_needed:
        unchanged(model, RoleError, lambda place=place: VERBS[verb](model, place, inputs=entry.inputs(model)))


@pytest.mark.parametrize("entry", NAMES)
def test_one_good_place_and_one_bad(entry: Case) -> None:
    model = entry.build()
    good = entry.blocks()[-1]
    for verb in (bypass, lambda m, *p, inputs: remove(m, p, inputs=inputs)):
        unchanged(model, PlaceError, lambda verb=verb: verb(model, good, "no.such", inputs=entry.inputs(model)))


@pytest.mark.parametrize("entry", NAMES)
def test_inputs_that_do_not_fit(entry: Case) -> None:
    model = entry.build()
    wrong = {"no_such_argument": torch.zeros(1)}
    for verb in (lambda: bypass(model, entry.blocks()[0], inputs=wrong), lambda: sites(model, wrong)):
        assert "does not run on the inputs given" in unchanged(model, InputsError, verb)


@pytest.mark.parametrize("entry", NAMES)
def test_a_plan_for_another_model(entry: Case) -> None:
    model = entry.build()
    other = Plan.of([entry.blocks()[0]], fingerprint="0123456789abcdef", model="Other")
    for verb in (apply, remove):
        message = unchanged(model, PlanError, lambda verb=verb: verb(model, other, inputs=entry.inputs(model)))
        assert message.startswith("this plan was made for a Other of another structure")


class FailingError(Exception):
    """An error of the model's own."""


class Fuse(nn.Module):
    """Passes its input on, until it has been called `left` times; in front it counts every call in a buffer."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        CALLS.append(1)
        if len(CALLS) > self.left:
            raise FailingError("in the middle")
        return x


CALLS: list[int] = []


@pytest.mark.parametrize("left", range(5))
@pytest.mark.parametrize("verb", ["bypass", "remove"])
def test_a_forward_that_raises_in_the_middle(left: int, verb: str) -> None:
    """In the watched pass, in the checked pass, in the comparison: the error comes out, the model is whole."""
    CALLS.clear()
    stack = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)), Fuse(left), nn.Linear(4, 4))
    passes = {"bypass": 2, "remove": 3}[verb]
    if left >= passes:
        VERBS[verb](stack, "1", inputs=torch.randn(2, 4))
        assert len(CALLS) == passes
        return
    unchanged(stack, FailingError if left else InputsError, lambda: VERBS[verb](stack, "1", inputs=torch.randn(2, 4)))


def test_an_error_while_the_overrides_are_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = case("llama")
    model = entry.build()
    anatomy = anatomy_of(model, entry.inputs(model))
    monkeypatch.setattr(installing, "Override", _second_fails())
    unchanged(model, FailingError, lambda: installing.install(anatomy, Plan.of(["model.layers.0", "model.layers.1"])))


def _second_fails() -> Callable[..., Override]:
    made: list[Override] = []

    def make(*args: Any) -> Override:
        if made:
            raise FailingError
        made.append(Override(*args))
        return made[0]

    return make


class CannotResize(Family):
    """A library whose configuration cannot be brought in step."""

    def resize(self, model: nn.Module, stack: str, keep: Any, depth: int) -> Any:
        raise FailingError


@pytest.mark.parametrize("name", ["llama", "bart", "nested", "resnet"])
def test_an_error_while_the_stack_is_shortened(name: str) -> None:
    entry = case(name)
    model = entry.build()
    batch = entry.inputs(model)
    unchanged(model, FailingError, lambda: remove(model, entry.blocks()[-2:], inputs=batch, family=CannotResize()))


class Undecided(nn.Module):
    """Counts its own children: shortened, or with stand-ins in it, it computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x * sum(isinstance(layer, nn.Linear) for layer in self.layers)


def test_a_removal_that_would_compute_something_else() -> None:
    model = Undecided()
    message = unchanged(model, RoleError, lambda: remove(model, "layers.1", inputs=torch.randn(2, 4)))
    assert message == (
        "Undecided without layers.1 does not compute what it does while they are bypassed; it was left as it was. "
        'Use ik.bypass, or save the plan (format="plan").'
    )


def test_a_layer_that_never_runs() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers[:2]:
                x = layer(x)
            return x

    model = Early()
    for verb in ("bypass", "remove"):
        do = VERBS[verb]
        message = unchanged(model, NotReachedError, lambda do=do: do(model, "layers.2", inputs=torch.ones(1, 4)))
        assert '"layers.2"' in message


def test_a_live_edit_forbids_removal_and_stays_as_it_is() -> None:
    entry = case("gpt2")
    model = entry.build()
    batch = entry.inputs(model)
    with bypass(model, "transformer.h.1", inputs=batch):
        message = unchanged(model, PlanError, lambda: remove(model, "transformer.h.2", inputs=batch))
    assert message == "an edit is still applied to this model. Undo the handle, then remove."


def test_every_refusal_is_one_line() -> None:
    entry = case("bert")
    model = entry.build()
    batch = entry.inputs(model)
    wrong: list[tuple[Any, ...]] = [("bert.encoder.layer.3.output",), ("nope",), ("bert.encoder.layer.[9:",), ("",)]
    for places in wrong:
        with pytest.raises(IdentikitError) as error:
            bypass(model, *places, inputs=batch)
        assert "\n" not in str(error.value)
