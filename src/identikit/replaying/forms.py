"""The forms in which a model calls its layers: with a mask and without, say. Each has its chains, learned and proved.

A library may leave out the mask of a batch in which nothing is padded. Its layers then take other arguments, so what
was learned from a padded batch (where the batch dimension of each tensor lies) says nothing of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from identikit.batches import Batch
from identikit.replaying.chain import Chain
from identikit.replaying.recorded import Recorded
from identikit.replaying.skeleton import Skeleton
from identikit.structure.trees import leaves

_MOST = 3  # forms; what comes in yet another one is replayed


@dataclass(eq=False)
class Form:
    """One way of calling the layers. `skeleton`: records passes without computing them, where one chain holds all."""

    chains: Sequence[Chain]
    skeleton: Skeleton | None

    def fits(self, each: Recorded) -> bool:
        """Whether the layers of a recorded batch were called so."""
        return not each.recording.drew and all(_fits(chain, each) for chain in self.chains)


@dataclass
class Forms:
    """The forms that are known; `learn` finds one out from a batch, or gives None."""

    learn: Callable[[Batch], Form | None]
    known: list[Form] = field(default_factory=list)
    _asked: int = 1

    def chains(self) -> list[tuple[Form, Chain]]:
        """Every chain with the form that it is of."""
        return [(form, chain) for form in self.known for chain in form.chains]

    def of(self, record: Callable[[Form], Recorded | None], batch: Batch) -> tuple[Form, Recorded] | None:
        """The form of a batch, with its recording; `record` gives None where a form is not the batch's."""
        for form in self.known:
            each = record(form)
            if each is not None:
                return form, each
        if self._asked >= _MOST:
            return None
        self._asked += 1
        form_ = self.learn(batch)
        if form_ is None:
            return None
        self.known.append(form_)
        each = record(form_)
        return (form_, each) if each is not None else None


def _fits(chain: Chain, each: Recorded) -> bool:
    """Whether the layers were called as they were when the batch dimensions were learned."""
    paths = [step.path for step in each.recording.steps]
    for link in chain.segment.links:
        step = each.steps.get(link.path)
        if step is None or step.computed or paths.count(link.path) != 1:
            return False
        given = {path for path, leaf in leaves((step.args, step.kwargs)) if isinstance(leaf, torch.Tensor)}
        made = {path for path, leaf in leaves(step.output) if isinstance(leaf, torch.Tensor)}
        if given != link.dims.keys() or (each.computed and made != link.outs.keys()):
            return False
    return True
