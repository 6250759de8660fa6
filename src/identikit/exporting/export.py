"""`export`: a model as one file that runs without its Python, proved to compute the same before it appears."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch, map_tensors
from identikit.errors import IdentikitWarning, SaveError
from identikit.exporting import onnx_file, pt2_file
from identikit.exporting.dynamic import Group, learn
from identikit.exporting.exported import Exported
from identikit.exporting.graph import Graph, flat, graph_of
from identikit.exporting.not_proved import NotProvedError
from identikit.exporting.place import check_place, proved_file
from identikit.exporting.proof import Run, faster, prove, takes
from identikit.exporting.signature import Signature, Tensors, signature_of, without_target
from identikit.exporting.trace import no_trace
from identikit.families import Family
from identikit.families.anatomy import anatomy_of
from identikit.structure.traceless import traceless
from identikit.surgery.around import refuse_sharded
from identikit.turns import in_turn

_FORMATS: dict[str, ModuleType] = {".onnx": onnx_file, ".pt2": pt2_file}


@in_turn
def export(
    model: nn.Module, path: str | Path, inputs: Any = None, *, dynamic: bool = True, opset: int | None = None,
    overwrite: bool = False, family: Family | None = None,
) -> Exported:  # fmt: skip
    """Write `model` to `path` as one graph: `.onnx` (torch.onnx), or `.pt2` (torch.export).

    The inputs are the tensors that `inputs` holds, called as the forward calls them; the outputs are the tensors that
    it returns, in order, a tuple where there are several. What counts examples and tokens may have any size: which
    dimensions these are is learned by running the model. The file is run and compared with the model, on the inputs
    and in other sizes, before it appears at `path`; the model is as it was.

    Args:
        inputs: one example of what forward takes (tensor, tuple or dict); the family's own where None.
        dynamic: False fixes all sizes to those of the inputs.
        opset: of ONNX; torch's own choice where None.
        overwrite: replace a file; the old one stays until the new one is proved.

    Raises:
        SaveError: the file exists or cannot be written, the model cannot be one graph (the message has torch's first
            reason and the layer), or the graph does not compute the same.
        InputsError: no example is known, or the model does not run on it. MissingExtraError: onnx is not installed.
    """
    target = Path(path)
    form = check_target(target, overwrite)
    refuse_sharded(model)
    form.require(model)
    anatomy = anatomy_of(model, inputs, family)
    model, family = anatomy.model, anatomy.family
    _refuse_valueless(model)
    signature = _signature(anatomy.model, anatomy.family, anatomy.batch)
    run = run_of(model, family, signature)
    example = signature.tensors()
    learned, groups = learn(example, lambda tensors: takes(run, tensors)) if dynamic else (example, [])
    made = _Making(target, form, model, family, signature, example, learned, opset, overwrite)
    graph, exported = _first_proved(made, groups)
    _warn_of_fixed(model, groups, graph)
    return exported


def _first_proved(made: _Making, groups: Sequence[Group]) -> tuple[Graph, Exported]:
    """The graph as it is; then taken apart into simpler operations first, which ONNX has more surely; then with the
    number of rows open alone. Raises the first way's SaveError where none can be proved."""
    rows = [group for group in groups if group.rows]
    ways = [(groups, False), *([(groups, True)] if made.form is onnx_file else [])]
    first: NotProvedError | None = None
    for open_groups, simpler in [*ways, *([(rows, False)] if len(rows) < len(groups) else [])]:
        try:
            return made.file(open_groups, simpler)
        except NotProvedError as cause:
            first = first or cause
    assert first is not None
    raise first


@dataclass(frozen=True)
class _Making:
    """All that an attempt to write the file needs."""

    target: Path
    form: ModuleType
    model: nn.Module
    family: Family
    signature: Signature
    example: Tensors
    learned: Tensors
    opset: int | None
    overwrite: bool

    def file(self, groups: Sequence[Group], simpler: bool) -> tuple[Graph, Exported]:
        """The file with the sizes of `groups` left open, proved. Raises SaveError (NotProvedError: try another way)."""
        graph = graph_of(self.model, self.family, self.signature, self.learned, groups)
        graph = graph.simpler() if simpler else graph
        no_trace(self.model, graph.program)
        run = run_of(self.model, self.family, self.signature)
        with proved_file(self.target, self.overwrite) as partial:
            opset = self.form.write(graph, self.signature, partial, self.opset)
            written = self.form.opened(partial, self.signature)
            proved = prove(run, written, list(self.signature.outputs), self.example, self.learned, graph.open)
            files = sorted(partial.parent.iterdir(), key=lambda file: file.name != partial.name)
            exported = Exported(
                path=self.target, format=self.target.suffix.removeprefix("."),
                files=tuple(self.target.with_name(file.name) for file in files),
                bytes=sum(file.stat().st_size for file in files), opset=opset,
                inputs=dict(zip(self.signature.inputs, graph.inputs(), strict=True)),
                outputs=dict(zip(self.signature.outputs, graph.outputs(), strict=True)),
                limits=graph.limits, proved=proved.runs, difference=proved.difference, speed=self._speed(written),
            )  # fmt: skip
        return graph, exported

    def _speed(self, written: Run) -> float | None:
        """How many times as fast onnxruntime is; None for .pt2, and where the model is on an accelerator."""
        if self.form is not onnx_file or any(value.device.type != "cpu" for value in self.example.values()):
            return None
        args, kwargs = self.signature.given(self.example)
        with flat(self.model, self.family, self.signature):
            return faster(lambda _: self.model(*args, **kwargs), written, self.example)


def check_target(path: Path, overwrite: bool) -> ModuleType:
    """What writes a file of this ending. Raises SaveError for another one, and for a place that cannot take it."""
    if path.suffix not in _FORMATS:
        found = f'ends in "{path.suffix}"' if path.suffix else "has no ending"
        raise SaveError(f"{path} {found}; a graph is written as .onnx or .pt2. Name {path.stem or 'model'}.onnx.")
    check_place(path, overwrite)
    return _FORMATS[path.suffix]


def _signature(model: nn.Module, family: Family, batch: Batch) -> Signature:
    """The names of what goes in and comes out. Raises SaveError where no tensor does."""
    batch = without_target(model.forward, batch)
    with family.quiet(model), traceless(model):
        signature = signature_of(model.forward, batch, batch.call(model))
    for what, names in (("takes", signature.inputs), ("returns", signature.outputs)):
        if not names:
            raise SaveError(f"{type(model).__name__} {what} no tensor, so there is no graph to write.")
    return signature


def run_of(model: nn.Module, family: Family, signature: Signature) -> Run:
    """The model on tensors by name, without a trace."""

    def run(tensors: Tensors) -> tuple[torch.Tensor, ...]:
        own = map_tensors(tensors, torch.clone)  # a model may write into them
        with flat(model, family, signature):
            args, kwargs = signature.given(own)
            found = model(*args, **kwargs)
        return found if isinstance(found, tuple) else (found,)

    return run


def _refuse_valueless(model: nn.Module) -> None:
    name = next((name for name, value in model.named_parameters() if value.is_meta), None)
    if name is not None:
        raise SaveError(
            f"the values of {name} are not here (offloaded, or on the meta device). Load all the weights first."
        )


def _warn_of_fixed(model: nn.Module, groups: Sequence[Group], graph: Graph) -> None:
    """Say it where the model runs in any size and the graph does not: few expect that."""
    still_open = {place for group in graph.open for place in group.places}
    fixed = [group for group in groups if not still_open.issuperset(group.places)]
    if fixed:
        sizes = " and ".join(f"{group.name} {group.size}" for group in fixed)
        warnings.warn(
            f"{type(model).__name__} runs in other sizes too, but torch.export fixed them: the graph takes {sizes} "
            "and no other.",
            IdentikitWarning,
            stacklevel=4,
        )
