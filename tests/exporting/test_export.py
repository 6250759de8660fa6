"""An exported file computes what the model does, in sizes that nobody showed it; and the model is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from exporting.conftest import ids_and_mask, layered
from identikit.batches import Batch
from identikit.errors import IdentikitWarning
from identikit.structure.trees import leaves
from zoo import case


def ran(path: Path, *args: torch.Tensor, **kwargs: torch.Tensor) -> list[torch.Tensor]:
    """What a user gets who knows nothing of identikit."""
    if path.suffix == ".pt2":
        found = torch.export.load(path).module()(*args, **kwargs)
        return list(found) if isinstance(found, tuple) else [found]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return [torch.from_numpy(each) for each in session.run(None, {name: given[name].numpy() for name in names})]


def tensors(output: Any) -> list[torch.Tensor]:
    return [leaf for _, leaf in leaves(output) if isinstance(leaf, torch.Tensor)]


def called(model: nn.Module, *args: Any, **kwargs: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return tensors(model(*args, **kwargs))


def close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_any_batch_and_length(ending: str, tmp_path: Path) -> None:
    model, path = layered(), tmp_path / f"model.{ending}"
    exported = ik.export(model, path, ids_and_mask())
    assert dict(exported.inputs) == {"ids": ("batch", "length"), "mask": ("batch", "length")}
    assert dict(exported.outputs) == {"output": ("batch", "length", 3)}
    assert exported.dynamic == ("batch", "length")
    assert len(exported.proved) == 3
    assert exported.bytes == path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    for rows, length in [(1, 3), (5, 11), (2, 6)]:
        inputs = ids_and_mask(rows, length)
        close(ran(path, **inputs), called(model, **inputs))


def test_a_classifier_without_inputs(tmp_path: Path) -> None:
    """BERT: the family's own example; a padded row; the names that the library has."""
    model = tiny.model("classifier", layers=2)
    exported = ik.export(model, tmp_path / "bert.onnx")
    assert list(exported.inputs) == ["input_ids", "attention_mask"]
    assert dict(exported.outputs) == {"logits": ("batch", 3)}
    assert exported.limits == {"length": 34}
    assert exported.opset is not None
    assert exported.opset >= 18
    ids = torch.randint(5, 15, (3, 9))
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()
    close(ran(tmp_path / "bert.onnx", input_ids=ids, attention_mask=mask), called(model, ids, attention_mask=mask))
    written = onnx.load(tmp_path / "bert.onnx")
    sizes = [
        [size.dim_param or size.dim_value for size in each.type.tensor_type.shape.dim] for each in written.graph.input
    ]
    assert sizes == [["batch", "length"], ["batch", "length"]]


def test_no_paths_of_this_machine_are_written(tmp_path: Path) -> None:
    for ending in ("onnx", "pt2"):
        ik.export(layered(1), tmp_path / f"model.{ending}", ids_and_mask())
        assert str(Path(__file__).parent).encode() not in (tmp_path / f"model.{ending}").read_bytes()


def test_a_causal_model_has_no_cache_in_its_graph(tmp_path: Path) -> None:
    model = tiny.model("causal", layers=2)
    assert model.config.use_cache
    exported = ik.export(model, tmp_path / "causal.pt2")
    assert list(exported.outputs) == ["logits"]
    assert model.config.use_cache
    ids = torch.randint(5, 15, (1, 4))
    close(ran(tmp_path / "causal.pt2", input_ids=ids, attention_mask=torch.ones_like(ids)), called(model, ids)[:1])


def test_the_model_is_as_it_was(tmp_path: Path) -> None:
    model = layered().train()
    before = {path: dict(vars(module)) for path, module in model.named_modules()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    inputs = ids_and_mask()
    state = torch.get_rng_state()
    ik.export(model, tmp_path / "model.pt2", inputs)
    assert {path: dict(vars(module)) for path, module in model.named_modules()} == before
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(value.grad is None for value in model.parameters())


def test_a_tuple_of_outputs_by_position(tmp_path: Path) -> None:
    entry = case("tuples")
    model = entry.build()
    (x,) = entry.inputs(model).args
    exported = ik.export(model, tmp_path / "model.pt2", x)
    assert list(exported.outputs) == ["output_0", "output_1"]
    close(ran(tmp_path / "model.pt2", x[:1]), called(model, x[:1]))


def test_pictures_may_be_larger_where_the_model_takes_them(tmp_path: Path) -> None:
    model = ik.nn.CifarResNet(8).eval()
    exported = ik.export(model, tmp_path / "resnet.onnx", torch.randn(2, 3, 16, 16))
    assert exported.dynamic == ("batch", "x_size_2", "x_size_3")
    x = torch.randn(1, 3, 20, 24)
    close(ran(tmp_path / "resnet.onnx", x), called(model, x))


def test_pictures_stay_where_the_model_insists(tmp_path: Path) -> None:
    entry = case("vit")
    model = entry.build()
    batch = entry.inputs(model)
    exported = ik.export(model, tmp_path / "vit.pt2", batch)
    assert dict(exported.inputs) == {"pixel_values": ("batch", 3, 16, 16)}


def test_a_table(tmp_path: Path) -> None:
    model = ik.nn.TabularResNet(5, 2, width=8, blocks=2).eval()
    x = torch.randn(4, 5)
    exported = ik.export(model, tmp_path / "table.onnx", x)
    assert exported.dynamic == ("batch",)
    close(ran(tmp_path / "table.onnx", x[:1]), called(model, x[:1]))


def test_all_sizes_fixed_on_request(tmp_path: Path) -> None:
    exported = ik.export(layered(), tmp_path / "model.pt2", ids_and_mask(), dynamic=False)
    assert exported.dynamic == ()
    assert exported.summary().startswith(f"{tmp_path / 'model.pt2'}: ")
    assert ", all sizes fixed, " in exported.summary()


def test_a_size_that_torch_fixes_is_told(tmp_path: Path) -> None:
    class Choosing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.shape[1] == 6 else x * 3

    with pytest.warns(IdentikitWarning, match=r"Choosing runs in other sizes too, .*: the graph takes length 6 and no"):
        exported = ik.export(Choosing(), tmp_path / "model.pt2", torch.randn(2, 6))
    assert dict(exported.inputs) == {"x": ("batch", 6)}


def test_half_precision(tmp_path: Path) -> None:
    exported = ik.export(nn.Linear(4, 3).half().eval(), tmp_path / "half.onnx", torch.randn(2, 4).half())
    assert exported.difference < 2e-2
    assert ran(tmp_path / "half.onnx", torch.ones(3, 4).half())[0].dtype is torch.float16


def test_an_opset(tmp_path: Path) -> None:
    assert ik.export(nn.Linear(4, 3).eval(), tmp_path / "a.onnx", torch.randn(2, 4), opset=18).opset == 18
    assert onnx.load(tmp_path / "a.onnx").opset_import[0].version == 18


@pytest.mark.long
@pytest.mark.parametrize("ending", ["onnx", "pt2"])
@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "bert", "t5", "vit", "gemma3", "qwen3", "whisper", "bart", "bloom", "encoder_pre_norm",
             "encoder_post_norm", "tied", "shared", "resnet", "unet", "in_place"],
)  # fmt: skip
def test_zoo(name: str, ending: str, tmp_path: Path) -> None:
    entry = case(name)
    model = entry.build()
    batch: Batch = entry.inputs(model)
    exported = ik.export(model, tmp_path / f"model.{ending}", batch)
    assert "batch" in exported.dynamic
    with torch.no_grad():
        kwargs = {name: value for name, value in batch.kwargs.items() if isinstance(value, torch.Tensor)}
        expected = batch.call(model)
    if hasattr(model, "config"):
        expected = {name: value for name, value in expected.items() if name != "past_key_values"}
    close(ran(tmp_path / f"model.{ending}", *batch.args, **kwargs), tensors(expected))
