"""The whole story of one removal, judged against the reference: bypass, undo, decode, remove, save, load elsewhere."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch
from identikit.errors import IdentikitError, SaveError

from . import run
from .compare import CLOSE, apart, results
from .decoding import CLOSE as DECODES
from .decoding import off
from .reference import mean_of, replaced, skipping
from .stacks import Stack

Build = Callable[[], tuple[nn.Module, Batch]]


class WrongError(Exception):
    """Something came out differently without a word."""


class Story:
    """One removal of one model type; `tell()` gives the verdict and how it came about."""

    def __init__(self, build: Build, stack: Stack, places: list[str], ways: list[str]) -> None:
        self.build, self.stack, self.places, self.ways = build, stack, places, ways
        self.notes: dict[str, Any] = {}

    def tell(self) -> dict[str, Any]:
        """The verdict (checkpoint, plan, refused, needed, wrong, crash), the reason, and notes."""
        began = time.perf_counter()
        try:
            verdict, why = self._tell()
        except WrongError as wrong:
            verdict, why = "wrong", str(wrong)
        except Exception as crash:  # whatever comes out of a verb and is no refusal
            verdict, why = "crash", _where(crash)
        return {"verdict": verdict, "why": why, **self.notes, "seconds": round(time.perf_counter() - began, 2)}

    def _tell(self) -> tuple[str, str]:
        model, batch = self.build()
        self.full, self.batch = results(run(model, batch)), batch
        with skipping(model, self.stack, self.places):
            self.expected = results(run(model, batch))
        if apart(self.full, self.expected) < CLOSE:
            self.notes["inert"] = True
        bypass = self._bypass(model)
        try:
            ik.remove(model, self.places, inputs=batch)
        except IdentikitError as refusal:
            return self._without_removal(str(refusal), bypass)
        self._same(model, "removed")
        self._decodes(model, "removed")
        with tempfile.TemporaryDirectory() as folder:
            try:
                ik.save(model, Path(folder) / "saved", inputs=batch)
            except SaveError as refusal:
                return self._as_plan(model, str(refusal))
            self._same(model, "saved")
            self._reloaded(model, Path(folder) / "saved")
        return "checkpoint", ""

    def _bypass(self, model: nn.Module) -> str | None:
        """Bypass, compare, decode, undo; the refusal where there is one."""
        keys, config = list(model.state_dict()), _config(model)
        try:
            handle = ik.bypass(model, *self.places, inputs=self.batch)
        except IdentikitError as refusal:
            self.notes["bypass"] = str(refusal)
            self._undone(model, keys, config, "refused bypass")
            return str(refusal)
        self._same(model, "bypassed")
        self._decodes(model, "bypassed")
        handle.undo()
        self._undone(model, keys, config, "undone bypass")
        return None

    def _undone(self, model: nn.Module, keys: list[str], config: Any, after: str) -> None:
        now = results(run(model, self.batch))
        if len(now) != len(self.full) or not all(torch.equal(a, b) for a, b in zip(now, self.full, strict=True)):
            raise WrongError(f"after the {after} the model computes something else")
        if list(model.state_dict()) != keys or _config(model) != config:
            raise WrongError(f"after the {after} the model holds something else")

    def _same(self, model: nn.Module, stage: str) -> None:
        distance = apart(results(run(model, self.batch)), self.expected)
        if not distance < CLOSE:
            raise WrongError(f"{stage}: the output is {distance:.1e} from the reference")

    def _decodes(self, model: nn.Module, stage: str) -> None:
        for way in self.ways:
            try:
                distance = off(model, self.batch, way)
            except Exception as cause:
                if stage != "bypassed" and way == "generate" and _library_cannot(model, self.batch, cause):
                    self.notes["library"] = f"{stage}: {_line(cause)}"
                    continue
                cause.add_note(f"{stage}, {way}")
                raise
            if not distance < DECODES:
                raise WrongError(f"{stage}, {way}: cached logits are {distance:.1e} from the others")

    def _reloaded(self, model: Any, folder: Path) -> None:
        """With the library's own loader: nothing lost, nothing new, equal."""
        again, info = type(model).from_pretrained(folder, output_loading_info=True)
        lost = {name: sorted(value)[:3] for name, value in info.items() if value}
        if lost:
            raise WrongError(f"reloaded: {lost}")
        again.eval()
        self._same(again, "reloaded")
        self._decodes(again, "reloaded")

    def _as_plan(self, model: nn.Module, why: str) -> tuple[str, str]:
        """The full configuration, the weights that are left and the plan, which identikit loads."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                ik.save(model, Path(folder) / "saved", "plan", inputs=self.batch)
                again = ik.load(Path(folder) / "saved")
            except IdentikitError as refusal:
                return "refused", f"{why} | plan: {refusal}"
        self._same(again, "plan loaded")
        self._decodes(again, "plan loaded")
        return "plan", why

    def _without_removal(self, why: str, bypass: str | None) -> tuple[str, str]:
        """The removal was refused: a plan of the bypass, or refused altogether."""
        model, _ = self.build()
        if bypass is not None:
            needed = any(self.stack.makes.get(place) for place in self.places)
            spoken = any(words in why for words in ("later layers read", "identikit cannot give"))
            return ("needed" if needed or spoken else "refused"), why
        with ik.bypass(model, *self.places, inputs=self.batch):
            return self._as_plan(model, why)


def branch(build: Build, layer: str, ways: list[str]) -> list[dict[str, Any]]:
    """Every proved branch below `layer`, set to zero and to its mean: bypassed and removed, it is the reference."""
    model, batch = build()
    found = []
    for site in ik.sites(model, batch, at=f"{layer}.*"):
        for op in ("zero", "mean") if site.ok and site.role == "branch" else ():
            began = time.perf_counter()
            try:
                verdict, why = _branch(build, site.path, ways, op)
            except Exception as crash:
                verdict, why = "crash", _where(crash)
            took = round(time.perf_counter() - began, 2)
            found.append({"places": [site.path], "op": op, "verdict": verdict, "why": why, "seconds": took})
    return found


def _branch(build: Build, place: str, ways: list[str], op: str) -> tuple[str, str]:
    model, batch = build()
    full = results(run(model, batch))
    value, given = _stand_in(model, batch, place, op)
    with replaced(model, place, value, every=op == "zero"):
        expected = results(run(model, batch))
    try:
        with ik.bypass(model, place, inputs=batch, as_=op, **given):
            bypassed = apart(results(run(model, batch)), expected)
            late = [way for way in ways if not off(model, batch, way) < DECODES]
        undone = apart(results(run(model, batch)), full)
        ik.remove(model, place, inputs=batch, as_=op, **given)
    except IdentikitError as refusal:
        return "refused", str(refusal)
    removed = apart(results(run(model, batch)), expected)
    if late or undone or not max(bypassed, removed) < CLOSE:
        return "wrong", f"bypassed {bypassed:.1e}, removed {removed:.1e}, undone {undone:.1e}, cached {late}"
    return op, ""


def _stand_in(model: nn.Module, batch: Batch, place: str, op: str) -> tuple[Any, dict[str, Any]]:
    """What stands for the branch in the reference, and what identikit is told beside `as_`."""
    if op == "zero":
        return torch.zeros_like, {}
    mean = mean_of(model, place, lambda: run(model, batch))
    return lambda output: mean.expand_as(output).clone(), {"data": [dict(batch.kwargs)]}


def _library_cannot(model: Any, batch: Batch, cause: Exception) -> bool:
    """Whether the library's own model on this configuration, which identikit never saw, fails with the same words."""
    try:
        off(type(model)(type(model.config).from_dict(model.config.to_dict())).eval(), batch, "generate")
    except Exception as other:
        return _line(other) == _line(cause)
    return False


def _config(model: Any) -> Any:
    return model.config.to_dict()


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    notes = "; ".join(getattr(error, "__notes__", []))
    at = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{_line(error)} [{notes}] {at}"
