"""`insert`: copies of blocks put in behind them as the identity: the model computes what it did, and can learn more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import PlaceError, RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.growing.attempt import CLOSE, Trial, apart, handed_on
from identikit.growing.copied import copy_of
from identikit.growing.grow import (
    check_growth,
    count_in_step,
    growable,
    inside_of,
    is_whole,
    layers_of,
    put_in,
    require_decoding,
)
from identikit.growing.grown import grown_history, with_counts
from identikit.growing.identity_init import make_identity
from identikit.growing.outcome import require_used, why_other
from identikit.plan import Edit
from identikit.structure.override import Forward
from identikit.structure.streams import Flow
from identikit.structure.watch import parameter_names
from identikit.surgery.carried import carried, carry
from identikit.surgery.decoding import Decoding
from identikit.turns import in_turn


@in_turn
def insert(
    model: nn.Module,
    stack: str,
    *,
    after: int | Sequence[int],
    count: int = 1,
    freeze: bool = False,
    inputs: Any = None,
    family: Family | None = None,
) -> nn.Module:
    """Put identity-initialised copies of blocks in behind them, in place; the model computes what it did. Returns it.

    Of a copy's weights those are at zero that close its branches: the last projection (LLaMA-Pro, Wu et al. 2024), or
    the scale of the norm behind it; a convolution without a shortcut becomes a Dirac kernel. The rest holds the values
    of the block that was copied, and a gradient reaches the zeros, so training goes on from there. Layer numbers and
    the configuration are brought in step: `save` writes a plain checkpoint. In training mode this holds too, except
    for dropout on the stream itself and for batch norms of a chain without a shortcut.

    Args:
        model: edited in place; on failure it is as it was.
        stack: the container's path, "model.layers"; "" for a model that is an nn.Sequential itself.
        after: the layers, by number, to copy behind themselves; negative numbers count from the end.
        count: how many copies of each.
        freeze: only the new blocks train: `requires_grad` of everything else is switched off.
        inputs: one example of what forward takes; the family's own where None.

    Raises:
        PlaceError: no such stack or layer. RoleError: a layer is no whole block, is shared, or no weights make it the
        identity (post-norm: use `duplicate`). PlanError: an edit is applied now, or the layer was edited before.
        InputsError: no example is known.
    """
    if not is_whole(count) or count < 1:
        raise PlaceError(f"count={count!r}: insert puts in one copy or more of each layer.")
    found = growable(model, stack)
    numbers, depth = layers_of(found, after, "after"), found.depth
    anatomy = anatomy_of(found.model, inputs, family)
    paths = {number: anatomy.slots[inside_of(found.path, number)] for number in numbers}
    history = grown_history(anatomy, [Edit("insert", path, (("count", int(count)),)) for path in paths.values()])
    expected = anatomy.run()  # before a copy is made, so that one that is no copy is seen
    behind = {
        number: [(number, block) for block in _copies(anatomy, path, int(count))] for number, path in paths.items()
    }
    flows = {id(block): anatomy.verdict(paths[number]).flow for number, own in behind.items() for _, block in own}
    decoding = Decoding(anatomy)
    with ExitStack() as undo:
        new = put_in(found.model, anatomy.family, found.path, behind, undo)
        why, counts = _changed(anatomy, new, flows, expected, depth), list[str]()
        if why is not None and (counts := count_in_step(found.model, found.path, depth, undo)):
            why = _changed(anatomy, new, flows, expected, depth)
        if why is not None:
            raise RoleError(
                f'{type(model).__name__} with copies in "{stack}" does not compute what it did{why}, though each copy '
                "is the identity: the stack does more than run its layers in order. It was left as it was."
            )
        require_used(anatomy, new)
        require_decoding(found, decoding, unchanged=True)
        undo.pop_all()
    carry(found.model, with_counts(history, carried(found.model), counts))
    _let_train(found.model, new, freeze)
    return model


def _copies(anatomy: Anatomy, path: str, count: int) -> list[nn.Module]:
    """Copies of the layer at `path`, each of them the identity. Raises RoleError where that cannot be."""
    check_growth(anatomy, path)
    block = copy_of(anatomy.model, path)
    with anatomy.family.quiet(anatomy.model):
        make_identity(Trial(anatomy, path, block), anatomy.watched)
    return [block, *(copy_of(anatomy.model, path, block) for _ in range(count - 1))]


def _changed(anatomy: Anatomy, new: list[str], flows: dict[int, Flow | None], expected: Any, depth: int) -> str | None:
    """None where the model computes what is expected and each new block handed its stream on; else why not."""
    off: dict[str, float] = {}

    def looking(path: str, module: nn.Module, forward: Forward) -> Forward:
        if path not in new:
            return forward
        flow = flows.get(id(module)) or Flow()

        def looked_at(*args: Any, **kwargs: Any) -> Any:
            streams = handed_on(flow, parameter_names(forward), args, kwargs)
            output = forward(*args, **kwargs)
            off[path] = max(off.get(path, 0.0), apart(output, streams))
            return output

        return looked_at

    why = why_other(anatomy, new, looking, expected, depth)
    odd = next((path for path in off if off[path] > CLOSE), None)
    return why if why or odd is None else f' ("{odd}" changes its input by {off[odd]:.2g} of its size there)'


def _let_train(model: nn.Module, new: list[str], freeze: bool) -> None:
    """Let the new blocks train, and where asked nothing else."""
    own = {id(value) for path in new for value in model.get_submodule(path).parameters()}
    for value in model.parameters():
        if id(value) in own and value.is_floating_point():
            value.requires_grad_(True)
        elif freeze:
            value.requires_grad_(False)
