"""The zoo is fit for the laws: equal builds, real padding, and every block changes the final output."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from identikit.batches import fingerprint, tensors_of
from zoo import ZOO, Case, case

NAMES = [entry.name for entry in ZOO]
#: How much of the final output's size a skipped block must change at least.
LEAST = 1e-2


def final(output: Any) -> torch.Tensor:
    return output["logits"] if isinstance(output, dict) else tensors_of(output)[0]


def skipping(block: nn.Module) -> Any:
    """A forward that hands on what came in, in the place where the block's output has the same shape."""
    forward = block.forward

    def skip(*args: Any, **kwargs: Any) -> Any:
        given = [*tensors_of(args), *tensors_of(kwargs.get("hidden_states"))]
        stream = given[1 if type(block).__name__ == "Conditioned" else 0].clone()
        output = forward(*args, **kwargs)
        if isinstance(output, dict):
            return {**output, "hidden": stream}
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    return skip


@pytest.mark.parametrize("entry", ZOO, ids=NAMES)
def test_every_block_matters(entry: Case) -> None:
    model = entry.build()
    with torch.no_grad():
        full = final(entry.inputs(model).call(model))
        for path in entry.blocks():
            block = model.get_submodule(path)
            block.forward = skipping(block)  # type: ignore[method-assign]
            skipped = final(entry.inputs(model).call(model))
            del block.forward
            assert (skipped - full).norm() / full.norm() >= LEAST, path
        assert torch.equal(final(entry.inputs(model).call(model)), full)


@pytest.mark.parametrize("entry", ZOO, ids=NAMES)
def test_builds_are_equal_and_leave_the_random_state(entry: Case) -> None:
    before = torch.get_rng_state()
    first, second = entry.build(), entry.build()
    assert torch.equal(torch.get_rng_state(), before)
    assert not first.training
    weights = second.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.state_dict().items())
    assert fingerprint(entry.inputs(first)) == fingerprint(entry.inputs(second))


@pytest.mark.parametrize("entry", ZOO, ids=NAMES)
def test_places_exist(entry: Case) -> None:
    model = entry.build()
    for stack in entry.stacks:
        assert len(list(model.get_submodule(stack).children())) >= 2
    for path in entry.makes_needed:
        model.get_submodule(path)
    assert not set(entry.blocks()) & set(entry.makes_needed)


def test_names_are_different() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_padding_is_real() -> None:
    mask = case("bert").inputs(case("bert").build()).kwargs["attention_mask"]
    assert mask.sum(1).tolist() == [12, 9]


def test_a_sliding_window_is_smaller_than_the_sequence() -> None:
    model: Any = case("gemma3").build()
    assert model.config.sliding_window < case("gemma3").inputs(model).kwargs["input_ids"].shape[1]
    assert len(set(model.config.layer_types)) == 2


def test_a_shared_block_stands_twice() -> None:
    layers: Any = case("shared").build().get_submodule("layers")
    assert layers[0] is layers[2]
