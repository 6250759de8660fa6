"""What writes the tape while a model runs: calls through overridden forwards, operations through the dispatcher."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.auditing.forward_error import ForwardError
from identikit.auditing.tape import Overwritten, Step, Tape, Visit
from identikit.auditing.tensors import is_wrapped, tensors_in
from identikit.structure.operations import memory, written
from identikit.structure.override import Forward
from identikit.structure.trees import leaves
from identikit.structure.watch import version

_READ = torch.ops.aten._local_scalar_dense.default


@dataclass(eq=False)
class _Saved:
    """A tensor that backward needs, as it was when it was put aside.

    Autograd holds it, which the garbage collector cannot look into: what it leads to strongly would never be freed.
    """

    tensor: torch.Tensor
    version: int
    visit: weakref.ref[Visit]
    step: int
    told: bool = False


class _Recorded:
    """A layer's forward while the tape is written; a copy that the model makes of the layer calls its own instead."""

    def __init__(self, module: nn.Module, call: Forward) -> None:
        self._module = module
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = memo.get(id(self._module))
        return self if copied is None else type(copied).forward.__get__(copied)


class Recorder(TorchDispatchMode):
    """Writes `tape`. `wrap` goes around every layer's forward, `saving` around what backward needs."""

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
            self._tape.derived |= any(is_wrapped(value) for _, value in leaves(output) if torch.is_tensor(value))
            return output

        return _Recorded(module, recorded)

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

    def read(self, tensor: torch.Tensor) -> None:
        """Note that Python took all values of a tensor: the dispatcher sees no operation there."""
        step = Step(len(self._tape.steps), _READ, self._open[-1], [tensor], [], set())
        self._tape.steps.append(step)

    def _note(self, cause: Exception, visit: Visit, step: Step | None = None) -> None:
        """Keep where an error was raised first: from there it passes through every module around."""
        if self._raised[0] is not cause:
            self._raised = (cause, visit, step)

    def saving(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Hooks that note what backward needs. They hold the recorder weakly: autograd keeps them with every tensor."""
        own = weakref.ref(self)

        def unpack(saved: _Saved) -> torch.Tensor:
            recorder = own()
            return saved.tensor if recorder is None else recorder._unpack(saved)

        def pack(tensor: torch.Tensor) -> _Saved:
            recorder = own()
            assert recorder is not None, "hooks are on only while their recorder is"
            return recorder._pack(tensor)

        return torch.autograd.graph.saved_tensors_hooks(pack, unpack)

    def _pack(self, tensor: torch.Tensor) -> _Saved:
        """Put aside what backward needs. Detached: an output that held itself would never be freed."""
        steps = len(self._tape.steps)
        held = tensor.detach()
        del self._tape.steps[steps:]  # the detach is ours, not the model's
        return _Saved(held, version(tensor), weakref.ref(self._open[-1]), steps)

    def _unpack(self, saved: _Saved) -> torch.Tensor:
        """Hand it out again, and note where it is no longer what it was: outside an audit backward raises here."""
        self._tape.derived |= self._tape.root.end < 0  # the forward is not over
        visit = saved.visit()
        if version(saved.tensor) != saved.version and not saved.told and visit is not None:
            saved.told = True
            steps = self._tape.steps[saved.step :]
            writer = next((step for step in steps if memory(saved.tensor) in step.written), None)
            self._tape.overwritten.append(Overwritten(visit, writer))
        return saved.tensor


def _takes_the_shape(func: Any) -> bool:
    """Whether an operation reads no value of the tensor it is given: `zeros_like`, `new_empty`."""
    name = str(func._schema.name).rpartition("::")[2]
    return name.startswith("new_") or name.endswith("_like")
