"""`duplicate`: layers repeated behind themselves with their weights (SOLAR, pass-through merges); says what changed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import IdentikitWarning, PlanError, RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.growing.attempt import NOT_RUN
from identikit.growing.copied import copy_of
from identikit.growing.grow import (
    Behind,
    check_growth,
    count_in_step,
    growable,
    inside_of,
    layers_of,
    put_in,
    require_decoding,
)
from identikit.growing.grown import grown_history, with_counts
from identikit.growing.outcome import moved, require_used, why_other
from identikit.plan import Edit
from identikit.structure.override import Forward
from identikit.surgery.carried import carried, carry, first_paths
from identikit.surgery.decoding import Decoding
from identikit.surgery.forwards import EditedForward, forward_for
from identikit.turns import in_turn


@in_turn
def duplicate(
    model: nn.Module,
    stack: str,
    layers: int | Sequence[int],
    *,
    inputs: Any = None,
    family: Family | None = None,
) -> nn.Module:
    """Repeat layers of a stack, in place: behind each unbroken span stands a copy of it; returns the model.

    Unlike `insert` this changes what the model computes (depth up-scaling: SOLAR, Kim et al. 2023; pass-through
    merges), and an IdentikitWarning says by how much on the example. It works in post-norm families too. The copies
    have weights of their own. Layer numbers and the configuration are brought in step: `save` writes a plain
    checkpoint. What is proved before the model is kept: with its copies bypassed it computes what it did.

    Args:
        model: edited in place; on failure it is as it was.
        stack: the container's path, "model.layers"; "" for a model that is an nn.Sequential itself.
        layers: the layers to repeat, by number: [2, 3] gives 0 1 2 3 2 3 4; [2, 5] are two spans.
        inputs: one example of what forward takes; the family's own where None.

    Raises:
        PlaceError: no such stack or layer. RoleError: a layer is no whole block or is shared, or the stack does more
        than run its layers in order. PlanError: an edit is applied now, or a layer was edited before. InputsError: no
        example is known.
    """
    found = growable(model, stack)
    numbers, depth = layers_of(found, layers, "layers"), found.depth
    anatomy = anatomy_of(found.model, inputs, family)
    paths = {number: anatomy.slots[inside_of(found.path, number)] for number in numbers}
    for path in paths.values():
        check_growth(anatomy, path)
    history = grown_history(anatomy, [_edit(anatomy, [paths[number] for number in span]) for span in _spans(numbers)])
    behind = {span[-1]: [(each, copy_of(found.model, paths[each])) for each in span] for span in _spans(numbers)}
    expected, decoding = anatomy.run(), Decoding(anatomy)
    with ExitStack() as undo:
        new = put_in(found.model, anatomy.family, found.path, behind, undo)
        why, counts = _without_copies(anatomy, paths, behind, new, expected, depth), list[str]()
        if why is not None and (counts := count_in_step(found.model, found.path, depth, undo)):
            why = _without_copies(anatomy, paths, behind, new, expected, depth)
        if why is not None:
            raise RoleError(
                f'{type(model).__name__} with layers of "{stack}" repeated does not compute what it did while the '
                f"copies are bypassed{why}: the stack does more than run its layers in order. It was left as it was."
            )
        require_decoding(found, decoding, unchanged=False)
        message = _said(anatomy, stack, numbers, new, expected, depth)
        require_used(anatomy, new)
        undo.pop_all()
    carry(found.model, with_counts(history, carried(found.model), counts))
    warnings.warn(message, IdentikitWarning, stacklevel=3)
    return model


def _spans(numbers: Sequence[int]) -> list[list[int]]:
    """[2, 3, 5] as [[2, 3], [5]]."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return spans


def _edit(anatomy: Anatomy, span: list[str]) -> Edit:
    """The edit of one span: at its last layer, with how many layers up to there are repeated behind it."""
    names = [path.rpartition(".")[2] for path in first_paths(anatomy.model, span)]
    plain = all(name.isdecimal() for name in names) and int(names[-1]) - int(names[0]) == len(names) - 1
    if len(span) > 1 and not plain:
        raise PlanError(
            f'the layers "{span[0]}" to "{span[-1]}" were not next to each other in the model first loaded. '
            "Repeat them one by one, in calls of their own."
        )
    return Edit("duplicate", span[-1], (("count", len(span)),))


def _without_copies(
    anatomy: Anatomy, paths: dict[int, str], behind: Behind, new: list[str], expected: Any, depth: int
) -> str | None:
    """None where the model computes what is expected while the copies hand their stream on; else why not."""
    source = {id(copied): paths[number] for own in behind.values() for number, copied in own}

    def passed(path: str, module: nn.Module, forward: Forward) -> Forward:
        return _bypass(anatomy, source[id(module)]) if path in new else forward

    return why_other(anatomy, new, passed, expected, depth)


def _bypass(anatomy: Anatomy, path: str) -> EditedForward:
    """What a copy of the layer at `path` does while it is bypassed."""
    call, flow = anatomy.watched.by_path[path][0], anatomy.verdict(path).flow
    assert flow is not None  # a whole block has one
    return forward_for("identity", call.module, flow, call.output).copying()


def _said(anatomy: Anatomy, stack: str, numbers: list[int], new: list[str], expected: Any, depth: int) -> str:
    """How many layers, weights, and how far the output is from what it was. Raises RoleError where it does not run."""
    model = anatomy.model
    try:
        share = moved(anatomy.run(), expected)
    except NOT_RUN as cause:
        why = f"{type(model).__name__} does not run with repeated layers ({' '.join(str(cause).split())})"
        raise RoleError(f"{why}; it was left as it was.") from cause
    weights = sum(value.numel() for path in new for value in model.get_submodule(path).parameters())
    which = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {', '.join(map(str, numbers))}"
    name = f'"{stack}"' if stack else type(model).__name__
    return (
        f"{name} grew from {depth} to {depth + len(new)} layers: a copy of {which}, {weights:,} parameters more. On "
        f"the example its output moved by {share:.0%} of its size, so train the model, or measure it before use."
    )
