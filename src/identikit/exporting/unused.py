"""Weights that a graph never reads leave it: those of bypassed layers, and of heads that no output needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.export.graph_signature import InputKind
from torch.fx import Node

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def drop_unused(program: torch.export.ExportedProgram) -> None:
    """Take every weight out of `program` (its graph, its signature, its values) that no node reads, in place.

    Paths and lines of the code it was made from go too: they are of the machine it was made on.
    """
    graph, signature = program.graph, program.graph_signature
    for node in list(graph.nodes):
        node.meta.pop("stack_trace", None)
        if node.target is torch.ops.aten.full_like.default:
            _fill_without(program, node)
    graph.eliminate_dead_code()
    written = set(signature.buffers_to_mutate.values()) | set(signature.parameters_to_mutate.values())
    unread = {node.name: node for node in graph.nodes if node.op == "placeholder" and not node.users}
    gone = [
        spec
        for spec in signature.input_specs
        if spec.kind in _WEIGHTS and spec.arg.name in unread and spec.target not in written
    ]
    for spec in gone:
        graph.erase_node(unread[spec.arg.name])
    signature.input_specs[:] = [spec for spec in signature.input_specs if spec not in gone]
    needed = {spec.target for spec in signature.input_specs}
    for held in (program.state_dict, program.constants):
        for name in {spec.target for spec in gone} - needed:
            held.pop(str(name), None)
    program.graph_module.recompile()


def _fill_without(program: torch.export.ExportedProgram, node: Node) -> None:
    """A tensor of one value that takes no other's shape: sizes are numbers, or sizes of the inputs.

    So a bypassed layer that was run for the shape of its output is run no more. Where a size is none of these, the
    node stays.
    """
    value = node.meta["val"]
    known = {str(size): where for size, where in _sizes_of_inputs(program)}
    shape: list[Any] = list(value.shape)
    if any(isinstance(size, torch.SymInt) and str(size) not in known for size in shape):
        return
    graph, aten = program.graph, torch.ops.aten
    with graph.inserting_before(node):
        sizes: list[Any] = []
        for size in shape:
            if not isinstance(size, torch.SymInt):
                sizes.append(size)
                continue
            sizes.append(graph.call_function(aten.sym_size.int, known[str(size)]))
            sizes[-1].meta["val"] = size
        kind = {"dtype": value.dtype, "device": value.device, "pin_memory": False}
        filled = graph.call_function(aten.full.default, (sizes, node.args[1]), kind)
    filled.meta = dict(node.meta)
    node.replace_all_uses_with(filled)
    graph.erase_node(node)
    for spec in program.graph_signature.output_specs:
        if getattr(spec.arg, "name", None) == node.name:
            spec.arg.name = filled.name


def _sizes_of_inputs(program: torch.export.ExportedProgram) -> Iterator[tuple[torch.SymInt, tuple[Node, int]]]:
    """Each open size of an input, and where it stands."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and isinstance(value, torch.Tensor):
            sizes: list[Any] = list(value.shape)
            for dim, size in enumerate(sizes):
                if isinstance(size, torch.SymInt):
                    yield size, (node, dim)
