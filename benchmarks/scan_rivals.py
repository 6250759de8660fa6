"""How others rank layers by leaving each out, written as a user would, and what it costs them.

    python benchmarks/scan_rivals.py --data FOLDER [--repeats 3] [--only BERT-like-24]

A rival takes a Case and gives, for each layer, the rows of one metric (an array over the examples); `measured`
says what that cost in CPU seconds and in rows x layers (examples through layer forwards, the full model's pass
included). All are judged by `identikit.metrics`, so that they compare the same numbers. FOLDER holds stsb-en-train.csv
and stsb-en-dev.csv; without it MiniLM is left out. One thread. Writes benchmarks/results/scan_rivals.json, and fails
where a rival's rows are not the hook loop's, bit for bit, or the hook loop's not those of `ik.scan`.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib.metadata
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scan_cases import Case, bert, minilm, on_dev, resnet
from torch import nn

import identikit as ik
from identikit.batches import Batch
from identikit.metrics import rows_of
from identikit.metrics.base import Floats

RESULT = Path(__file__).parent / "results" / "scan_rivals.json"
SHAPES = ((1, 32), (8, 64))  # rows of a batch, tokens
MINILM_GONE, MINILM_SPEARMAN = ("encoder.layer.2", "encoder.layer.1"), 85.20  # 100 times rho on dev
Rows = dict[str, Floats]  # a layer's path to the metric's rows without it


Rival = Callable[[Case], Rows]


class Judge:
    """What the full model said, and the rows of another model by it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.kept = [case.metric.reference(batch.call(case.model), batch) for batch in case.batches]

    def rows(self, run: Callable[[Batch], Any]) -> Floats:
        """The rows over all batches of what `run` makes of each."""
        pairs = zip(self.case.batches, self.kept, strict=True)
        return np.concatenate([rows_of(self.case.metric, run(batch), batch, kept) for batch, kept in pairs])


@torch.no_grad()
def hook_loop(case: Case) -> Rows:
    """For each layer, its forward overridden to return a clone of its input; the whole model over all batches."""
    judge, found = Judge(case), {}
    for path in case.layers:
        with left_out(case.model, path):
            found[path] = judge.rows(lambda batch: batch.call(case.model))
    return found


@contextmanager
def left_out(model: nn.Module, path: str) -> Iterator[None]:
    """The layer returns a clone of what it takes (all layers here take, and return, the stream as a bare tensor)."""
    layer = model.get_submodule(path)

    def forward(first: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return first.clone()

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


@torch.no_grad()
def nnsight_skip(case: Case) -> Rows:
    """For each layer a trace in which nnsight skips it, over all batches. The model is copied: nnsight changes it."""
    watch = importlib.import_module("nnsight").NNsight
    judge, found = Judge(case), {}
    watched = watch(copy.deepcopy(case.model))

    def run(path: str, batch: Batch) -> Any:
        layer = functools.reduce(step, path.split("."), watched)
        with watched.trace(*batch.args, **batch.kwargs):
            layer.skip(layer.input)
            output = watched.output.save()
        return output  # noqa: RET504  # a return inside the block would not leave this function

    for path in case.layers:
        found[path] = judge.rows(functools.partial(run, path))
    return found


def step(module: Any, name: str) -> Any:
    """One step down a path in nnsight's tree, where members of a list are reached by number."""
    return module[int(name)] if name.isdecimal() else getattr(module, name)


@torch.no_grad()
def rebuild(case: Case) -> Rows:
    """For each layer a new model without it, weights copied (as shortened-llm does), over all batches."""
    judge, found = Judge(case), {}
    for path in case.layers:
        model = case.rebuilt(path).eval()
        found[path] = judge.rows(lambda batch, model=model: batch.call(model))  # type: ignore[misc]
    return found


@dataclass(frozen=True)
class Greedy:
    """Which layers went, in order, and the mean of the metric's rows after each."""

    gone: tuple[str, ...]
    scores: tuple[float, ...]


@torch.no_grad()
def sleb(case: Case, drop: int, candidates: Sequence[str] | None = None) -> Greedy:
    """Song et al. 2024 (arXiv 2402.09025): again and again the block without which the model is best goes.

    At each step each remaining block but the model's first and last (or: of `candidates`) is left out, each time with
    a whole pass over the remaining ones. The model is as before afterwards.
    """
    if case.stack is None:
        raise ValueError(f"{case.name} has no list of layers.")
    home, _, name = case.stack.rpartition(".")
    parent, whole = case.model.get_submodule(home), case.model.get_submodule(case.stack)
    paths = [f"{case.stack}.{number}" for number in range(len(list(whole.children())))]
    layers = dict(zip(paths, whole.children(), strict=True))
    judge, gone, scores = Judge(case), [], []
    try:
        for _ in range(drop):
            found = {}
            for path in [path for path in candidates or paths[1:-1] if path not in gone]:
                kept = [layer for other, layer in layers.items() if other != path and other not in gone]
                setattr(parent, name, nn.ModuleList(kept))
                found[path] = float(np.mean(judge.rows(lambda batch: batch.call(case.model))))
            best = (max if case.metric.higher_is_better else min)(found, key=found.__getitem__)
            gone.append(best)
            scores.append(found[best])
    finally:
        setattr(parent, name, whole)
    return Greedy(tuple(gone), tuple(scores))


class Work:
    """Rows x layers so far."""

    done = 0


@contextmanager
def counted(kind: type[nn.Module]) -> Iterator[Work]:
    """Count the examples that go through forwards of layers of class `kind`, wherever the layers are."""
    work, forward = Work(), kind.forward

    @functools.wraps(forward)
    def counting(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        work.done += len(args[0] if args else next(iter(kwargs.values())))
        return forward(self, *args, **kwargs)

    kind.forward = counting
    try:
        yield work
    finally:
        kind.forward = forward


def measured(run: Callable[[], Any], kind: type[nn.Module], repeats: int) -> tuple[Any, dict[str, Any]]:
    """What `run` gives, and what it cost: CPU seconds of this process (the median), rows x layers of one run."""
    spent = []
    for _ in range(repeats):
        with counted(kind) as work:
            began = time.process_time()
            given = run()
            spent.append(time.process_time() - began)
    return given, {"cpu_seconds": round(statistics.median(spent), 3), "rows_x_layers": work.done}


RIVALS: dict[str, Rival] = {"hook loop": hook_loop, "nnsight skip": nnsight_skip, "rebuild": rebuild}


def installed(rival: str) -> bool:
    return rival != "nnsight skip" or importlib.util.find_spec("nnsight") is not None


def compared(case: Case, repeats: int) -> dict[str, Any]:
    """What each rival costs, and whether it gives the hook loop's rows; whether those are `ik.scan`'s."""
    found: dict[str, Any] = {"layers": len(case.layers), "examples": case.examples}
    loop: Rows = {}
    for name, rival in RIVALS.items():
        if not installed(name):
            found[name] = "not installed"
            continue
        rows, line = measured(functools.partial(rival, case), case.kind, repeats)
        loop = loop or rows
        line["apart"] = max(float(np.max(np.abs(rows[path] - loop[path]))) for path in case.layers)
        line["cpu_over_the_hook_loops"] = round(line["cpu_seconds"] / found.get("hook loop", line)["cpu_seconds"], 3)
        found[name] = line
    result = ik.scan(case.model, list(case.batches), at=list(case.layers), metrics=case.metric, progress=False)
    found["ik.scan_is_the_hook_loop"] = {row.place: row.edited for row in result} == {
        path: case.metric.aggregate(rows) for path, rows in loop.items()
    }
    return found


def greedy(case: Case, drop: int, repeats: int) -> dict[str, Any]:
    """What SLEB chooses, and what that costs."""
    found, line = measured(lambda: sleb(case, drop), case.kind, repeats)
    return {"gone": found.gone, "scores": [round(score, 6) for score in found.scores], **line}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with stsb-en-train.csv and stsb-en-dev.csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name starts so")
    parser.add_argument("--to", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"versions": versions()}
    wrong = []
    cases = [bert(layers, batches=2, batch=rows, tokens=tokens) for layers in (12, 24, 32) for rows, tokens in SHAPES]
    cases += [resnet(batches=2, batch=8)]
    around = None
    if options.data is not None:
        case, around = minilm(options.data, sentences=200)
        cases.insert(0, case)
    for case in cases:
        if not case.name.startswith(options.only):
            continue
        line = result[case.name] = compared(case, options.repeats)
        apart = [name for name, cost in line.items() if isinstance(cost, dict) and cost["apart"]]
        wrong += [case.name] * (bool(apart) or not line["ik.scan_is_the_hook_loop"])
        if case.name.startswith("MiniLM"):
            line["SLEB, 2 layers"] = found = greedy(case, 2, options.repeats)
            found["spearman_dev"] = round(on_dev(case, around, options.data, found["gone"]), 2)
            right = found["gone"] == MINILM_GONE and found["spearman_dev"] == MINILM_SPEARMAN
            wrong += [] if right else ["SLEB on MiniLM"]
        if case.name.startswith("BERT-like-32") and "x 1 x" in case.name:
            line["SLEB, 7 layers"] = greedy(case, 7, 1)
        print(case.name, json.dumps(line, indent=2))
    options.to.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(f"wrong: {', '.join(wrong)}" if wrong else 0)


def versions() -> dict[str, str]:
    """Of what was measured."""
    names = [name for name in ("torch", "transformers", "nnsight") if importlib.util.find_spec(name) is not None]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


if __name__ == "__main__":
    main()
