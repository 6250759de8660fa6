"""Several copies or parts of a model: DataParallel here; DDP and FSDP2 in two processes (`ranks.py`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import multiprocessing, nn

import identikit as ik
import tiny
from practice import ranks
from practice.where import INPUTS, PLACE, logits, steps, without


def test_data_parallel_takes_the_models_own_paths_and_the_wrappers(tmp_path: Path) -> None:
    model = nn.DataParallel(tiny.model("causal"))
    full = logits(model)
    assert [site.path for site in ik.sites(model)] == [f"model.layers.{layer}" for layer in range(4)]
    for place in (PLACE, f"module.{PLACE}"):
        with ik.bypass(model, place):
            assert torch.equal(logits(model), logits(without("causal", 1)))
    assert torch.equal(logits(model), full)
    assert ik.remove(model, PLACE) is model
    assert model.module.config.num_hidden_layers == 3
    first, second = steps(model)
    assert second < first
    ik.save(model, tmp_path / "short")
    assert torch.equal(logits(ik.load(tmp_path / "short")), logits(model))


def test_an_average_of_weights_is_no_wrapper_and_its_layers_are_reached_all_the_same() -> None:
    model = torch.optim.swa_utils.AveragedModel(tiny.model("causal"))
    with ik.bypass(model, f"module.{PLACE}", inputs=INPUTS):
        assert torch.equal(logits(model), logits(without("causal", 1)))


@pytest.mark.long  # each process imports torch anew
@pytest.mark.parametrize("work", [ranks.ddp, ranks.fsdp])
def test_two_processes_bypass_on_either_side_of_wrapping_and_remove_before(
    work: Callable[[], None], tmp_path: Path
) -> None:
    multiprocessing.spawn(ranks.meet, args=(work, tmp_path), nprocs=2)
