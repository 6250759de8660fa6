"""`simplify`: what changes nothing is stripped, what is affine is folded together; proved on a float64 copy first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.results.simplified import Left, Rewritten, Simplified
from identikit.simplifying.affine_chains import merging
from identikit.simplifying.branches import reparameterising
from identikit.simplifying.fold_norm import folding
from identikit.simplifying.proof import RELATIVE, Copy, copied, shapes_of, taken
from identikit.simplifying.record import record
from identikit.simplifying.refuse import refuse
from identikit.simplifying.sizes import size_of
from identikit.simplifying.steps import Rewrite, disjoint
from identikit.simplifying.strip import stripping
from identikit.simplifying.view import View
from identikit.structure.watch import watch
from identikit.turns import in_turn

_KINDS: tuple[Callable[[View], Iterator[Rewrite | Left]], ...] = (stripping, folding, merging, reparameterising)


@in_turn
def simplify(model: nn.Module, inputs: Any = None, *, family: Family | None = None) -> nn.Module:
    """Strip and fold what changes nothing in `model`, in eval mode, in place; returns the model, proved equal.

    Stripped: identities, dropouts, stochastic depth, scales of one and all else that gives back what it takes. Folded:
    batch norms and other scales into the linear layer or convolution (transposed, grouped, of 1 to 3 dimensions) before
    or behind them. Merged: linear layers one right behind the other, where that has no more weights; parallel
    convolutions whose outputs are added (RepVGG). What a layer is, is found by what it does to noise and by who reads
    its output in a watched pass, not by its class. Shared layers, layers called twice, hooks and parametrised weights
    are left alone. `ik.simplified(model)` says what was done, what was left and why, and the sizes before and after.

    Everything is done in a float64 copy first, where outputs must agree to 1e-9 on `inputs` and on noise with one more
    example; then in the model, where they must agree as far as its dtype allows. What does not is undone. Of a model
    that has no float64 only what changes no bit is stripped.

    Args:
        model: any module in eval mode. Afterwards it is for use: in train mode it is no longer the network it was.
        inputs: one example of what its forward takes (tensor, tuple or dict); the family's own where None.
        family: the model's library, where identikit does not know it.

    Raises:
        ModelError: train mode, compiled layers, a model that cannot be copied. PlanError: a Handle is live, or
            several processes hold the model. InputsError: no example is known, or the model does not run on it.
            The model is as it was after any of them.

    Example:
        >>> import torch, identikit as ik
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in ik.simplify(model, torch.randn(2, 3, 8, 8))]
        ['Conv2d', 'ReLU']
    """
    refuse(model)
    anatomy = anatomy_of(model, inputs, family)
    whole = anatomy.model  # without what torch has put around it
    tried = copied(whole, anatomy.batch, anatomy.family)
    found = _Found()
    while _round(tried, found):
        pass
    before, names = size_of(anatomy), _state(whole)
    kept, own = taken(anatomy, tried, found.kept)
    found.keep(kept)
    done = Simplified(
        model=type(whole).__name__,
        rewrites=found.told,
        left=found.left,
        before=before,
        after=size_of(anatomy),
        same_state=names == _state(whole),
        float64=tried.apart() * RELATIVE if tried.in_float64 else None,
        own=own,
        proved_on=tuple(shapes_of(batch) for batch in tried.batches),
    )
    record(whole, done)
    return model


@dataclass
class _Found:
    """What was kept, in order; what was undone; and why what is left is left, by place, as the last round saw it."""

    kept: list[Rewrite] = field(default_factory=list)
    undone: dict[tuple[str, str, str], str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def keep(self, kept: list[Rewrite]) -> None:
        """Only `kept`, the first of them, could be done to the model itself."""
        done = {each.told.at for each in kept}
        lost = [each.told.at for each in self.kept[len(kept) :] if each.told.at not in done]
        self.why.update(dict.fromkeys(lost, "in the model's own dtype it would lose too much to rounding"))
        self.kept = kept

    @property
    def told(self) -> tuple[Rewritten, ...]:
        """What was done, once for each layer: an Identity that another rewrite left, and is gone too, is not told."""
        first: dict[str, Rewritten] = {}
        for each in self.kept:
            first.setdefault(each.told.at, each.told)
        return tuple(first.values())

    @property
    def left(self) -> tuple[Left, ...]:
        undone = dict.fromkeys(self.undone.values(), "the outputs were not equal without it, so it was put back")
        return tuple(Left(at, why) for at, why in {**self.why, **undone}.items())


def _round(tried: Copy, found: _Found) -> bool:
    """Watch the copy, and take what the first kind that has something proposes; False where none has."""
    batch = tried.batches[0]
    with tried.family.quiet(tried.model):
        view = View(tried.model, watch(tried.model, lambda: batch.copied().call(tried.model)))
    found.why = {}
    for kind in _KINDS if tried.in_float64 else _KINDS[:1]:
        proposed = list(kind(view))
        found.why.update({each.at: each.why for each in proposed if isinstance(each, Left)})
        rewrites = [each for each in proposed if isinstance(each, Rewrite) and each.key not in found.undone]
        kept, undone = tried.keep_equal(disjoint(rewrites))
        found.kept += kept
        found.undone.update({each.key: each.told.at for each in undone})
        if kept or undone:
            return True
    return False


def _state(model: nn.Module) -> list[str]:
    return list(model.state_dict(keep_vars=True))
