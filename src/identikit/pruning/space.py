"""What a search may drop: the candidates, and which of them may still go once others went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from identikit.costing.cost import parameters_of
from identikit.costing.stored import stored_bytes
from identikit.places import inside
from identikit.plan import Plan
from identikit.pruning.step import Step, without
from identikit.structure.stacks import members


@dataclass(frozen=True)
class Space:
    """`plans`: the candidates' paths, and the plan that takes each one out."""

    model: nn.Module
    plans: Mapping[str, Plan]

    def candidates(self, gone: tuple[str, ...]) -> list[str]:
        """The layers that may go after `gone`: none that went with a layer around it; the last of a stack stays."""
        out = {id(self.model.get_submodule(path)) for path in gone}
        left = {stack: len(layers - out) for stack, layers in self._stacks().items()}
        return [
            path
            for path in self.plans
            if path not in gone
            and not any(inside(path, outer) for outer in gone)
            and left.get(path.rpartition(".")[0], 2) > 1
        ]

    def step(self, gone: Iterable[str]) -> Step:
        """The step on which these layers are gone."""
        step = Step(Plan())
        for path in gone:
            step = step.less(path, self.plans[path])
        return step

    def emptied(self, order: Iterable[str]) -> tuple[str, ...]:
        """What is gone once every layer went that can, in this order."""
        gone: tuple[str, ...] = ()
        for path in order:
            if path in self.candidates(gone):
                gone = without(gone, path)
        return gone

    def by_size(self) -> list[str]:
        """The candidates, the one with the most parameters first."""
        return sorted(self.plans, key=lambda path: -parameters_of(self.model.get_submodule(path)))

    def innermost(self) -> list[str]:
        """The candidates that hold no other one."""
        return [path for path in self.plans if not any(inside(other, path) for other in self.plans)]

    def parameters_left(self, gone: tuple[str, ...]) -> int:
        """How many parameters the model has without `gone`; shared ones stay while anyone holds them."""
        kept = {id(value): value.numel() for module in self._left(gone) for value in module.parameters(recurse=False)}
        return sum(kept.values())

    def bytes_left(self, gone: tuple[str, ...]) -> int:
        """How many bytes the parameters and buffers take without `gone`, as they lie in memory."""
        left = self._left(gone)
        return stored_bytes(
            value for module in left for value in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        )

    def share_left(self, gone: tuple[str, ...]) -> float:
        """The share of the parameters that is left, 0 to 1."""
        return self.parameters_left(gone) / max(1, self.parameters_left(()))

    def _left(self, gone: tuple[str, ...]) -> list[nn.Module]:
        """The modules of the model without `gone`, each once."""
        dropped = {id(module) for path in gone for module in self.model.get_submodule(path).modules()}
        return [module for module in self.model.modules() if id(module) not in dropped]

    def _stacks(self) -> dict[str, set[int]]:
        """The containers that candidates stand in, and the layers that each lines up (one may stand in two slots)."""
        found: dict[str, set[int]] = {}
        for stack in dict.fromkeys(path.rpartition(".")[0] for path in self.plans):
            container = self.model.get_submodule(stack)
            if lined := members(container):
                found[stack] = {id(container.get_submodule(name)) for name in lined}
        return found
