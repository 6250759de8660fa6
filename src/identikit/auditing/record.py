"""Running a model once to record it: in eval or training mode, with one backward, and without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.auditing.forward_error import ForwardError
from identikit.auditing.tape import Overwritten, Step, Tape, Visit
from identikit.auditing.tensors import tensors_in
from identikit.batches import Batch, map_tensors
from identikit.structure.operations import memory, written
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import leaves
from identikit.structure.watch import counting, version


def record(model: nn.Module, batch: Batch, *, training: bool) -> Tape:
    """One pass of `model` on a copy of `batch`, forward and backward.

    In training mode batch norms still use their running statistics: a batch of one does, and nothing drifts.
    Raises ForwardError where the forward does; what backward raises is on the tape.
    """
    with counting(model), traceless(model), torch.enable_grad():
        if training:
            _train(model)
        args, kwargs = map_tensors((batch.args, batch.kwargs), lambda value: value.detach().clone())
        given = tensors_in((args, kwargs))
        tape = Tape(model, Visit("", model, None, 0, given))
        recorder = _Recorder(tape)
        parts = {path: module for path, module in model.named_modules() if path}
        hooks = torch.autograd.graph.saved_tensors_hooks(recorder.pack, recorder.unpack)
        with overriding(parts, recorder.wrap), hooks, recorder:
            tape.output = recorder.run(lambda: model(*args, **kwargs))
        tape.root.outputs, tape.root.end = tensors_in(tape.output), len(tape.steps)
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
        starts = [torch.ones_like(root) for root in roots]
        gradients = torch.autograd.grad(roots, list(trained.values()), starts, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as cause:  # whatever an operation's backward raises, it is what the user would see
        tape.refused = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        return
    tape.reached = {name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None}


@dataclass(eq=False)
class _Saved:
    """A tensor that backward needs, as it was when it was put aside."""

    tensor: torch.Tensor
    version: int
    visit: Visit
    step: int
    told: bool = False


class _Recorder(TorchDispatchMode):
    """Writes the tape: calls through overridden forwards, operations through the dispatcher."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tape = tape
        self._open = [tape.root]
        self._raised: tuple[Exception | None, Visit, Step | None] = (None, tape.root, None)

    def run(self, forward: Callable[[], Any]) -> Any:
        """The model's output. Raises ForwardError."""
        try:
            return forward()
        except torch.OutOfMemoryError:
            raise
        except Exception as cause:  # whatever a forward raises, these inputs are not what it takes
            self._note(cause, self._tape.root)
            raise ForwardError(cause, *self._raised[1:]) from cause

    def wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            visit = Visit(path, module, self._open[-1], len(self._tape.steps), tensors_in((args, kwargs)))
            self._tape.visits.append(visit)
            self._open.append(visit)
            try:
                output = forward(*args, **kwargs)
            except Exception as cause:
                self._note(cause, visit)
                raise
            finally:
                self._open.pop()
                visit.end = len(self._tape.steps)
            visit.outputs = tensors_in(output)
            return output

        return recorded

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = () if _takes_the_shape(func) else (args, kwargs or {})
        inputs = [value for _, value in leaves(given) if isinstance(value, torch.Tensor)]
        changed = {memory(tensor) for tensor in written(func, args, kwargs or {})}
        step = Step(len(self._tape.steps), func, self._open[-1], inputs, [], changed)
        try:
            result = func(*args, **(kwargs or {}))
        except Exception as cause:
            self._note(cause, step.visit, step)
            raise
        step.outputs = [value for _, value in leaves(result) if isinstance(value, torch.Tensor)]
        self._tape.steps.append(step)
        return result

    def _note(self, cause: Exception, visit: Visit, step: Step | None = None) -> None:
        """Keep where an error was raised first: from there it passes through every module around."""
        if self._raised[0] is not cause:
            self._raised = (cause, visit, step)

    def pack(self, tensor: torch.Tensor) -> _Saved:
        """Put aside what backward needs. Detached: an output that held itself would never be freed."""
        steps = len(self._tape.steps)
        held = tensor.detach()
        del self._tape.steps[steps:]  # the detach is ours, not the model's
        return _Saved(held, version(tensor), self._open[-1], steps)

    def unpack(self, saved: _Saved) -> torch.Tensor:
        """Hand it out again, and note where it is no longer what it was: outside an audit backward raises here."""
        if version(saved.tensor) != saved.version and not saved.told:
            saved.told = True
            steps = self._tape.steps[saved.step :]
            writer = next((step for step in steps if memory(saved.tensor) in step.written), None)
            self._tape.overwritten.append(Overwritten(saved.visit, writer))
        return saved.tensor


def _takes_the_shape(func: Any) -> bool:
    """Whether an operation reads no value of the tensor it is given: `zeros_like`, `new_empty`."""
    name = str(func._schema.name).rpartition("::")[2]
    return name.startswith("new_") or name.endswith("_like")
