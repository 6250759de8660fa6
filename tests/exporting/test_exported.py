"""The line that sums an export up, and its JSON; the tolerances that the pages name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from identikit.exporting.exported import Exported
from identikit.exporting.proof import ALLOWED, TOLERANCES
from identikit.structure.compare import difference

TEXT = Exported(
    path=Path("model.onnx"), format="onnx", files=(Path("model.onnx"),), bytes=90_700_000, opset=20,
    inputs={"ids": ("batch", "length"), "more": ("batch", "more_length")}, outputs={"logits": ("batch", 3)},
    limits={"length": 512}, proved=("the example", "batch 3", "batch 1"), difference=2.7e-6, speed=1.94,
)  # fmt: skip


def test_the_line() -> None:
    assert repr(TEXT) == (
        "model.onnx: 90.7 MB, opset 20, any batch, length (to 512) and more_length, largest difference 2.7e-06 in 3 "
        "runs, 1.9 times as fast as PyTorch on this CPU"
    )
    fixed = replace(TEXT, inputs={"x": (2, 3)}, opset=None, speed=None, bytes=812, limits={})
    assert fixed.summary() == "model.onnx: 812 B, all sizes fixed, largest difference 2.7e-06 in 3 runs"
    assert (
        replace(TEXT, inputs={"x": ("batch", 3)}, bytes=3_400_000_000)
        .summary()
        .startswith("model.onnx: 3.40 GB, opset 20, any batch, largest")
    )


def test_json() -> None:
    found = json.loads(json.dumps(TEXT.to_json()))
    assert found["path"] == "model.onnx"
    assert found["dynamic"] == ["batch", "length", "more_length"]
    assert found["inputs"]["ids"] == ["batch", "length"]


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_the_tolerances_are_those_of_the_measure(dtype: str) -> None:
    one = torch.ones(4, dtype=torch.float64)
    kind = getattr(torch, dtype)
    for share, allowed in ((0.5, True), (2.0, False)):
        other = (one * (1 + share * TOLERANCES[dtype])).to(kind)
        assert (difference(other, one.to(kind)) <= ALLOWED) is allowed
