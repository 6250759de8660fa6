"""A graph as ONNX: written by torch.onnx, checked by onnx.checker, run by onnxruntime on the CPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import SaveError, needs_extra
from identikit.exporting.graph import Graph
from identikit.exporting.not_proved import NotProvedError
from identikit.exporting.quiet import quietly
from identikit.exporting.signature import Signature, Tensors

_LOCAL = ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.fx_node")  # paths of this machine, and its lines of code


def require(model: nn.Module) -> None:
    """Raise MissingExtraError where a library is not here, and SaveError for what onnxruntime's CPU cannot prove."""
    for library in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(library) is None:
            raise needs_extra(library, "export", "writing and proving .onnx")
    if any(value.dtype is torch.bfloat16 for value in [*model.parameters(), *model.buffers()]):
        raise SaveError(
            f"{type(model).__name__} holds bfloat16 weights, which onnxruntime does not run on a CPU, so nothing could "
            "be proved. Export it in float32 (model.float(), --dtype float32), or write .pt2."
        )


def write(graph: Graph, signature: Signature, file: Path, opset: int | None) -> int:
    """Write `graph` to `file`, the weights beside it above 2 GB; returns the opset. Raises SaveError."""
    import onnx

    _copy_before_views(graph)
    try:
        with quietly():
            program = torch.onnx.export(
                graph.program, dynamo=True, verbose=False, opset_version=opset,
                input_names=list(signature.inputs), output_names=list(signature.outputs),
            )  # fmt: skip
            assert program is not None
            _tidy(program.model, graph)
            program.save(str(file))
            onnx.checker.check_model(str(file))
    except (torch.OutOfMemoryError, OSError):
        raise
    except Exception as cause:  # torch.onnx wraps whatever a conversion raises; the checker has errors of its own
        other = file.with_suffix(".pt2").name
        raise NotProvedError(
            f"{file.name} cannot be written as ONNX: {_first_line(cause)} torch.export takes it: write {other}."
        ) from cause
    made = int(program.model.opset_imports[""])
    if opset is not None and made != opset:
        raise SaveError(f"torch.onnx cannot write opset {opset}; it wrote {made}. Ask for that, or leave it out.")
    return made


def opened(file: Path, signature: Signature) -> Callable[[Tensors], tuple[torch.Tensor, ...]]:
    """What `file` computes, with as many threads as torch has. Raises SaveError where onnxruntime does not take it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises is enough
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # its errors have no class in common
        raise NotProvedError(f"onnxruntime does not load {file.name}: {_first_line(cause)}") from cause
    taken = {each.name for each in session.get_inputs()} & set(signature.inputs)

    def run(tensors: Tensors) -> tuple[torch.Tensor, ...]:
        given = {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items() if name in taken}
        return tuple(torch.from_numpy(each) for each in session.run(None, given))

    return run


def _copy_before_views(graph: Graph) -> None:
    """A copy between a transposition and the view of it, in place. ONNX has neither strides nor the copy.

    torch's own decomposition of an attention changes the strides of what comes out, and such a view then fails.
    """
    aten, nodes = torch.ops.aten, graph.program.graph
    for node in nodes.nodes:
        source = node.args[0] if node.target in (aten.view.default, aten.reshape.default) else None
        if source is not None and source.target in (aten.transpose.int, aten.permute.default):
            with nodes.inserting_before(node):
                copied = nodes.call_function(aten.clone.default, (source,), {"memory_format": torch.contiguous_format})
            copied.meta = dict(source.meta)
            node.replace_input_with(source, copied)
    graph.program.graph_module.recompile()


def _tidy(model: Any, graph: Graph) -> None:
    """Sizes in words instead of symbols, and nothing of the machine that the graph was made on."""
    import onnx_ir

    for node in model.graph:
        for key in _LOCAL:
            node.metadata_props.pop(key, None)
    made = [output for node in model.graph for output in node.outputs]
    for value in [*model.graph.inputs, *model.graph.outputs, *made]:
        if value.shape is not None:
            sizes = [size if isinstance(size, int) else size.value for size in value.shape]
            value.shape = onnx_ir.Shape([size if size is None else graph.named(size) for size in sizes])


def _first_line(cause: BaseException) -> str:
    """The innermost cause in one line, without the colours of a terminal."""
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(cause))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(cause).__name__]
    return f"{lines[0][:300].rstrip('.')}."
