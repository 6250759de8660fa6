"""The part `cifar` of benchmarks/quality.py: ResNet-32's blocks dropped, batch norm's statistics moved accordingly.

Chosen on one half of the 1,000 images, reported on the other, then the halves the other way round: the figure is of
all images, and none was judged by a model that was chosen, or whose statistics were taken, on it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar import WEIGHTS, images
from quality_after import FORMS, made_up_for
from quality_case import Gone, Subject
from quality_ours import WAYS, in_order
from quality_rivals import RIVALS
from torch import nn

import identikit as ik
from identikit.batches import Batch
from identikit.compensating.statistics import moved, seen
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve
from identikit.nn import CifarResNet
from identikit.surgery.carried import live_plans

MOST = 4
DEPTH = 32
OURS = ("greedy", "beam 4")
MADE_UP_FOR = "ours beam 4"  # whose blocks are compensated
PART = 50  # images of a batch to fit on
GOAL = {"drop": 2, "points": 3.0}


class Moving:
    """Batch norms' statistics moved by what the absence of blocks changes on these images; the same for all methods."""

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        self.anatomy, self.data = anatomy_of(model, x[:2]), [Batch(args=(x,), examples=len(x))]
        self.full = seen(self.anatomy, model, self.data)

    def settle(self, model: nn.Module) -> None:
        moved(model, self.full, seen(self.anatomy, model, self.data))

    @contextmanager
    def judging(self, model: nn.Module) -> Iterator[None]:
        """For a while, and then as they were."""
        held = [(value, value.clone()) for value in model.buffers()]
        self.settle(model)
        try:
            yield
        finally:
            for value, before in held:
                value.copy_(before)


def subject(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> Subject:
    """The blocks that keep the shape, judged by how many of these images are named right; of equals the first."""
    moving = Moving(model, x)
    stages = [[f"body.stage{stage}.{block}" for block in range(5) if stage == 1 or block] for stage in (1, 2, 3)]
    ends = np.cumsum([0, *(len(stage) for stage in stages)]).tolist()
    return Subject(
        name="ResNet-32", model=model, batches=[Batch(args=(x,), target=labels, examples=len(x))],
        layers=tuple(path for stage in stages for path in stage), metric=resolve("accuracy"),
        chains=tuple(tuple(range(*pair)) for pair in itertools.pairwise(ends)),
        loss=lambda output, batch: nn.functional.cross_entropy(output, batch.target),
        judging=moving.judging, settle=moving.settle,
    )  # fmt: skip


def searched(about: Subject, way: str) -> dict[int, Gone]:
    """What `ik.prune` drops, each set judged with statistics of its own; what is known of a set is not asked again."""

    def right_share(model: nn.Module) -> float:
        gone = frozenset(place for plan in live_plans(model) for place in plan.places)
        if gone not in about.known:
            about.known[gone] = about.cost_of(model)
        return -about.known[gone]

    pruned = ik.prune(
        about.model, at=list(about.layers), score=right_share, drop=MOST, inputs=about.batches[0].head(2),
        holdout=0, progress=False, **WAYS[way],
    )  # fmt: skip
    return {drop: in_order(about, pruned.front.plan(drop).places) for drop in range(1, MOST + 1)}


def parts(x: torch.Tensor, labels: torch.Tensor) -> list[Batch]:
    """To fit on, and to judge what was fitted."""
    pairs = zip(x.split(PART), labels.split(PART), strict=True)
    return [Batch(args=(part,), target=target, examples=len(part)) for part, target in pairs]


def right(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Which images are named right."""
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in x.split(250)]) == labels


def cifar(folder: Path) -> dict[str, Any]:
    """Every method with 1 to 4 blocks gone: per cent of all images, from the two halves."""
    state = torch.load(folder / WEIGHTS[DEPTH], map_location="cpu", weights_only=True)["state_dict"]
    model = CifarResNet(DEPTH).load_reference(state).eval()
    x, labels = images(folder / "cifar10-test-1000.npz")
    halves = torch.from_numpy(np.random.default_rng(0).permutation(len(x))).split(len(x) // 2)
    hits: dict[tuple[int, str], list[torch.Tensor]] = {}
    sets: dict[tuple[int, str], list[Gone]] = {}
    for choose, report in (halves, halves[::-1]):
        about = subject(model, x[choose], labels[choose])
        dataclasses.replace(about, settle=id).check()  # it is judged with its statistics moved
        ours = {f"ours {way}": searched(about, way) for way in OURS}
        hits.setdefault((0, "full"), []).append(right(model, x[report], labels[report]))
        hits.setdefault((0, "full, statistics moved"), []).append(right(about.smaller(()), x[report], labels[report]))
        for drop in range(1, MOST + 1):
            gone = {name: each[drop] for name, each in ours.items()}
            gone |= {name: rival(about, drop) for name, rival in RIVALS.items()}
            done: dict[Gone, torch.Tensor] = {}
            for name, each in gone.items():
                done[each] = done[each] if each in done else right(about.smaller(each), x[report], labels[report])
                hits.setdefault((drop, name), []).append(done[each])
                sets.setdefault((drop, name), []).append(each)
            for form in FORMS:
                name, each = f"{MADE_UP_FOR}, {form}", gone[MADE_UP_FOR]
                network = made_up_for(about, each, form, about.metric, parts(x[choose], labels[choose]))
                hits.setdefault((drop, name), []).append(right(network, x[report], labels[report]))
                sets.setdefault((drop, name), []).append(each)
    return shown(hits, sets)


def shown(hits: dict[tuple[int, str], list[torch.Tensor]], sets: dict[tuple[int, str], list[Gone]]) -> dict[str, Any]:
    share = {key: round(100 * float(torch.cat(each).double().mean()), 1) for key, each in hits.items()}
    found: dict[str, Any] = {name: figure for (drop, name), figure in share.items() if not drop}
    for drop in range(1, MOST + 1):
        found[f"{drop} gone"] = {
            name: {"accuracy": share[drop, name], "gone": [[path[10:] for path in each] for each in sets[drop, name]]}
            for at, name in sets if at == drop
        }  # fmt: skip
    lost = {name: round(share[0, "full"] - share[GOAL["drop"], name], 1) for name in (f"ours {way}" for way in OURS)}
    found["goals"] = [
        f"{name}, {GOAL['drop']} gone: {points} points lost, at most {GOAL['points']}: "
        + ("met" if points <= GOAL["points"] else "missed") for name, points in lost.items()
    ]  # fmt: skip
    return found
