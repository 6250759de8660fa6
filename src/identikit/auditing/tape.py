"""A recorded pass with gradients: every operation, in which module it ran, what it read, made and wrote into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from identikit.structure.operations import memory


@dataclass(eq=False)
class Visit:
    """One call of a module, from the operation `start` up to (not including) the operation `end`."""

    path: str
    module: nn.Module
    parent: Visit | None
    start: int
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor] = field(default_factory=list)
    end: int = -1

    @property
    def name(self) -> str:
        """The module in words: its path in quotes, or the model's class."""
        return f'"{self.path}"' if self.path else type(self.module).__name__

    @property
    def taken(self) -> set[int]:
        """The memory of what it was given."""
        return {memory(tensor) for tensor in self.inputs}

    @property
    def returned(self) -> set[int]:
        """The memory of what it gave back."""
        return {memory(tensor) for tensor in self.outputs}

    def around(self) -> Iterator[Visit]:
        """The calls that this one happened in, from the inside out."""
        visit = self.parent
        while visit is not None:
            yield visit
            visit = visit.parent


@dataclass(eq=False)
class Step:
    """One operation of the dispatcher, and the innermost module that was running."""

    number: int
    function: Any
    visit: Visit
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    written: set[int]  # the memory that it changed in place

    @property
    def name(self) -> str:
        """Its name without the library's: "add_", "relu"."""
        return str(self.function._schema.name).rpartition("::")[2]

    @cached_property
    def read(self) -> set[int]:
        """The memory of what it was given."""
        return {memory(tensor) for tensor in self.inputs}

    @cached_property
    def made(self) -> set[int]:
        """The memory of what it returned and of what it wrote into; none where Python took a number."""
        return {memory(tensor) for tensor in self.outputs} | self.written


@dataclass(eq=False)
class Overwritten:
    """A value that backward needs (for `needed_by`) and that `writer` changed before backward came to it."""

    needed_by: Visit
    writer: Step | None


@dataclass(eq=False)
class Tape:
    """One pass of `model`: tensors are held, so that no memory is used twice."""

    model: nn.Module
    root: Visit
    visits: list[Visit] = field(default_factory=list)  # of the layers; the model's own is the root
    steps: list[Step] = field(default_factory=list)
    output: Any = None
    handed: list[torch.Tensor] = field(default_factory=list)  # given as they are, not held by an object (a cache)
    results: list[torch.Tensor] = field(default_factory=list)  # in the output, or kept in an attribute
    parameters: dict[int, str] = field(default_factory=dict)  # their memory, of before and after the forward
    own: set[int] = field(default_factory=set)  # the memory of parameters and buffers, of before and after
    reached: set[str] | None = None  # the parameters that backward reached; None: there is no backward
    refused: str = ""  # what backward raised
    overwritten: list[Overwritten] = field(default_factory=list)
    derived: bool = False  # the forward took a derivative, or torch.func was at work: a result may show in that alone

    @property
    def given(self) -> list[torch.Tensor]:
        """What the model was given."""
        return self.root.inputs

    def note_own(self) -> None:
        """Note the memory of what the model holds now: `weight.data = other` puts other memory there."""
        self.parameters |= {memory(parameter): name for name, parameter in self.model.named_parameters()}
        self.own |= {memory(tensor) for tensor in [*self.model.parameters(), *self.model.buffers()]}

    def memories(self, name: str) -> set[int]:
        """The memory of the parameter `name`; two where the forward put other memory in."""
        return {number for number, each in self.parameters.items() if each == name}

    @cached_property
    def rewritten(self) -> set[str]:
        """The parameters that the forward itself wrote into, or put other memory in."""
        written = {number for step in self.steps for number in step.written}
        homes = Counter(self.parameters.values())
        return {name for number, name in self.parameters.items() if number in written or homes[name] > 1}

    @cached_property
    def from_inputs(self) -> set[int]:
        """The memory of everything that was computed from what the model was given."""
        return self.computed_from({memory(tensor) for tensor in self.given})

    @cached_property
    def from_parameters(self) -> set[int]:
        """The memory of everything that was computed from a parameter."""
        return self.computed_from(set(self.parameters))

    def computed_from(self, start: set[int], *, until: int | None = None) -> set[int]:
        """The memory of everything that was computed from `start`, before the operation `until`."""
        reached = set(start)
        for step in self.steps[:until]:
            if step.read & reached:
                reached |= step.made
        return reached

    @cached_property
    def live(self) -> set[int]:
        """The memory of everything that shows: in a result, in what outlives the pass, in a value that Python read."""
        return self._computes(numbers=True)

    @cached_property
    def shown(self) -> set[int]:
        """The memory of everything that shows in a tensor: what Python read as a number alone does not count."""
        return self._computes(numbers=False)

    def _computes(self, *, numbers: bool) -> set[int]:
        live = {memory(tensor) for tensor in [*self.results, *self.given]} | self.own
        for step in reversed(self.steps):
            if step.made & live or (numbers and not step.made):
                live |= step.read
        return live

    def readers(self, number: int) -> list[Step]:
        """The operations that read the memory `number`, in order; one that only looks at it reads nothing."""
        return self._readers.get(number, [])

    @cached_property
    def _readers(self) -> dict[int, list[Step]]:
        readers: dict[int, list[Step]] = {}
        for step in self.steps:
            made = {memory(tensor) for tensor in step.outputs} - step.written
            for number in step.read - made:  # a view shares what it looks at
                readers.setdefault(number, []).append(step)
        return readers
