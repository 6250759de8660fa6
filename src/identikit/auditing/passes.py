"""The passes to judge: as used and as trained; and what to say where the model does not run so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from identikit.auditing.forward_error import ForwardError
from identikit.auditing.record import record
from identikit.auditing.tape import Tape
from identikit.batches import Batch, as_inputs
from identikit.errors import InputsError
from identikit.families import family_of
from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.results.finding import Finding

_REPLACE = "Let that step make a new value (y = y + x instead of y += x, no out=)."


@dataclass(frozen=True)
class Subject:
    """A model, and what it runs on."""

    model: nn.Module
    batch: Batch
    family: Family


def opened(model: nn.Module, inputs: Any, family: Family | None) -> Subject:
    """The model and inputs that it runs on. InputsError where there are none; it names the layer that stopped."""
    try:
        anatomy = anatomy_of(model, inputs, family)
        return Subject(model, anatomy.batch, anatomy.family)
    except InputsError as error:
        family = family_of(model, family)
        batch = as_inputs(inputs) if inputs is not None else family.example(model)
        if error.__cause__ is None or batch is None:
            raise
        subject = Subject(model, batch, family)
        _require_gradients(subject, error, error.__cause__)
        return subject


def _require_gradients(subject: Subject, error: InputsError, cause: BaseException) -> None:
    """Return where a model that raised `cause` without gradients runs with them; else say in which layer it stopped."""
    try:
        with subject.family.quiet(subject.model):
            _recorded(subject, training=False)
    except ForwardError as stopped:
        if str(stopped.__cause__) != str(cause):
            raise error from cause
        name = type(subject.model).__name__
        raise InputsError(f"{name} does not run on these inputs: {stopped.advice}") from cause
    except type(cause):  # it does not come as far as its forward: an exported model has no eval mode
        raise error from cause


def recorded(subject: Subject) -> tuple[list[Tape], list[Finding]]:
    """The pass as used and the one as trained, as far as they run; and what is to be said where one does not."""
    tapes: list[Tape] = []
    stops: list[ForwardError | None] = []
    with subject.family.quiet(subject.model):
        for training in (False, True):
            try:
                tapes.append(_recorded(subject, training))
                stops.append(None)
            except ForwardError as stopped:
                stops.append(stopped)
    used, trained = stops
    if used is not None and trained is not None:
        return tapes, [_untrainable(subject.model, used)]
    if used is not None:
        return tapes, [_in_training_alone(used)]
    return tapes, [_in_eval_alone(trained)] if trained is not None else []


def _recorded(subject: Subject, training: bool) -> Tape:
    try:
        return record(subject.model, subject.batch, training=training)
    except ForwardError as stopped:
        if "saved tensor hooks" not in str(stopped.__cause__):
            raise
        return record(subject.model, subject.batch, training=training, saved=False)


def _untrainable(model: nn.Module, stopped: ForwardError) -> Finding:
    """A mistake where autograd refuses a step that writes in place; else a note: a model for use alone may be meant."""
    says = f"{stopped.visit.name} does not run with gradients ({stopped.briefly})"
    whose = type(model).__name__ if stopped.visit.path else "it"
    message = f"{says}, so {whose} cannot be trained; no more was judged."
    if stopped.writes:
        return Finding("with gradients", stopped.visit.path, "mistake", message, _REPLACE)
    fix = "Mend that step, if the model is to be trained (.numpy() takes a .detach() before it)."
    return Finding("with gradients", stopped.visit.path, "note", message, fix)


def _in_eval_alone(stopped: ForwardError) -> Finding:
    """A mistake where autograd refuses a step that writes in place; else the inputs may lack what training takes."""
    says = f"{stopped.visit.name} does not run in training mode on these inputs ({stopped.briefly})"
    message = f"{says}, so the model was judged in eval mode alone."
    fix = "Give inputs that it can be trained on, such as more examples."
    if stopped.writes:
        return Finding("training mode", stopped.visit.path, "mistake", message, _REPLACE)
    return Finding("training mode", stopped.visit.path, "note", message, fix)


def _in_training_alone(stopped: ForwardError) -> Finding:
    says = f"{stopped.visit.name} does not run with gradients in eval mode ({stopped.briefly})"
    message = f"{says}, so the model was judged in training mode alone."
    return Finding("with gradients", stopped.visit.path, "note", message, "Nothing, if eval mode is for use alone.")
