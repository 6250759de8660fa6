"""Running a model once to record it: in eval or training mode, with one backward, and without a trace."""

from __future__ import annotations

from contextlib import nullcontext
from textwrap import shorten

import torch
from torch import nn

from identikit.auditing.python_reads import PythonReads
from identikit.auditing.recorder import Recorder
from identikit.auditing.tape import Tape, Visit
from identikit.auditing.tensors import tensors_in
from identikit.batches import Batch, map_tensors
from identikit.structure.override import overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import leaves
from identikit.structure.watch import counting

_LONGEST = 200  # characters of what a backward raised


def record(model: nn.Module, batch: Batch, *, training: bool, saved: bool = True) -> Tape:
    """One pass of `model` on a copy of `batch`, forward and backward.

    In training mode batch norms still use their running statistics: a batch of one does, and nothing drifts.
    `saved` watches what backward needs, which torch.func does not allow.
    Raises ForwardError where the forward does; what backward raises is on the tape.
    """
    with counting(model), traceless(model), torch.enable_grad():
        if training:
            _train(model)
        given = batch.copied()
        args, kwargs = map_tensors((given.args, given.kwargs), torch.Tensor.detach)
        tape = Tape(model, Visit("", model, None, 0, tensors_in((args, kwargs))), derived=not saved)
        tape.handed = [value for _, value in leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        tape.note_own()
        recorder = Recorder(tape)
        parts = {path: module for path, module in model.named_modules() if path}
        hooks = recorder.saving() if saved else nullcontext()
        with overriding(parts, recorder.wrap), hooks, recorder, PythonReads(recorder.read):
            tape.output = recorder.run(lambda: model(*args, **kwargs))
        tape.root.outputs, tape.root.end = tensors_in(tape.output), len(tape.steps)
        tape.note_own()
        tape.results = [*tape.root.outputs, *_kept(model)]
        _backward(tape)
    return tape


def _train(model: nn.Module) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _kept(model: nn.Module) -> list[torch.Tensor]:
    """The tensors that modules hold in plain attributes: what a forward left there is a result too."""
    hidden = ("_parameters", "_buffers", "_modules")
    values = (value for module in model.modules() for name, value in vars(module).items() if name not in hidden)
    return [tensor for value in values for tensor in tensors_in(value)]


def _backward(tape: Tape) -> None:
    """Note which parameters a backward from every result reaches. Nothing is added to any `.grad`."""
    made = {id(tensor): tensor for tensor in tape.results if tensor.requires_grad and not tensor.is_leaf}
    roots = list(made.values())
    trained = {name: value for name, value in tape.model.named_parameters() if value.requires_grad}
    if not roots or not trained:
        return
    try:
        roots = [root if root.layout is torch.strided else root.to_dense() for root in roots]
        starts = [torch.ones_like(root) for root in roots]
        gradients = torch.autograd.grad(roots, list(trained.values()), starts, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as cause:  # whatever an operation's backward raises, it is what the user would see
        tape.refused = shorten((str(cause).strip().splitlines() or [type(cause).__name__])[0], _LONGEST)
        return
    tape.reached = {name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None}
