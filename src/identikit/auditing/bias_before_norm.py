"""A bias right before a batch norm: the norm takes the mean away, and the bias with it (Ioffe and Szegedy, 2015)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from identikit.auditing.tape import Tape, Visit
from identikit.results.finding import Finding
from identikit.structure.operations import memory

LOOKED_FOR = "biases before a batch norm"
_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A note: such a bias learns nothing and does no harm."""
    for tape in tapes:
        layers = [visit for visit in tape.visits if isinstance(visit.module, _LAYERS)]
        made = {number: visit for visit in layers for number in visit.returned}
        for norm in tape.visits:
            if not isinstance(norm.module, nn.modules.batchnorm._BatchNorm) or not norm.inputs:
                continue
            number = memory(norm.inputs[0])
            layer = made.get(number)
            if layer is not None and layer.module.bias is not None and _alone(tape, number, layer, norm):
                message = f"{layer.name} adds a bias that {norm.name} ({type(norm.module).__name__}) takes away again."
                yield Finding("bias before norm", layer.path, "note", message, f"Build {layer.name} with bias=False.")


def _alone(tape: Tape, number: int, layer: Visit, norm: Visit) -> bool:
    """Whether nothing but the norm reads what the layer made, and nothing changes it on the way."""
    readers = [step for step in tape.readers(number) if step.number >= layer.end]
    changed = any(number in step.written for step in tape.steps[layer.end : norm.start])
    return not changed and bool(readers) and all(norm.start <= step.number < norm.end for step in readers)
