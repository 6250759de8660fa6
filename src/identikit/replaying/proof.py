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
        run = passes.runner(pair, 0)
        with passes.work.checking():
            self._plain = [rebuilt(edited.run(run), _kept) for edited in plans]

    def hold(
        self,
        replays: Callable[[Sequence[Edited]], Iterable[Any]],
        among: Callable[[Edited], bool] = lambda edited: True,
    ) -> None:
        """Compare `replays(plans)` for the plans `among` these, asked in the opposite order.

        Raises NotReplayableError, naming a place, where one is not what the plain loop gives.
        """
        backwards = [pair for pair in zip(self.plans, self._plain, strict=True) if among(pair[0])][::-1]
        outputs = replays([edited for edited, _ in backwards])
        for (edited, plain), output in zip(backwards, outputs, strict=True):
            apart = difference(output, plain)
            self.exact &= apart == 0
            if apart > 1:
                places = " + ".join(edited.plan.places)
                raise NotReplayableError(f"a replay without {places} differs from the plain run on two examples")


def _kept(_: Any, leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf
