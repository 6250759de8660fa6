"""A scan by resample ablation: the rows of the plain loop under every engine, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import identikit as ik
from identikit.errors import IdentikitError, InputsError, RoleError
from replacing.replaced_models import pictures, resnet

BLOCKS = ["layer1.1", "layer2.0", "layer2.1"]


def scanned(model: Any, data: Any, **how: Any) -> ik.ScanResult:
    return ik.scan(model, data, at=BLOCKS, as_="resample", metrics="kl", costs=False, **how)


def test_every_engine_gives_the_same_rows() -> None:
    model, data = resnet(), [pictures(4, seed=seed) for seed in range(3)]
    rows = {
        engine: [(row.places, row.effect, row.low, row.high) for row in scanned(model, data, engine=engine)]
        for engine in ("loop", "suffix", "chain")
    }
    assert rows["loop"] == rows["suffix"]
    for own, other in zip(rows["loop"], rows["chain"], strict=True):
        assert own[0] == other[0]
        assert own[1:] == pytest.approx(other[1:], rel=1e-5)
    assert all(effect > 0 for _, effect, _, _ in rows["loop"])


def test_a_row_is_what_hooks_measure_and_holds_its_plan() -> None:
    model, data = resnet(), [pictures(4, seed=seed) for seed in range(3)]
    [row] = [row for row in scanned(model, data) if row.places == ("layer2.0",)]
    full = [model(batch).detach() for batch in data]
    hook = model.get_submodule("layer2.0").register_forward_hook(lambda _, __, output: output.roll(1, 0))
    edited = [model(batch).detach() for batch in data]
    hook.remove()
    one, other = (torch.cat(values).double().log_softmax(-1) for values in (full, edited))
    assert row.effect == pytest.approx(float((one.exp() * (one - other)).sum(-1).mean()), rel=1e-4)
    with ik.apply(model, ik.Plan.from_json(row.plan), inputs=data[0]):
        assert torch.equal(model(data[0]), edited[0])


def test_a_batch_of_one_is_an_error_and_no_score() -> None:
    model = resnet()
    for data in ([pictures(1)], [pictures(4), pictures(4), pictures(1)]):
        with pytest.raises(InputsError, match="this batch holds one example"):
            scanned(model, data)
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize("method", ["taylor", "angular"])
def test_what_a_cheap_score_says_of_it(method: str) -> None:
    with pytest.raises(IdentikitError) as error:
        scanned(resnet(), [pictures(4)], method=method)
    assert isinstance(error.value, RoleError)
    if method == "taylor":
        assert str(error.value) == '"layer1.1" is resampled, which taylor cannot gate. Use method="exact".'
