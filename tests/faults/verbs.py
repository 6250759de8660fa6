"""The verbs that write, each on something tiny: what stood there before, the verb, what stands there then."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import identikit as ik
import small_net
import tiny
from identikit.errors import IdentikitError
from identikit.exporting.place import proved_file
from identikit.results import Front
from identikit.saving import folder as folders

QUIET: dict[str, Any] = {"progress": False}


@dataclass(frozen=True)
class Verb:
    """`run(place, again)` writes below `place`; `again`: after it was cut short.

    `told(place)` is what stands there as plain data, None where nothing does; it fails where that is half a thing.
    `gives` is the same of what the verb returns.
    `first(place)` puts what is replaced. `models` are those that the verb was given. `grows`: rows come one by one, so
    a part of the new ones is whole too.
    """

    name: str
    run: Callable[[Path, bool], Any]
    told: Callable[[Path], Any]
    first: Callable[[Path], Any] = lambda place: None
    models: Callable[[], list[nn.Module]] = list
    gives: Callable[[Any], Any] = lambda found: None
    grows: bool = False


@functools.cache
def net() -> Any:
    return small_net.made()


@functools.cache
def other() -> Any:
    """Of other weights and other layers than `net`."""
    model = small_net.made()
    with torch.no_grad():
        model.head.weight.mul_(2)
    return model


@functools.cache
def data() -> list[Any]:
    return small_net.batches()


@functools.cache
def short() -> Any:
    return ik.remove(small_net.made(), "layers.1", inputs=data()[0][0])


@functools.cache
def bert() -> Any:
    return ik.remove(tiny.model("classifier", layers=2), "bert.encoder.layer.1")


def contents(folder: Path) -> dict[str, bytes] | None:
    """Every file of a folder."""
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def facts(result: ik.ScanResult) -> list[Any]:
    """The rows without the time they took."""
    return [{**row.to_json(), "seconds": 0} for row in result]


def rows(place: Path) -> Any:
    return facts(ik.ScanResult.read(place / "a.jsonl")) if (place / "a.jsonl").exists() else None


def going_on(place: Path, again: bool, *, replaces: bool) -> dict[str, bool]:
    """How a user goes on: by --resume, or by --overwrite where that is how it began and nothing of it is there yet."""
    begun = any(place.glob("a.jsonl.new*"))
    return {"resume": again and (begun or not replaces), "overwrite": replaces and not begun}


def save(model: Callable[[], Any], **how: Any) -> Callable[[Path, bool], Any]:
    def run(place: Path, again: bool) -> Any:
        return ik.save(model(), place / "x", **{**how, **({"overwrite": True} if again else {})})

    return run


def twice(place: Path, again: bool) -> Any:
    """On a system that cannot exchange two names at one stroke."""
    with mock.patch.object(folders, "exchanged", return_value=False):
        return save(net, inputs=data()[0][0], overwrite=True)(place, again)


def scan(place: Path, again: bool, *, replaces: bool = False, **how: Any) -> Any:
    on = going_on(place, again, replaces=replaces)
    return ik.scan(net(), data(), to=place / "a.jsonl", costs=False, engine="loop", **on, **how, **QUIET)


def prune(place: Path, again: bool) -> Any:
    return ik.prune(net(), data(), to=place / "a.jsonl", drop=2, engine="loop", resume=again, **QUIET)


def pruned(place: Path) -> Any:
    held = place / "a.held-out.jsonl"
    return [rows(place) or [], facts(ik.ScanResult.read(held)) if held.exists() else []]


@functools.cache
def pupils() -> tuple[Any, Any]:
    return short(), net()


def heal(place: Path, again: bool) -> Any:
    student, teacher = pupils()
    own = copy.deepcopy(student)
    batches = [inputs for inputs, _ in data()]
    how: dict[str, Any] = {"steps": 3, "to": place / "a.heal", "save_every": 0.0, "resume": again}
    before = weights(own)
    try:
        ik.heal(own, teacher, batches, **how, **QUIET)
    except (IdentikitError, KeyboardInterrupt) as stopped:  # behind the last step it is healed
        if weights(own) not in (before, healed()):
            raise AssertionError("the student is not as it was") from stopped
        raise
    return own


@functools.cache
def healed() -> Any:
    """What comes out of an unbroken healing."""
    own, teacher = copy.deepcopy(pupils()[0]), pupils()[1]
    return weights(ik.heal(own, teacher, [inputs for inputs, _ in data()], steps=3, **QUIET))


def healing(place: Path) -> Any:
    """That a checkpoint is whole; what a finished one holds is in the student."""
    if (place / "a.heal").exists():
        torch.load(place / "a.heal", weights_only=True)


def weights(model: nn.Module) -> Any:
    return {name: value.tolist() for name, value in model.state_dict().items()}


def exported(place: Path, again: bool) -> Any:
    with proved_file(place / "m.onnx", again or (place / "m.onnx").exists()) as file:
        file.write_bytes(b"new graph")
        file.with_name(file.name + ".data").write_bytes(b"new weights")


def front(place: Path, again: bool) -> Any:
    example().write(place / "front.json")


@functools.cache
def example() -> Front:
    found: Front = ik.prune(net(), data(), drop=1, engine="loop", **QUIET).front
    return found


@functools.cache
def page() -> Any:
    return ik.scan(net(), data(), costs=False, engine="loop", **QUIET)


@functools.cache
def mean(layer: str = "layers.1") -> ik.Plan:
    """A plan with tensors of its own, which lie in a file beside it."""
    with ik.bypass(small_net.made(), layer, as_="mean", data=data()) as handle:
        return handle.plan


def file(name: str) -> Callable[[Path], Any]:
    return lambda place: (place / name).read_bytes() if (place / name).exists() else None


def written(name: str, content: bytes = b"old") -> Callable[[Path], Any]:
    return lambda place: (place / name).write_bytes(content)


def old_model(place: Path) -> None:
    ik.save(other(), place / "x", inputs=data()[0][0])


def graph(place: Path) -> Any:
    if not (place / "m.onnx").exists():
        return None
    beside = place / "m.onnx.data"
    return (place / "m.onnx").read_bytes(), beside.read_bytes() if beside.exists() else None


def old_graph(place: Path) -> None:
    (place / "m.onnx").write_bytes(b"old graph")
    (place / "m.onnx.data").write_bytes(b"old weights")


def old_plan(place: Path) -> None:
    """Its tensors have the same file."""
    mean("layers.2").write(place / "plan.json")


def plan_files(place: Path) -> Any:
    if not (place / "plan.json").exists():
        return None
    return ik.Plan.read(place / "plan.json").to_json()


def folder(place: Path) -> Any:
    return contents(place / "x")


def verbs() -> Iterator[Verb]:
    """All of them."""
    inputs = {"inputs": data()[0][0]}
    yield Verb("save", save(net, **inputs), folder, models=lambda: [net()])
    yield Verb("replace", save(net, overwrite=True, **inputs), folder, old_model, lambda: [net()])
    yield Verb("save-plan", save(short, format="plan", **inputs), folder, models=lambda: [short()])
    yield Verb("save-bert", save(bert), folder, models=lambda: [bert()])
    yield Verb("scan", scan, rows, models=lambda: [net()], grows=True)
    replaced = functools.partial(scan, replaces=True)
    yield Verb("rescan", replaced, rows, lambda place: scan(place, False, at="layers.0"), lambda: [net()])
    yield Verb("prune", prune, pruned, models=lambda: [net()], grows=True)
    yield Verb("heal", heal, healing, models=lambda: [net()], gives=weights)
    yield Verb("two-renamings", twice, folder, old_model, lambda: [net()])
    yield Verb("place", exported, graph)
    yield Verb("replaced-place", exported, graph, old_graph)
    yield Verb("front", front, file("front.json"), written("front.json"))
    yield Verb("report", lambda place, again: ik.report(page(), place / "r.html"), file("r.html"), written("r.html"))
    yield Verb("plan", lambda place, again: mean().write(place / "plan.json"), plan_files)
    yield Verb("replaced-plan", lambda place, again: mean().write(place / "plan.json"), plan_files, old_plan)
