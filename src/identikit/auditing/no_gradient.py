"""A parameter that is trained, takes part in the output and gets no gradient: detach, no_grad, .data, argmax."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from identikit.auditing.tape import Step, Tape
from identikit.auditing.words import listed
from identikit.results.finding import Finding
from identikit.structure.operations import memory

LOOKED_FOR = "parameters that get no gradient"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Frozen parameters are passed over, and those of layers that are dead or never called: that is said elsewhere."""
    judged = [tape for tape in tapes if tape.reached is not None]
    if not judged:
        yield from _none_at_all(tapes)
        return
    reached = set().union(*(tape.reached or () for tape in judged))
    lost = [name for name, each in judged[0].model.named_parameters() if each.requires_grad and name not in reached]
    yield from _unread(tapes, lost)
    cuts: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name in lost:
        found = ((number, cut) for number, tape in enumerate(judged) if (cut := _cut(tape, name)) is not None)
        for number, cut in list(found)[:1]:
            cuts[number, cut.number].append(name)
    for (number, step), names in cuts.items():
        yield _cut_off(judged[number].steps[step], names)


def _none_at_all(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A note where nothing can be trained: then it is meant, or the outputs are whole numbers."""
    tape = tapes[-1]
    if not any(parameter.requires_grad for parameter in tape.model.parameters()):
        return
    name, refused = tape.root.name, next((each.refused for each in tapes if each.refused), "")
    if refused:
        message = f"backward through {name} fails: {refused}"
        yield Finding("no gradient", "", "note", message, "Replace that operation, if the model is to be trained.")
        return
    floating = any(tensor.is_floating_point() for tensor in tape.results)
    why = "the forward runs without gradients" if floating else "none of them holds floating-point numbers"
    message = f"no output of {name} carries a gradient ({why}), so gradients were not judged."
    fix = "Return what the loss is computed from, if the model is to be trained."
    yield Finding("no gradient", "", "note", message, fix)


def _unread(tapes: Sequence[Tape], lost: list[str]) -> Iterator[Finding]:
    """A note for weights that no operation reads though their own module runs."""
    called = {"", *(visit.path for tape in tapes for visit in tape.visits)}
    read = {memory(tensor) for tape in tapes for step in tape.steps for tensor in step.inputs}
    numbers = {name: number for number, name in tapes[0].parameters.items()}
    unread: dict[str, list[str]] = defaultdict(list)
    for name in lost:
        path = name.rpartition(".")[0]
        if path in called and numbers.get(name) not in read:
            unread[path].append(name)
    for path, names in unread.items():
        message = f"{listed(names)} {'gets' if len(names) == 1 else 'get'} no gradient: nothing reads {_them(names)}."
        yield Finding("no gradient", path, "note", message, f"Use {_them(names)} in forward, or delete {_them(names)}.")


def _cut(tape: Tape, name: str) -> Step | None:
    """The first operation, of those between the parameter and a result, behind which there is no gradient."""
    reached = {number for number, each in tape.parameters.items() if each == name}
    for step in tape.steps:
        given = [tensor for tensor in step.inputs if memory(tensor) in reached]
        made = {memory(tensor) for tensor in step.outputs} | step.written
        if not given:
            continue
        carried = any(tensor.requires_grad for tensor in given) and any(each.requires_grad for each in step.outputs)
        if (made - tape.own) & tape.live and not carried:
            return step
        reached |= made
    return None


def _cut_off(step: Step, names: list[str]) -> Finding:
    """A mistake where numbers are cut off that could carry a gradient; a note where a choice is made: it has none."""
    where, one = step.visit.name, len(names) == 1
    says = f"{listed(names)} {'takes' if one else 'take'} part in the output but {'gets' if one else 'get'} no gradient"
    if not any(tensor.is_floating_point() or tensor.is_complex() for tensor in step.outputs):
        message = f"{says}: {step.name} in {where} has none."
        return Finding("no gradient", step.visit.path, "note", message, "Nothing, if the choice itself is not learned.")
    if step.name.startswith("detach"):  # .data is one too
        message, fix = f"{says}: detach in {where} cuts it off.", f"Take detach() or .data out of {where}"
    else:
        message, fix = f"{says}: {step.name} in {where} runs without.", f"Take torch.no_grad() away from around {where}"
    fix += f", or say that {_they(names)} frozen: requires_grad_(False)."
    return Finding("no gradient", step.visit.path, "mistake", message, fix)


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _they(names: list[str]) -> str:
    return "it is" if len(names) == 1 else "they are"
