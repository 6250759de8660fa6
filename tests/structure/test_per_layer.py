"""Outputs with one entry for each layer: a removed layer's entry goes, anything else that differs is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import identikit as ik
from identikit.structure.compare import difference
from identikit.structure.per_layer import Cut, without_entries
from wide import build

A, B, C = (torch.full((2,), float(number)) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        ({"x": A, "states": (A, B, C)}, {"x": A, "states": (A, C)}, True),
        ({"x": A, "states": (A, B, None)}, {"x": A, "states": (A, B)}, True),
        ({"x": A, "states": (A, B, C)}, {"x": A, "states": (C, A)}, False),
        ({"x": A, "states": (A, B, C)}, {"x": A, "states": (A,)}, False),
        ({"x": A, "states": (A, B, C)}, {"x": B, "states": (A, C)}, False),
        ((A, B), (A,), False),
    ],
)
def test_only_the_entries_of_removed_layers_may_lack(expected: Any, actual: Any, equal: bool) -> None:
    left = without_entries(expected, actual, [Cut(depth=3, gone=1)])
    assert (difference(actual, left) <= 1) is equal


def test_a_model_that_returns_a_memory_of_each_layer_is_shortened() -> None:
    model, batch = build("causal-lm", "xlnet")
    ik.remove(model, "transformer.layer.1", inputs=batch)
    assert len(model.get_submodule("transformer.layer")._modules) == 3


def test_hidden_states_that_the_configuration_asks_for() -> None:
    model, batch = build("causal-lm", "llama")
    config: Any = model.config
    config.output_hidden_states = True
    ik.remove(model, "model.layers.1", inputs=batch)
    assert len(model.get_submodule("model.layers")._modules) == 3
    assert len(batch.call(model)["hidden_states"]) == 4
