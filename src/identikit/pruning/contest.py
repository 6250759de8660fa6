"""Which set of layers goes is decided once more after making up for each: what costs least alone may not be the best.

What is folded into the layer before a gap needs such a layer. So of the sets that follow the best one, those in which
every gap has one come first.
"""

from __future__ import annotations

from dataclasses import replace

from identikit.pruning.front import Trail
from identikit.pruning.made_up import MakingUp
from identikit.pruning.step import Step
from identikit.surgery.carried import first_paths

MOST = 4  # sets that are made up for: each takes several readings of the data


def contest(trail: Trail, making: MakingUp) -> Trail:
    """The trail with the set that is worth most once made up for, of the one chosen and the best others of its size."""
    chosen = trail.steps[trail.chosen]

    def open_ended(step: Step) -> int:
        return 0 if making.form == "adapter" else sum(gap.before is None for gap in making.gaps(step.plan))

    sets = [chosen, *sorted(trail.others, key=open_ended)[: MOST - 1]]
    best = sets[making.best_of([step.plan for step in sets])]
    if best is chosen:
        return trail
    steps = [best if step is chosen else step for step in trail.steps]
    listed = ", ".join(f'"{path}"' for path in first_paths(making.anatomy.model, list(best.gone)))
    size = f"{len(best.gone)} layer{'s' if len(best.gone) > 1 else ''}"
    why = f"{listed} went: of the {len(sets)} best sets of {size}, each made up for, it scores best."
    return replace(trail, steps=steps, why=(why,))
