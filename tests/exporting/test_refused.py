"""What cannot be exported is refused by one line, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from exporting.conftest import ids_and_mask, layered
from identikit.errors import InputsError, MissingExtraError, SaveError
from identikit.exporting import onnx_file
from identikit.exporting.place import proved_file

Look = Callable[[], dict[str, bytes]]
X = torch.ones(2, 4)


class Deciding(nn.Module):
    """Goes one way or another by the values that it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x * 2
        return x


def said(model: nn.Module, path: Path, inputs: Any = X, **options: Any) -> str:
    with pytest.raises(SaveError) as raised:
        ik.export(model, path, inputs, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_control_flow_by_values(tmp_path: Path, seen: Look, capfd: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Deciding()).eval()
    assert said(model, tmp_path / "model.onnx") == (
        "Sequential cannot be exported as one graph: Could not guard on data-dependent expression Eq(u0, 1). "
        'In "1": if x.sum() > 0:'
    )
    assert seen() == {}
    assert capfd.readouterr() == ("", ""), "torch prints its graph before it raises"
    assert torch.equal(model[1](X), X * 2)


def test_what_can_with_all_sizes_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fix is only named where it was tried."""
    true = torch.export.export

    def failing(*args: Any, dynamic_shapes: Any = None, **kwargs: Any) -> Any:
        if any(dynamic_shapes.values()):
            raise RuntimeError("no open sizes today\nmore of it")
        return true(*args, dynamic_shapes=dynamic_shapes, **kwargs)

    monkeypatch.setattr(torch.export, "export", failing)
    assert said(nn.Linear(4, 4), tmp_path / "model.pt2") == (
        "Linear cannot be exported as one graph: no open sizes today. With all sizes fixed it can: dynamic=False "
        "(--fixed)."
    )
    assert ik.export(nn.Linear(4, 4), tmp_path / "model.pt2", X, dynamic=False).dynamic == ()


def test_a_graph_that_is_not_the_model(tmp_path: Path, seen: Look) -> None:
    class Drawing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    line = said(Drawing(), tmp_path / "model.onnx")
    assert line.startswith('the graph that was made is not the model: on the example the output "output" differs by ')
    assert line.endswith("(float32 may differ by 1e-04 of its size). Nothing was written.")
    assert seen() == {}


def test_wrong_in_another_size_alone(tmp_path: Path, seen: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof on the example alone would let this through."""
    true = onnx_file.opened

    def wrong(*args: Any) -> Any:
        run = true(*args)
        return lambda tensors: tuple(each + (len(each) == 1) for each in run(tensors))

    monkeypatch.setattr(onnx_file, "opened", wrong)
    assert said(nn.Linear(4, 4), tmp_path / "model.onnx").startswith(
        'the graph that was made is not the model: on batch 1 the output "output" differs by 1.0e+00'
    )
    assert seen() == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.tflite", 'ends in ".tflite"; a graph is written as .onnx or .pt2. Name model.onnx.'),
        ("model", "has no ending; a graph is written as .onnx or .pt2. Name model.onnx."),
    ],
)
def test_other_endings(name: str, message: str, tmp_path: Path) -> None:
    assert said(nn.Linear(4, 4), tmp_path / name) == f"{tmp_path / name} {message}"


def test_a_place_that_cannot_take_it(tmp_path: Path, seen: Look) -> None:
    (tmp_path / "model.pt2").write_text("mine")
    before = seen()
    assert said(nn.Linear(4, 4), tmp_path / "model.pt2") == (
        f"{tmp_path / 'model.pt2'} exists already. Name another file, or replace it with --overwrite (overwrite=True)."
    )
    assert said(nn.Linear(4, 4), tmp_path / "none" / "model.pt2").startswith("cannot write ")
    assert said(Deciding(), tmp_path / "model.pt2", overwrite=True).startswith("Deciding cannot be exported")
    assert seen() == before
    ik.export(nn.Linear(4, 4), tmp_path / "model.pt2", X, overwrite=True)
    assert set(seen()) == {"model.pt2"}
    assert seen() != before


def test_bfloat16_cannot_be_proved_as_onnx(tmp_path: Path) -> None:
    model = nn.Linear(4, 4).bfloat16()
    assert said(model, tmp_path / "model.onnx", X.bfloat16()) == (
        "Linear holds bfloat16 weights, which onnxruntime does not run on a CPU, so nothing could be proved. Export it "
        "in float32 (model.float(), --dtype float32), or write .pt2."
    )
    assert ik.export(model, tmp_path / "model.pt2", X.bfloat16()).dynamic == ("batch",)


def test_an_opset_is_for_onnx(tmp_path: Path, seen: Look) -> None:
    assert said(nn.Linear(4, 4), tmp_path / "m.pt2", opset=18) == "opset=18 is for .onnx; m.pt2 has none. Leave it out."
    assert said(nn.Linear(4, 4), tmp_path / "m.onnx", opset=3000).startswith("torch.onnx cannot write opset 3000; it ")
    assert seen() == {}


def test_nothing_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(InputsError, match=r"what Linear takes is not known. Pass one example of it: inputs=tensor"):
        ik.export(nn.Linear(4, 4), tmp_path / "model.onnx")
    with pytest.raises(SaveError, match=r"the values of weight are not here \(offloaded, or on the meta device\)"):
        ik.export(nn.Linear(4, 4, device="meta"), tmp_path / "model.pt2", X.to("meta"))


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = importlib.util.find_spec
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == library else true(name))
    with pytest.raises(MissingExtraError) as raised:
        ik.export(nn.Linear(4, 4), tmp_path / "model.onnx", X)
    assert str(raised.value) == (
        f'writing and proving .onnx needs {library}. Install it: pip install "identikit[export]"'
    )
    ik.export(nn.Linear(4, 4), tmp_path / "model.pt2", X)


def test_weights_beside_the_graph_move_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above 2 GB, where ONNX cannot hold the weights itself."""
    from torch.onnx import ONNXProgram

    true = ONNXProgram.save
    monkeypatch.setattr(ONNXProgram, "save", lambda self, file: true(self, file, external_data=True))
    model, inputs = layered(1), ids_and_mask()
    exported = ik.export(model, tmp_path / "model.onnx", inputs)
    assert [path.name for path in exported.files] == ["model.onnx", "model.onnx.data"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert exported.bytes == sum(path.stat().st_size for path in exported.files)
    run = onnx_file.opened(tmp_path / "model.onnx", type("S", (), {"inputs": {"ids": (), "mask": ()}})())
    torch.testing.assert_close(run(inputs)[0], model(**inputs).detach())
    monkeypatch.setattr(ONNXProgram, "save", true)
    ik.export(model, tmp_path / "model.onnx", inputs, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"], "the old weights belong to the old graph"


def test_old_files_come_back_where_a_renaming_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Look
) -> None:
    (tmp_path / "m.onnx").write_text("old graph")
    (tmp_path / "m.onnx.data").write_text("old weights")
    before, true = seen(), Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == tmp_path / "m.onnx" and not {"old", "old.whole"} & set(self.parts):
            raise PermissionError(13, "no")
        return true(self, target)

    monkeypatch.setattr(Path, "rename", failing)

    def write() -> None:
        with proved_file(tmp_path / "m.onnx", True) as partial:
            partial.write_text("new graph")
            partial.with_name("m.onnx.data").write_text("new weights")

    with pytest.raises(SaveError, match="no permission"):
        write()
    assert seen() == before


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".m.pt2.partial-0123abcd").mkdir()
    (tmp_path / ".m.pt2.partial-0123abcd" / "m.pt2").write_text("half")
    with proved_file(tmp_path / "m.pt2", False) as partial:
        partial.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
