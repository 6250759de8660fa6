"""What "as if it were absent" means for a layer: block, branch or gate, proved, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.structure import aftermath, branches, continuing, streams
from identikit.structure.members import members
from identikit.structure.streams import Flow
from identikit.structure.trees import at
from identikit.structure.watch import Call, Watched

BLOCK, BRANCH, GATE, UNPROVED = "block", "branch", "gate", "unproved"
OP_OF_ROLE = {BLOCK: "identity", BRANCH: "zero", GATE: "one"}


@dataclass(frozen=True)
class Verdict:
    """A layer's role and what becomes of its outputs; `why` is "ok" or the reason for the refusal."""

    role: str
    why: str
    flow: Flow | None = None

    @property
    def ok(self) -> bool:
        return self.why == "ok"


def judge(model: nn.Module, watched: Watched, path: str, *, prove: bool = True) -> Verdict:
    """The role of the layer at `path`. `prove=False` asks the chain alone; else what it leaves open is replayed.

    The rule and its figures: docs/architecture.md, "Streams and roles".
    """
    calls = watched.by_path.get(path, [])
    if not calls:
        return Verdict(UNPROVED, never_ran(path))
    if left := _leaves_something(watched, calls):
        return left
    flows = [streams.flow(watched, call) for call in calls]
    found = flows[0]
    if any(each != found for each in flows[1:]):
        why = f'"{path}" is called in several ways in one pass; say which edit you mean: as_="identity".'
        return Verdict(UNPROVED, why)
    refusal = _obstacle(path, calls[0], found)
    if refusal is None and all(_chained(model, watched, call, path, found) for call in calls):
        return Verdict(BLOCK, "ok", found)
    otherwise = refusal or Verdict(UNPROVED, ask(path), found)
    if not prove or (refusal and found.streams):
        return otherwise
    return _proved(watched, calls, found, otherwise)


def _chained(model: nn.Module, watched: Watched, call: Call, path: str, found: Flow) -> bool:
    """A numbered child (or one of a ModuleDict) in a chain, or a shape-keeping child of an nn.Sequential."""
    if streams.in_sequential(watched, call, found):
        return True
    parent = model.get_submodule(path.rpartition(".")[0])
    name = path.rpartition(".")[2]
    member = name.isdecimal() or name in members(parent)
    return member and streams.in_chain(watched, call, found)


def _leaves_something(watched: Watched, calls: list[Call]) -> Verdict | None:
    """A refusal where later layers read what this one leaves behind other than by returning it."""
    for call in calls:
        left = aftermath.left_behind(watched, call)
        if left is not None:
            why = f'"{call.path}" leaves something that later layers read ({_sizes(left)})'
            return Verdict(UNPROVED, f"{why}; bypassing it would lose it. Keep it.")
    return None


def _obstacle(path: str, call: Call, found: Flow) -> Verdict | None:
    """Why the layer's outputs cannot be made without it, if they cannot."""
    outputs = dict(call.tensors_out())
    values = [path for path in found.needed if path not in outputs]
    if values:
        made = f'"{path}" makes an output ({_shown(at(call.output, values[0]))}) that identikit cannot give'
        return Verdict(UNPROVED, f"{made}; bypassing it would lose it. Keep it.", found)
    if found.needed and found.streams:
        made = f'"{path}" makes an output ({_sizes(outputs[found.needed[0]])}) that later layers read'
        return Verdict(UNPROVED, f"{made}; bypassing it would lose it. Keep it.", found)
    if not found.streams and not any(each in outputs for each in found.passed):
        fitting = [value for _, value in call.tensors_in() if any(_fits(value, output) for output in outputs.values())]
        if fitting:  # several could be the stream, and the chain does not say which
            return Verdict(UNPROVED, ask(path), found)
        taken = ", ".join(_sizes(value) for _, value in call.tensors_in()) or "no tensor"
        given = ", ".join(_sizes(value) for value in outputs.values()) or "no tensor"
        return Verdict(
            UNPROVED, f'"{path}" takes {taken} and returns {given}: no input has its output\'s shape. Keep it.', found
        )
    return None


def _proved(watched: Watched, calls: list[Call], found: Flow, otherwise: Verdict) -> Verdict:
    """Proof by intervention: cancellation for a branch, ones and twos for a gate, noise for a block."""
    call = calls[0]
    if any(tensor.is_meta for _, tensor in call.tensors_out()):
        why = f'"{call.path}" is not confirmed: on the meta device nothing can be perturbed.'
        return Verdict(UNPROVED, why, found)
    if len(calls) != 1:
        return otherwise
    if any(path not in dict(call.tensors_out()) for path in found.needed):  # a number or an object
        return otherwise
    read = [*found.streams, *found.needed] or [path for path, _ in call.tensors_out()]
    role = branches.role_within_parents(watched, call, read)
    if role is not None:
        return Verdict(role, "ok", found)
    if size := branches.too_large(watched, call):
        return Verdict(UNPROVED, _not_tried(call.path, size), found)
    if len(found.needed) > 1:
        return otherwise
    if found.needed:  # of several inputs of this shape, does it continue one?
        place = continuing.continued(call, found.needed[0])
        found = Flow({found.needed[0]: place}, found.passed, found.unread) if place else found
        otherwise = Verdict(UNPROVED, otherwise.why, found)
        return Verdict(BLOCK, "ok", found) if streams.in_chain(watched, call, found) else otherwise
    if streams.in_chain(watched, call, found) and continuing.continues(call, found):
        return Verdict(BLOCK, "ok", found)
    return otherwise


def never_ran(path: str) -> str:
    return f'"{path}" never ran in the watched pass, so nothing is known of it. Pass `inputs` that reach it.'


def ask(path: str) -> str:
    return (
        f'"{path}" is neither a block nor a proved residual branch. Say which you mean: as_="identity" or as_="zero".'
    )


def _not_tried(path: str, size: int) -> str:
    return (
        f'"{path}" lies in a module of {size / 1e9:.1f} GB; a proof copies at most {branches.LARGEST / 1e9:g} GB. '
        'Say which you mean: as_="identity" or as_="zero".'
    )


def _fits(value: torch.Tensor, output: torch.Tensor) -> bool:
    return value.shape == output.shape and value.dtype == output.dtype


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, complex)) else type(value).__name__


def _sizes(tensor: torch.Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
