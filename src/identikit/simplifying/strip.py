"""Layers that change nothing go: out of an nn.Sequential, or an nn.Identity in their place where they are called by
name or by number."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from identikit.places import inside
from identikit.results.simplified import Left, Rewritten
from identikit.simplifying.affine import is_neutral
from identikit.simplifying.steps import Drop, Put, Rewrite
from identikit.simplifying.view import View, plain


def stripping(view: View) -> Iterator[Rewrite | Left]:
    """A rewrite for each outermost neutral layer that ran; what is neutral and must stay is told."""
    done: list[str] = []
    sizes: dict[str, int] = {}
    for path, module in view.modules.items():
        calls = view.watched.by_path.get(path, [])
        if not path or not calls or any(inside(path, outer) for outer in done) or not all(map(plain, calls)):
            continue
        member = _member(view, path)
        if type(module) is nn.Identity and member is None:
            continue
        if not all(is_neutral(module, call.args[0]) for call in calls):
            continue
        done.append(path)
        if (why := view.forbids(path)) is not None:
            yield Left(path, why)
            continue
        parent = path.rpartition(".")[0]
        left = sizes.setdefault(parent, len(view.modules[parent]._modules))
        if member and left > 1:
            sizes[parent] = left - 1
            yield Rewrite(Rewritten("strip", path, "", "removed"), (Drop(path),), frozenset({path}))
        elif type(module) is not nn.Identity:
            told = Rewritten("strip", path, "", "an nn.Identity stands in its place")
            yield Rewrite(told, (Put(path),), frozenset({path}))


def _member(view: View, path: str) -> bool | None:
    """Whether the layer is a member of an nn.Sequential that ran it, itself and alone; None where it is not."""
    parent = path.rpartition(".")[0]
    if type(view.modules[parent]).forward is not nn.Sequential.forward or view.forbids_alone(parent):
        return None
    calls = view.watched.by_path[path]
    return True if all(call.parent is not None and call.parent.path == parent for call in calls) else None
