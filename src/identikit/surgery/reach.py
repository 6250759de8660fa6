"""An edit that the forward pass never runs changes nothing: an error, or a warning for a routed expert."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.backends import mha

from identikit.errors import IdentikitWarning, NotReachedError
from identikit.families.anatomy import Anatomy
from identikit.structure.operations import memory


def not_called(anatomy: Anatomy, path: str) -> None:
    """Raise NotReachedError for an edit that changes nothing; only warn of an expert that was not chosen."""
    if unreached_expert(anatomy, path):
        message = f'the example did not reach "{path}"; its edit is applied but unchecked.'
        warnings.warn(message, IdentikitWarning, stacklevel=5)
        return
    raise NotReachedError(_refusal(anatomy.model, path))


def unreached_expert(anatomy: Anatomy, path: str) -> str | None:
    """A called sibling of the same class that stands for a routed expert the example did not reach.

    Experts run side by side; the members of a chain work on what others made, and one that never ran is dead.
    """
    parent, _, name = path.rpartition(".")
    if not name.isdecimal():
        return None
    kind, called = type(anatomy.model.get_submodule(path)), anatomy.watched.by_path
    siblings = (f"{parent}.{each}" for each, _ in anatomy.model.get_submodule(parent).named_children())
    ran = [one for one in siblings if called.get(one) and type(anatomy.model.get_submodule(one)) is kind]
    calls = sorted((call for one in ran for call in called[one]), key=lambda call: call.start)
    if len(calls) < 2:
        return None
    first, *others = calls
    reached = anatomy.watched.reached_from(first.output)
    side_by_side = not any(memory(value) in reached for call in others for _, value in call.tensors_in())
    return first.path if side_by_side else None


def _refusal(model: nn.Module, path: str) -> str:
    """Why the edit would change nothing, and what to do instead."""
    parent = path.rpartition(".")[0]
    around = [model.get_submodule(path[:end]) for end, letter in enumerate(path + ".") if letter == "."]
    if any(isinstance(module, torch.jit.ScriptModule) for module in around):
        return (
            f'"{path}" runs inside TorchScript, where no edit reaches it. '
            "Edit the model before it is traced or scripted."
        )
    unseen = f'"{path}" was edited but not called in the checked pass'
    if isinstance(model.get_submodule(parent), nn.MultiheadAttention):
        return (
            f"{unseen}, so the edit would change nothing. "
            f'nn.MultiheadAttention reads its weights directly: edit "{parent}" itself.'
        )
    if any(isinstance(module, nn.TransformerEncoderLayer) for module in around[:-1]) and mha.get_fastpath_enabled():
        return (
            f"{unseen}: nn.TransformerEncoderLayer's fast path reads its weights directly. "
            "Switch it off with torch.backends.mha.set_fastpath_enabled(False)."
        )
    return f"{unseen}, so the edit would change nothing. Pass `inputs` that reach it, or edit a layer that runs."
