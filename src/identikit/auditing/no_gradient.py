"""A parameter that is trained, takes part in the output and gets no gradient: detach, no_grad, .data, argmax."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

from identikit.auditing import dead_branch, never_called
from identikit.auditing.fates import Fate, How, fate
from identikit.auditing.tape import Tape
from identikit.auditing.words import listed
from identikit.places import inside
from identikit.results.finding import Finding

LOOKED_FOR = "parameters that get no gradient"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Every trained parameter without a gradient ends in a finding, here or with the dead and never called layers."""
    judged = [tape for tape in tapes if tape.reached is not None]
    if not judged:
        yield from _none_at_all(tapes)
        return
    reached = set().union(*(tape.reached or () for tape in judged))
    lost = [name for name, each in judged[0].model.named_parameters() if each.requires_grad and name not in reached]
    if lost:
        elsewhere = {each.module for rule in (dead_branch, never_called) for each in rule.find(tapes)}
        yield from _explained(judged, [name for name in lost if not any(inside(name, path) for path in elsewhere)])


def _none_at_all(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A note where nothing can be trained: then it is meant, or the outputs are whole numbers."""
    tape = tapes[-1]
    if not any(parameter.requires_grad for parameter in tape.model.parameters()):
        return
    name, refused = tape.root.name, next((each.refused for each in tapes if each.refused), "")
    if "use_reentrant" in refused:  # the audit asks for the gradients of parameters, which such a checkpoint refuses
        message = f"{name} has a checkpoint with use_reentrant=True, behind which gradients cannot be judged."
        yield Finding("no gradient", "", "note", message, "Call checkpoint with use_reentrant=False, as torch advises.")
        return
    if refused:
        message = f"backward through {name} fails: {refused}"
        yield Finding("no gradient", "", "note", message, "Replace that operation, if the model is to be trained.")
        return
    floating = any(tensor.is_floating_point() for tensor in tape.results)
    why = "the forward runs without gradients" if floating else "none of them holds floating-point numbers"
    message = f"no output of {name} carries a gradient ({why}), so gradients were not judged."
    fix = "Return what the loss is computed from, if the model is to be trained."
    yield Finding("no gradient", "", "note", message, fix)


def _explained(tapes: Sequence[Tape], lost: Sequence[str]) -> Iterator[Finding]:
    """One finding for the parameters that share a fate."""
    groups: dict[Fate, list[str]] = defaultdict(list)
    for name in lost:
        groups[fate(tapes, name)].append(name)
    for each, names in groups.items():
        yield _finding(each, names)


def _finding(found: Fate, names: list[str]) -> Finding:
    """A mistake where numbers are cut off that could carry a gradient, or dropped; notes where that may be meant."""
    one = len(names) == 1
    it, is_ = ("it", "it is") if one else ("them", "they are")
    says = f"{listed(names)} {'gets' if one else 'get'} no gradient"
    if found.how in ("cut", "choice", "written"):
        verbs = "takes part in the output but gets" if one else "take part in the output but get"
        says = f"{listed(names)} {verbs} no gradient"
    why, fix = _why(found, it, f"say that {is_} frozen: requires_grad_(False)")
    level: Literal["mistake", "note"] = "mistake" if found.how in ("cut", "dropped") else "note"
    return Finding("no gradient", found.path, level, f"{says}: {why}.", f"{fix}.")


def _why(found: Fate, it: str, frozen: str) -> tuple[str, str]:
    """Why there is no gradient, and how to mend that."""
    where = found.where
    if found.how == "cut" and found.operation.startswith("detach"):  # .data is one too
        return f"detach in {where} cuts it off", f"Take detach() or .data out of {where}, or {frozen}"
    said: dict[How, tuple[str, str]] = {
        "cut": (
            f"{found.operation} in {where} runs without",
            f"Take torch.no_grad() away from around {where} (give a checkpoint use_reentrant=False), or {frozen}",
        ),
        "choice": (f"{found.operation} in {where} has none", "Nothing, if the choice itself is not learned"),
        "written": (f"the forward itself writes {it}", f"Nothing, or {frozen}"),
        "number": (
            f"{where} takes numbers out of {it}, as item() does",
            "Compute with the tensor; nothing, if its value is not to be learned",
        ),
        "unread": (f"nothing reads {it}", f"Use {it} in forward, or delete {it}"),
        "withheld": (f"an operation between {it} and the output hands none on", "Nothing, if that is meant"),
        "aside": (f"what {where} makes of {it} reaches no output", "Nothing, if it is not needed here"),
        "dropped": (
            f"what {where} makes of {it} reaches no output",
            f"Use that result (a later line may overwrite it), or delete {it}",
        ),
    }
    return said[found.how]
