"""A forward that does not run: in which module it stopped, in which operation, and what to say of it."""

from __future__ import annotations

import re

from torch import nn

from identikit.auditing.tape import Step, Visit
from identikit.auditing.words import shape
from identikit.structure.operations import adds

#: How torch calls an operation that writes where gradients need the old value.
_WRITES = ("in-place", "inplace", "out=")


class ForwardError(Exception):
    """A recorded forward raised `__cause__` in the module `visit` (the innermost one), maybe in an operation `step`."""

    def __init__(self, cause: Exception, visit: Visit, step: Step | None) -> None:
        lines = str(cause).strip().splitlines() or [""]
        self.why = f"{type(cause).__name__}: {lines[0]}".rstrip(".: ")
        self.visit = visit
        self._step = step
        super().__init__(f"{visit.name}: {self.why}")

    @property
    def briefly(self) -> str:
        """What was raised, in one sentence."""
        return re.split(r"(?<!\.)\. ", self.why)[0]  # "out=... " ends none

    @property
    def writes(self) -> bool:
        """Whether autograd refused an operation that writes in place."""
        return isinstance(self.__cause__, RuntimeError) and any(word in str(self.__cause__) for word in _WRITES)

    @property
    def advice(self) -> str:
        """What happened, and how to mend it. An addition that does not fit is a skip without a projection."""
        step, raised = self._step, f"{self.visit.name} raises {self.why}."
        if step is not None and adds(step.function) and len(step.inputs) == 2:
            one, other = step.inputs
            return (
                f"{self.visit.name} adds shape {shape(one)} to {shape(other)}. A skip has the shape of its branch: "
                'identikit.nn.Residual(branch, shortcut="project") sees to it.'
            )
        if type(self.visit.module) is nn.Identity and isinstance(self.__cause__, TypeError):
            return f"{raised} identikit.nn.Identity takes any call, and Identity.like(layer, example) returns alike."
        return f"{raised} Pass inputs=... that it takes, or mend that layer."
