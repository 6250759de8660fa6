"""A model as one watched pass showed it: which layers ran, and what the absence of each one means."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from identikit.batches import Batch, as_inputs, tensors_of
from identikit.errors import IdentikitError, InputsError
from identikit.families import family_of
from identikit.families.plain import Family
from identikit.places import expand
from identikit.structure import roles, stacks
from identikit.structure.compare import comparable
from identikit.structure.override import refuse_edited_elsewhere
from identikit.structure.packed import size_of
from identikit.structure.roles import Verdict
from identikit.structure.site import Site
from identikit.structure.traceless import traceless
from identikit.structure.valueless import home_of
from identikit.structure.watch import Watched, watch
from identikit.structure.wrappers import prefix_of


class Anatomy:
    """What is known of `model` after one pass on `batch`; verdicts are worked out when asked for, and kept."""

    def __init__(self, model: nn.Module, batch: Batch, family: Family, *, prefix: str = "") -> None:
        self.model = model
        self.batch = batch
        self.family = family
        self._prefix = prefix  # of a wrapper that the model came in; a place may be named with it
        self._verdicts: dict[tuple[str, bool], Verdict] = {}
        self._paths = [path for path, _ in model.named_modules() if path]
        with family.quiet(model):
            self.watched: Watched = watch(model, lambda: batch.copied().call(model))

    @property
    def paths(self) -> list[str]:
        """Every layer's path; "" (the model itself) is none."""
        return self._paths

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs."""
        inputs = tensors_of((self.batch.args, self.batch.kwargs))
        return next((value.device for value in inputs), torch.device("cpu"))

    @property
    def slots(self) -> dict[str, str]:
        """Every place in the model, and the path of the layer in it: one layer may stand in several places."""
        first: dict[int, str] = {}
        slots = {
            place: first.setdefault(id(module), place)
            for place, module in self.model.named_modules(remove_duplicate=False)
        }
        return {place: path for place, path in slots.items() if place}

    def resolve(self, *places: str) -> list[str]:
        """The layers that the places mean, each once. Raises PlaceError where one of them means none."""
        slots, name = self.slots, type(self.model).__name__
        named = [place.removeprefix(self._prefix) for place in places]
        return list(dict.fromkeys(slots[found] for place in named for found in expand(place, slots, model=name)))

    def verdict(self, path: str, *, prove: bool = True) -> Verdict:
        """The role of the layer at `path`; `prove=False` costs nothing, inner roles then stay open."""
        key = (path, prove)
        if key not in self._verdicts:
            self._verdicts[key] = roles.judge(self.model, self.watched, path, prove=prove)
        return self._verdicts[key]

    def blocks(self) -> list[str]:
        """Every whole block of the model's stacks: what a scan looks at unless told otherwise."""
        return stacks.outermost_blocks(self.model, lambda path: self.verdict(path, prove=False))

    def site(self, path: str, *, prove: bool = True) -> Site:
        """The layer at `path` as plain data."""
        module, verdict = self.model.get_submodule(path), self.verdict(path, prove=prove)
        return Site(path, type(module).__name__, verdict.role, size_of(module), verdict.why)

    def run(self) -> Any:
        """One more pass on the same batch, without a trace; returns the model's output."""
        with self.family.quiet(self.model), traceless(self.model):
            return self.batch.copied().call(self.model)


def anatomy_of(model: nn.Module, inputs: Any = None, family: Family | None = None) -> Anatomy:
    """Watch `model` on `inputs`, or on its family's own example. InputsError where there is none or it does not fit.

    What torch has put around it (`torch.compile`, DataParallel) is looked through.
    """
    prefix = prefix_of(model)
    model = model.get_submodule(prefix.rstrip("."))
    refuse_edited_elsewhere(model)
    family = family_of(model, family)
    batch = as_inputs(inputs) if inputs is not None else family.example(model)
    name = type(model).__name__
    if batch is None:
        raise InputsError(f"what {name} takes is not known. Pass one example of it: inputs=tensor, tuple or dict.")
    _require_made(model)
    device = home_of(model)
    try:
        anatomy = Anatomy(model, batch if device is None else batch.to(device), family, prefix=prefix)
    except (IdentikitError, torch.OutOfMemoryError):
        raise
    except Exception as cause:  # whatever a forward raises, it does not take these inputs
        given = "the inputs given" if inputs is not None else "an example made from its configuration"
        message = f"{name} does not run on {given}: {_first_line(cause)} Pass inputs=... that it takes"
        whole = "; one dict in one piece is inputs=(batch,), and ((batch,), None) in a list of batches."
        raise InputsError(message + (whole if _takes_one_dict(model, batch, cause) else ".")) from cause
    if not comparable(anatomy.watched.output):
        raise InputsError(
            f"the output of {name} holds nothing that can be compared (no tensor, array or number), so no edit of it "
            "could be proved. Wrap it in a module whose forward returns tensors."
        )
    return anatomy


def _takes_one_dict(model: nn.Module, batch: Batch, cause: Exception) -> bool:
    """Whether a dict was unpacked into keyword arguments for a `forward` that takes it whole, under another name."""
    if batch.args or not isinstance(cause, TypeError) or not inspect.ismethod(model.forward):
        return False
    arguments = inspect.signature(model.forward).parameters.values()
    needed = [each.name for each in arguments if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    return len(needed) == 1 and needed[0] not in batch.kwargs


def _require_made(model: nn.Module) -> None:
    """Raise InputsError for a layer whose weights are made at its first call: a pass without a trace cannot do that.

    So does FSDP: what it notes about all processes at the first call would be put back, and the second one would fail.
    """
    for path, module in model.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(is_lazy(tensor) for tensor in own):
            name = f'"{path}"' if path else type(module).__name__
            raise InputsError(f"{name} is lazy: run the model once, then it has its weights.")
    shared: Any = getattr(model, "_get_fsdp_state", None)
    if shared is not None and getattr(shared(), "_is_root", False) is None:
        raise InputsError(
            f"{type(model).__name__} is sharded but has not run yet. Run it once on every rank, then edit it there."
        )


def _first_line(cause: BaseException) -> str:
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[0]}".rstrip(".") + "."
