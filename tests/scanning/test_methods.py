"""Which score comes first, and which candidates are measured exactly."""

from __future__ import annotations

import numpy as np
import pytest

from identikit.errors import MetricError
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve
from identikit.scanning.methods import cheap_method, cheap_scores, check_method, worth_exact
from identikit.scoring import angular, influence, taylor
from scoring.cheap import plans, together
from zoo import case


def test_known_methods() -> None:
    for name in ("exact", "influence", "angular", "taylor", "auto"):
        check_method(name, 1)
    with pytest.raises(MetricError, match=r'method="tailor" is not known; there is "exact", .*Did you mean "taylor"'):
        check_method("tailor")
    with pytest.raises(MetricError, match="least=0 counts the least important layers"):
        check_method("exact", 0)


def test_auto_begins_with_what_fits_all_candidates() -> None:
    model = case("llama").build()
    anatomy = anatomy_of(model, case("llama").inputs(model))
    blocks, mixed = plans(anatomy), plans(anatomy, ["model.layers.1", "model.layers.2.mlp"])
    apart = together(anatomy, ["model.layers.0", "model.layers.2"])
    assert cheap_method(anatomy, blocks, "auto") == "influence"
    assert cheap_method(anatomy, mixed, "auto") == "taylor"
    assert cheap_method(anatomy, apart, "auto") == "taylor"
    assert cheap_method(anatomy, blocks, "exact") is None
    assert cheap_method(anatomy, mixed, "angular") == "angular"
    modules = {"influence": influence, "angular": angular, "taylor": taylor}
    for name, module in modules.items():
        found = cheap_scores(anatomy, [anatomy.batch], blocks, name, metrics=[resolve("fidelity")], seed=2)
        expected = module.scores(anatomy, [anatomy.batch], blocks, seed=2)  # type: ignore[attr-defined]
        assert list(found) == list(blocks)
        assert all(np.array_equal(found[path], expected[path]) for path in blocks)


def test_the_half_that_matters() -> None:
    scores = {
        name: np.array([value, value + 0.2]) for name, value in zip("abcdefgh", (8, 1, 7, 2, 6, 3, 5, 4), strict=True)
    }
    assert worth_exact(scores) == ["b", "d", "f", "h"]
    assert worth_exact(scores, least=3) == ["b", "d", "e", "f", "g", "h"]
    assert worth_exact(scores, least=9) == list("abcdefgh")
    few = {name: scores[name] for name in "abc"}
    assert worth_exact(few) == ["a", "b", "c"]
