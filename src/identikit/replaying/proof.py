"""Is a replay the plain loop? Two examples, three places: all plain runs first, the replays after in another order.

The order matters: a layer that leaves a value for its parent to read leaves the right one behind a plain run of the
same plan, and only then (found on 330 models; the last place alone proves nothing, and wrong chains were all wrong at
the first).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from identikit.batches import Batch
from identikit.replaying.edited import Edited
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.passes import Passes
from identikit.structure.compare import difference
from identikit.structure.trees import rebuilt
from identikit.structure.watch import Watched


def sampled(plans: Sequence[Edited], watched: Watched) -> list[Edited]:
    """The plans whose first edited layer is called first, second and in the middle."""
    begins = {path: calls[0].start for path, calls in watched.by_path.items()}
    order = sorted(plans, key=lambda edited: min((begins[path] for path in edited.paths if path in begins), default=0))
    chosen = [order[0], order[min(1, len(order) - 1)], order[len(order) // 2]] if order else []
    return list({id(edited): edited for edited in chosen}.values())


class Proof:
    """What the plain loop gives for a few plans on two examples; an engine's outputs are held against it."""

    def __init__(self, passes: Passes, pair: Batch, plans: Sequence[Edited]) -> None:
        self.plans = plans
        self.exact = True  # bit-equal so far
        self._passes = passes
        self._run = passes.runner(pair, 0)
        self._plain: dict[Edited, Any] = {}
        self._run_plainly(plans)

    def _run_plainly(self, plans: Sequence[Edited]) -> None:
        with self._passes.work.checking():
            for edited in plans:
                if edited not in self._plain:
                    self._plain[edited] = rebuilt(edited.run(self._run), _kept)

    def hold(
        self, replays: Callable[[Sequence[Edited]], Iterable[Any]], plans: Sequence[Edited] | None = None
    ) -> None:  # fmt: skip
        """Compare `replays(plans)`, asked in the opposite order; the plans given at first where None.

        Raises NotReplayableError, naming a place, where one is not what the plain loop gives.
        """
        backwards = list(self.plans if plans is None else plans)[::-1]
        self._run_plainly(backwards[::-1])
        for edited, output in zip(backwards, replays(backwards), strict=True):
            apart = difference(output, self._plain[edited])
            self.exact &= apart == 0
            if apart > 1:
                places = " + ".join(edited.plan.places)
                raise NotReplayableError(f"a replay without {places} differs from the plain run on two examples")


def _kept(_: Any, leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf
