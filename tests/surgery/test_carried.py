"""What an edited model carries: its plan in the paths of the model first loaded, whatever was removed in between."""

from __future__ import annotations

import pytest

from identikit.errors import IdentikitWarning, PlanError, RoleError
from identikit.plan import Edit, Plan
from identikit.surgery.apply import apply, bypass
from identikit.surgery.carried import Carried, carried, live_plans
from identikit.surgery.remove import remove
from zoo import case


def test_first_paths_count_what_is_gone() -> None:
    history = Carried(Plan(), None, {"layers": (1, 2), "layers.4.parts": (0,)})
    assert history.first_path("layers.0.mlp") == "layers.0.mlp"
    assert history.first_path("layers.1.mlp") == "layers.3.mlp"
    assert history.first_path("layers.2.parts.0") == "layers.4.parts.1"
    assert history.first_path("head") == "head"


def test_removals_add_up_in_first_paths() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    remove(model, "model.layers.1", inputs=batch)
    remove(model, "model.layers.1", inputs=batch)  # what was layer 2
    history = carried(model)
    assert history is not None
    assert history.plan.places == ("model.layers.1", "model.layers.2")
    assert history.configuration["num_hidden_layers"] == 4  # type: ignore[index]
    assert model.config.num_hidden_layers == 2
    with bypass(model, "model.layers.1", inputs=batch) as handle:
        assert handle.plan.places == ("model.layers.3",)
        assert live_plans(model) == (handle.plan,)
    assert live_plans(model) == ()


def test_a_plan_of_the_first_model_means_the_same_layer_of_the_shortened_one() -> None:
    entry = case("llama")
    model, full = entry.build(), entry.build()
    batch = entry.inputs(model)
    with bypass(full, "model.layers.3", inputs=batch) as handle:
        plan = handle.plan
    remove(model, "model.layers.0", inputs=batch)
    with apply(model, plan, inputs=batch) as handle:
        assert list(handle.overrides) == ["model.layers.2"]


def test_a_plan_with_another_meaning_than_the_layers_own_is_refused() -> None:
    entry = case("llama")
    model = entry.build()
    with pytest.raises(RoleError) as error:
        apply(model, Plan.of(["model.layers.1"], "zero"), inputs=entry.inputs(model))
    assert str(error.value) == (
        '"model.layers.1" is a block: its absence is "identity", not "zero". Say so with as_="zero" if you mean it.'
    )
    with pytest.raises(PlanError) as refused:
        apply(model, Plan(frozenset([Edit("duplicate", "model.layers.1")])), inputs=entry.inputs(model))
    assert str(refused.value) == 'this version of identikit cannot apply "duplicate" (at "model.layers.1").'


def test_other_weights_are_told_and_stop_nothing() -> None:
    entry = case("nested")
    model = entry.build()
    plan = Plan(frozenset([Edit("identity", "stages.0")]), weights="0123456789abcdef")
    with pytest.warns(
        IdentikitWarning, match=r"other weights of this structure; it .* Measure again before you rely on it\.$"
    ):
        apply(model, plan, inputs=entry.inputs(model)).undo()
