"""Another model beside the full one: judged as a scan judges the same layers taken out by a plan."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import identikit as ik
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve
from identikit.scanning.side_by_side import FULL, side_by_side
from identikit.sources.objects import as_data
from small_net import batches, net

__all__ = ["net"]


@pytest.mark.parametrize("name", ["fidelity", "kl", "accuracy"])
def test_as_a_scan(net: Any, name: str) -> None:
    data = batches()
    row = ik.scan(net, data, at="layers.2", metrics=name, progress=False).of(name)[0]
    smaller = ik.remove(copy.deepcopy(net), "layers.2", inputs=data[0][0])
    metric = resolve(name)
    rows = side_by_side(anatomy_of(net, data[0][0]), {"without": smaller}, as_data(data), [metric], seed=0)
    assert metric.aggregate(rows[FULL][name]) == row.full
    assert metric.aggregate(rows["without"][name]) == pytest.approx(row.edited, abs=1e-12)
    assert len(rows["without"][name]) == row.examples
