"""What is left of dropped layers in a file: nothing."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from exporting.conftest import ids_and_mask, layered
from exporting.test_export import called, close, ran
from identikit.errors import SaveError


def weights_of(path: Path) -> set[str]:
    if path.suffix == ".pt2":
        program = torch.export.load(path)
        return {*program.state_dict, *program.constants}
    return {each.name for each in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_a_removed_layer_leaves_no_trace(ending: str, tmp_path: Path) -> None:
    """The file is that of a model that never had the layer: same bytes, same nodes, same names."""
    full, inputs = layered(4), ids_and_mask()
    never = layered(2)
    ik.remove(full, "layers.[2:4]", inputs=inputs)
    never.load_state_dict(full.state_dict())
    one, other = (tmp_path / f"removed.{ending}", tmp_path / f"never.{ending}")
    ik.export(full, one, inputs)
    ik.export(never, other, inputs)
    assert weights_of(one) == weights_of(other)
    assert not any("layers.2" in name or "layers.3" in name for name in weights_of(one))
    for trace in (b"layers.2", b"layers.3", b"layers_2", b"layers_3", b"identikit"):
        assert trace not in one.read_bytes()
    assert abs(one.stat().st_size - other.stat().st_size) < 64
    if ending == "onnx":
        first, second = onnx.load(one).graph, onnx.load(other).graph
        assert [node.op_type for node in first.node] == [node.op_type for node in second.node]
        assert "Identity" not in {node.op_type for node in first.node}
    close(ran(one, **inputs), called(full, **inputs))


def test_a_removed_layer_of_a_library(tmp_path: Path) -> None:
    model = ik.remove(tiny.model("classifier", layers=2), "bert.encoder.layer.0")
    ik.export(model, tmp_path / "bert.pt2")
    written = (tmp_path / "bert.pt2").read_bytes()
    assert b"encoder.layer.0" in written
    assert b"encoder.layer.1" not in written


@pytest.mark.long
def test_the_file_is_smaller_by_the_layer(tmp_path: Path) -> None:
    model = ik.remove(tiny.model("classifier", layers=3), "bert.encoder.layer.1")
    ik.export(model, tmp_path / "bert.onnx")
    written = (tmp_path / "bert.onnx").read_bytes()
    assert b"encoder.layer.1" in written
    assert b"encoder.layer.2" not in written
    full = ik.export(tiny.model("classifier", layers=3), tmp_path / "full.onnx")
    layer = sum(value.numel() * 4 for value in model.bert.encoder.layer[1].parameters())
    assert full.bytes - len(written) > 0.95 * layer


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_a_bypassed_layer_is_not_computed(ending: str, tmp_path: Path) -> None:
    model, inputs = layered(), ids_and_mask()
    path = tmp_path / f"model.{ending}"
    with ik.bypass(model, "layers.1", inputs=inputs):
        expected = called(model, **inputs)
        ik.export(model, path, inputs)
        close(ran(path, **inputs), expected)
    assert not any(name.startswith("layers.1.") for name in weights_of(path))
    assert any(name.startswith("layers.2.") for name in weights_of(path))
    assert not torch.allclose(called(model, **inputs)[0], expected[0])


def test_a_bypassed_layer_with_its_shape_alone(tmp_path: Path) -> None:
    """A branch whose output has no input's shape runs for its shape; in a graph the shape is known."""

    class Widening(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(4, 6)
            self.other = nn.Linear(4, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.up(x) + self.other(x)

    model, x = Widening().eval(), torch.randn(2, 4)
    with ik.bypass(model, "other", as_="zero", inputs=x):
        ik.export(model, tmp_path / "model.pt2", x)
        close(ran(tmp_path / "model.pt2", x), called(model, x))
    assert weights_of(tmp_path / "model.pt2") == {"up.weight", "up.bias"}


def test_identities_and_dropout_are_gone(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Identity(), nn.Dropout(), ik.nn.Identity(), nn.Linear(4, 2)).eval()
    ik.export(model, tmp_path / "model.onnx", torch.randn(2, 4))
    assert {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node} == {"Gemm"}


def test_an_adapter_in_the_gap_is_in_the_graph(tmp_path: Path) -> None:
    model, inputs = layered(), ids_and_mask()
    model = ik.remove(model, "layers.1", inputs=inputs)
    ik.save(model, tmp_path / "folder", format="plan", inputs=inputs)
    again = ik.load(tmp_path / "folder", model=layered())
    ik.export(again, tmp_path / "model.pt2", inputs)
    close(ran(tmp_path / "model.pt2", **inputs), called(model, **inputs))


def test_a_layer_that_is_still_computed_with_is_refused(tmp_path: Path) -> None:
    """A parent may read the weights of a layer whose forward is bypassed."""

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.first(x) + self.second(x) * self.second.weight.sum()

    model, x = Reading().eval(), torch.randn(2, 4)
    message = r'"second" is bypassed, but the graph still computes with its weight. Take it out first: ik.remove.'
    with ik.bypass(model, "second", as_="identity", inputs=x), pytest.raises(SaveError, match=message):
        ik.export(model, tmp_path / "model.pt2", x)
    assert list(tmp_path.iterdir()) == []
