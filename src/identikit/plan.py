"""What is out of action, as pure data: one Edit a place, a Plan of many. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from identikit import strict_json
from identikit.errors import PlaceError, PlanError
from identikit.places import check_path, means_several, natural_key, shown

FORMAT = "identikit.plan"
VERSION = 1
OPS = ("identity", "zero", "one", "mean", "resample", "adapter", "shortcut", "insert", "duplicate")
GROWING = ("insert", "duplicate")  # these put layers in behind the one they name, before all else is done
REPLACING = ("identity", "zero", "one", "mean", "shortcut", "adapter")  # these leave nothing of what is inside a layer
RESAMPLE = "resample"  # runs the layer, on whose other examples the result then depends
_SEVERAL = "several"  # the weights of a union of plans that were made with different ones
_MOST_EDITS = 100_000
_ANEW = "Update identikit, or make the plan anew with this one."
_TENSOR = "sha256:"  # an option whose text starts so names a tensor, which lies beside the plan
_KEYS = {"format", "version", "model", "fingerprint", "weights", "edits"}
Option = str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class Edit:
    """One change: `op` at the place `at`, a path of the model as it was first loaded.

    Equal where the JSON is: an option of 1 is not one of true, though Python calls the two equal.
    """

    op: str
    at: str
    options: tuple[tuple[str, Option], ...] = ()

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise PlanError(f"no edit is called {shown(self.op)}; there are {', '.join(OPS)}.")
        try:
            check_path(self.at)
        except PlaceError as cause:
            raise PlanError(str(cause)) from None
        if means_several(self.at):
            raise PlanError(f'an edit has one place; "{self.at}" may mean several. Write one edit for each of them.')
        pairs = self.options.items() if isinstance(self.options, Mapping) else self.options
        pairs = tuple(sorted(pairs, key=itemgetter(0)))
        if twice := [one for (one, _), (other, _) in pairwise(pairs) if one == other]:
            raise PlanError(f'the {self.op} at "{self.at}" has the option "{twice[0]}" twice.')
        object.__setattr__(self, "options", pairs)

    @cached_property
    def _same(self) -> tuple[str, str, str]:
        return self.op, self.at, json.dumps(self.options) if self.options else ""

    def __eq__(self, other: object) -> bool:
        return self._same == other._same if isinstance(other, Edit) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._same)

    def __str__(self) -> str:
        options = "".join(f" {key}={value}" for key, value in self.options)
        return f"{self.op} at {self.at}{options}"

    @property
    def tensors(self) -> dict[str, str]:
        """The options that name tensors: option to the tensor's name in `Plan.tensors`."""
        named = ((key, value) for key, value in self.options if isinstance(value, str))
        return {key: value for key, value in named if value.startswith(_TENSOR)}


@dataclass(frozen=True)
class Plan:
    """A set of edits with the fingerprint of the model they were made for.

    Hashable and without order; `a | b` unites two plans. What replaces a layer's output (identity, zero, one, mean,
    shortcut, adapter) absorbs the edits that lie under its place; two different edits at one place are a contradiction
    (PlanError), but a layer may be copied and then replaced. `fingerprint` is the structure's, `weights` a hash of the
    weights ("several" in a union of plans for different ones), `model` the class's name; all three may be empty in a
    plan that was written by hand. `tensors` holds what the edits name by hash ("sha256:..."), the names stand for them
    in comparisons.
    """

    edits: frozenset[Edit] = frozenset()
    fingerprint: str = ""
    weights: str = ""
    model: str = ""
    tensors: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        edits = sorted(self.edits, key=lambda edit: (natural_key(edit.at), edit.op in GROWING, str(edit)))
        for one, other in pairwise(edits):
            if one.at == other.at and (one.op in GROWING) == (other.op in GROWING):
                raise PlanError(f'two different edits at "{one.at}": {one} and {other}. Keep one of them.')
        gone = {edit.at for edit in edits if edit.op in REPLACING}
        kept = [edit for edit in edits if gone.isdisjoint(_above(edit.at))]
        object.__setattr__(self, "edits", frozenset(kept))
        named = {name for edit in kept for name in edit.tensors.values()}
        held = {name: value for name, value in self.tensors.items() if name in named}
        object.__setattr__(self, "tensors", held)

    @classmethod
    def of(cls, places: Iterable[str], op: str = "identity", **header: Any) -> Plan:
        """The plan that does `op` at each of `places` (one path or several)."""
        places = [places] if isinstance(places, str) else places
        return cls(frozenset(Edit(op, place) for place in places), **header)

    def __or__(self, other: Plan) -> Plan:
        for name in ("fingerprint", "model"):
            mine, yours = getattr(self, name), getattr(other, name)
            if mine and yours and mine != yours:
                raise PlanError(
                    f"these plans were made for different models ({self.model or mine} and {other.model or yours})."
                )
        differ = self.weights and other.weights and self.weights != other.weights
        fingerprint, model = self.fingerprint or other.fingerprint, self.model or other.model
        weights = _SEVERAL if differ else self.weights or other.weights
        return Plan(self.edits | other.edits, fingerprint, weights, model, {**other.tensors, **self.tensors})

    def __iter__(self) -> Iterator[Edit]:
        return iter(sorted(self.edits, key=lambda edit: (natural_key(edit.at), edit.op)))

    def __len__(self) -> int:
        return len(self.edits)

    @property
    def places(self) -> tuple[str, ...]:
        """The edited places in natural order."""
        return tuple(edit.at for edit in self)

    def bound(self, fingerprint: str, weights: str, model: str) -> Plan:
        """This plan with the identity of the model it is for."""
        return replace(self, fingerprint=fingerprint, weights=weights, model=model)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, in a fixed order: equal plans give equal text."""
        edits = [{"op": edit.op, "at": edit.at, "options": dict(edit.options)} for edit in self]
        header = {"format": FORMAT, "version": VERSION, "model": self.model}
        return header | {"fingerprint": self.fingerprint, "weights": self.weights, "edits": edits}

    @classmethod
    def from_json(cls, value: Any, *, what: str = "this plan") -> Plan:
        """Read what `to_json` wrote. Raises PlanError on anything else."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise PlanError(f'{what} is no plan: it lacks "format": "{FORMAT}".')
        version = value.get("version")
        if type(version) is not int or version != VERSION:  # True is 1, but no version
            raise PlanError(f"{what} has version {shown(version)}; this identikit reads version {VERSION}. {_ANEW}")
        if unknown := sorted(set(value) - _KEYS):
            raise PlanError(f"{what} has the unknown key {shown(unknown[0])}.")
        for name in ("model", "fingerprint", "weights"):
            if not _short_text(value.get(name, "")):
                raise PlanError(f'{what}: "{name}" must be a short text.')
        edits = value.get("edits")
        if not isinstance(edits, list) or len(edits) > _MOST_EDITS:
            raise PlanError(f'{what}: "edits" must be a list of at most {_MOST_EDITS:,} edits.')
        read = frozenset(_read_edit(edit, f"{what}, edit {number}") for number, edit in enumerate(edits, 1))
        return cls(read, value.get("fingerprint", ""), value.get("weights", ""), value.get("model", ""))

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan file and the tensors beside it, where it names any. Raises PlanError where one is damaged."""
        plan = cls.from_json(strict_json.read(Path(path), "plan file", PlanError), what=f"plan file {path}")
        names = plan._names()
        if not names:
            return plan
        from identikit.tensors import read_tensors, tensors_beside  # brings torch: a plan without tensors needs none

        return replace(plan, tensors=read_tensors(tensors_beside(path), names))

    def write(self, path: str | Path) -> None:
        """Write the plan as JSON, replacing `path` only when the new file is whole; its tensors beside it.

        The tensors of plan.json lie in plan.safetensors. Raises PlanError where one that an edit names is not there.
        """
        from identikit.files import write_text

        text, names = json.dumps(self.to_json(), indent=2) + "\n", self._names()
        if not names:
            write_text(path, text)
            return
        self.require_tensors()
        from identikit.tensors import tensors_beside, writing_tensors

        with writing_tensors(tensors_beside(path), {name: self.tensors[name] for name in names}):
            write_text(path, text)

    def require_tensors(self) -> None:
        """Raise PlanError where an edit names a tensor that this plan does not hold."""
        for edit in self:
            for key, name in edit.tensors.items():
                if name not in self.tensors:
                    raise PlanError(
                        f'the tensor {name} ({key} of the {edit.op} at "{edit.at}") is not with this plan. '
                        "Read the plan from its file, where the tensors lie beside it: ik.Plan.read(path); or make "
                        f'it again: ik.bypass(model, "{edit.at}", as_="{edit.op}", data=[batch, ...]).'
                    )

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import plan_fragment

        return plan_fragment(self)

    def _names(self) -> list[str]:
        return sorted({name for edit in self for name in edit.tensors.values()})


def _above(path: str) -> Iterator[str]:
    """Every path that `path` lies strictly under, the outermost first."""
    return accumulate(path.split(".")[:-1], lambda outer, name: f"{outer}.{name}")


def _read_edit(value: Any, what: str) -> Edit:
    if not isinstance(value, dict) or not {"op", "at"} <= set(value) <= {"op", "at", "options"}:
        raise PlanError(f'{what}: an edit has "op", "at" and "options", nothing else.')
    op, at, options = value["op"], value["at"], value.get("options", {})
    if not (isinstance(op, str) and isinstance(at, str) and isinstance(options, dict)):
        raise PlanError(f'{what}: "op" and "at" must be texts and "options" an object.')
    for key, option in options.items():
        if not _short_text(key):
            raise PlanError(f"{what}: an option must have a short name.")
        if not _plain(option):
            raise PlanError(f'{what}: the option "{key}" must be a short plain value, and no path.')
    try:
        return Edit(op, at, tuple(options.items()))
    except (PlaceError, PlanError) as cause:
        raise type(cause)(f"{what}: {cause}") from cause


def _plain(option: Any) -> bool:
    if isinstance(option, float):
        return math.isfinite(option)
    if isinstance(option, str):
        return _short_text(option) and not set(option) & set("/\\")
    return option is None or (isinstance(option, int) and abs(option) < 2**63)


def _short_text(value: Any) -> bool:
    """Whether `value` can stand in a message of one line and in any file: half characters can be written to none."""
    return isinstance(value, str) and len(value) <= 200 and value.isprintable()
