"""The model as one graph (torch.export), with the sizes left open that may differ; or the first reason why not."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.export.graph_signature import InputKind, OutputKind

from identikit.errors import SaveError
from identikit.exporting.dynamic import Group
from identikit.exporting.exported import Sizes
from identikit.exporting.quiet import quietly
from identikit.exporting.signature import Signature, Tensors, flat_forward
from identikit.exporting.unused import drop_unused
from identikit.families import Family
from identikit.structure.override import Override
from identikit.structure.traceless import traceless

_NOT_THEIRS = (__name__, nn.Module.__module__)  # code that takes a module and is not its forward
Program = torch.export.ExportedProgram


@dataclass(frozen=True)
class Graph:
    """A program, the groups whose size it leaves open, the names of its symbols, and how large each may be."""

    program: Program
    open: tuple[Group, ...]
    names: dict[str, str]
    limits: dict[str, int]

    def named(self, size: object) -> int | str:
        """A size in the words of the groups: "batch", "2*length", 64."""
        text = re.sub(r"\b[su]\d+\b", lambda found: self.names.get(found[0], found[0]), str(size))
        return int(text) if text.isdecimal() else text

    def simpler(self) -> Graph:
        """The same, taken apart into torch's core operations (an attention into products and a softmax)."""
        with quietly():
            return replace(self, program=self.program.run_decompositions())

    def inputs(self) -> list[Sizes]:
        """The sizes of each input, in order."""
        return [self._sizes(name) for name in _taken(self.program)]

    def outputs(self) -> list[Sizes]:
        """The sizes of each output, in order."""
        kind = OutputKind.USER_OUTPUT
        return [self._sizes(spec.arg.name) for spec in self.program.graph_signature.output_specs if spec.kind is kind]

    def _sizes(self, name: str) -> Sizes:
        value = next(node.meta["val"] for node in self.program.graph.nodes if node.name == name)
        return tuple(self.named(size) for size in value.shape)


def graph_of(
    model: nn.Module, family: Family, signature: Signature, tensors: Tensors, groups: Sequence[Group]
) -> Graph:
    """Export `model` on `tensors`. First with all `groups` open, then by the stricter tracer, then with the rows alone.

    Raises SaveError with torch's first reason and the layer it arose in, where none works.
    """
    rows = [group for group in groups if group.rows]
    ways = [(list(groups), False), (list(groups), True), *([(rows, False)] if len(rows) < len(groups) else [])]
    first: Exception | None = None
    for open_groups, strict in ways:
        try:
            return _graph(model, family, signature, tensors, open_groups, strict)
        except torch.OutOfMemoryError:
            raise
        except Exception as cause:  # whatever the tracer raises: the next way may do
            first = first or cause
    assert first is not None
    fixed = [] if not groups else [f" {_fixed_works(model, family, signature, tensors)}"]
    raise SaveError(
        f"{type(model).__name__} cannot be exported as one graph: {_reason(model, first)}{''.join(fixed)}".rstrip()
    ) from first


def _fixed_works(model: nn.Module, family: Family, signature: Signature, tensors: Tensors) -> str:
    """The fix to paste, where the model exports once all sizes are fixed."""
    try:
        _graph(model, family, signature, tensors, [], False)
    except Exception:  # the first reason is the one to tell
        return ""
    return "With all sizes fixed it can: dynamic=False (--fixed)."


def _graph(
    model: nn.Module, family: Family, signature: Signature, tensors: Tensors, groups: Sequence[Group], strict: bool
) -> Graph:
    open_dims = {place for group in groups for place in group.places}
    auto = torch.export.Dim.AUTO
    shapes = {
        name: {dim: auto for dim in range(value.ndim) if (name, dim) in open_dims} for name, value in tensors.items()
    }
    with flat(model, family, signature), quietly(), torch.compiler.set_stance("default"):
        args, kwargs = signature.given(tensors)
        program = torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=strict)
    drop_unused(program)
    return _read(program, list(tensors), groups)


@contextmanager
def flat(model: nn.Module, family: Family, signature: Signature) -> Iterator[None]:
    """Inside, the model takes and gives the signature's tensors; it is in eval mode, without caches or gradients."""
    with family.quiet(model), traceless(model):
        override = Override(model, flat_forward(model.forward, signature))
        try:
            yield
        finally:
            override.undo()


def _read(program: Program, inputs: Sequence[str], groups: Sequence[Group]) -> Graph:
    """Which groups the graph really leaves open (the tracer fixes a size that the code compares with a number)."""
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    values = {name: nodes[own] for name, own in zip(inputs, _taken(program), strict=True)}
    names: dict[str, str] = {}
    limits: dict[str, int] = {}
    still_open: dict[str, Group] = {}
    for group in groups:
        sizes = [values[name].shape[dim] for name, dim in group.places]
        if not all(isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None for size in sizes):
            continue
        name = next((names[str(size)] for size in sizes if str(size) in names), group.name)
        still_open[name] = still_open[name].joined(group) if name in still_open else group
        for size in sizes:
            names[str(size)] = name
            upper = program.range_constraints.get(size.node.expr)
            if upper is not None and upper.upper.is_finite and upper.upper < 2**31:
                limits[name] = min(limits.get(name, 2**31), int(upper.upper))
    return Graph(program, tuple(still_open.values()), names, limits)


def _taken(program: Program) -> list[str]:
    """What the graph itself calls its inputs, in order: the tracer renames one called "input"."""
    return [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]


def _reason(model: nn.Module, cause: BaseException) -> str:
    """torch's first line, and the innermost layer whose forward was running, with the line of its code."""
    paths = {id(module): path for path, module in model.named_modules()}
    where = ""
    for frame, line in traceback.walk_tb(cause.__traceback__):
        first = frame.f_code.co_varnames[:1]
        module: Any = frame.f_locals.get(first[0]) if first else None
        if isinstance(module, nn.Module) and id(module) in paths and frame.f_globals.get("__name__") not in _NOT_THEIRS:
            code = traceback.StackSummary.extract([(frame, line)])[0].line
            where = f'"{paths[id(module)]}"' if paths[id(module)] else type(module).__name__
            where = f" In {where}: {code}" if code else f" In {where}."
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    said = lines[0].partition(" (unhinted:")[0] if lines else type(cause).__name__
    return f"{said.rstrip('.')}.{where}".rstrip()
