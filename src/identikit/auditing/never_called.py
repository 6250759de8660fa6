"""A layer that the forward never calls: an activation that was asked for and not applied, a branch left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from identikit.auditing.tape import Tape
from identikit.places import inside
from identikit.results.finding import Finding
from identikit.structure.operations import memory
from identikit.structure.override import reachable

LOOKED_FOR = "layers never called"
_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_NOTHING = (nn.Identity, nn.modules.dropout._DropoutNd)  # a fused operation often stands for them


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A note for the outermost modules of which no pass ran a part or read a weight.

    An expert that the example was not routed to and a head for training are such layers, so it is no mistake.
    """
    called = {visit.path for tape in tapes for visit in tape.visits}
    read = {memory(tensor) for tape in tapes for step in tape.steps for tensor in step.inputs}
    idle: list[str] = []
    for path, module in tapes[0].model.named_modules():
        if not path or any(inside(path, outer) for outer in idle) or not _callable(module):
            continue
        parts = {f"{path}.{name}" if name else path for name, _ in module.named_modules()}
        held = {memory(tensor) for tensor in [*module.parameters(), *module.buffers()]}
        if parts & called or held & read:
            continue
        idle.append(path)
        yield _finding(path, module)


def _finding(path: str, module: nn.Module) -> Finding:
    message = f'"{path}" ({type(module).__name__}) is never called.'
    if _empty(module):
        message = f'"{path}" ({type(module).__name__}) is never called; it is empty, so its truth is False.'
        fix = "Where a condition asks for it, write: if layer is not None. Nothing, if other inputs reach it."
        return Finding("never called", path, "note", message, fix)
    fix = "Call it in forward, or delete it; nothing, if other inputs reach it."
    return Finding("never called", path, "note", message, fix)


def _empty(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and len(module) == 0


def _callable(module: nn.Module) -> bool:
    """Whether a module is one that a forward has a reason to call."""
    if isinstance(module, (*_HOLDERS, *_NOTHING)) or not reachable(module):
        return False
    return type(module).forward is not nn.Module.forward
