"""What a proof would cost too much for is refused with that reason."""

from __future__ import annotations

import pytest

from identikit.families.anatomy import anatomy_of
from identikit.structure import branches
from zoo import case


def test_a_module_too_large_to_copy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = case("llama")
    model = entry.build()
    assert anatomy_of(model, entry.inputs(model)).verdict("model.layers.1.mlp").role == "branch"
    monkeypatch.setattr(branches, "LARGEST", 1_000)
    verdict = anatomy_of(model, entry.inputs(model)).verdict("model.layers.1.mlp")
    assert verdict.role == "unproved"
    assert verdict.why.startswith('"model.layers.1.mlp" lies in a module of ')
    assert verdict.why.endswith('GB. Say which you mean: as_="identity" or as_="zero".')
