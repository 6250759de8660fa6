"""Is a replayed scan the plain loop? Over transformers, timm, torchvision and torch.nn, each engine against the loop.

    python benchmarks/replay_models.py [--from zoo,wide,timm,torchvision,nn] [--only PATTERN] [--jobs 1] [--most 30]
                                       [--fresh] [--timeout 60]

Each model is scanned at four places (the first, a middle and the last whole block, and a layer inside the middle one)
and with two of them gone at once, on three batches: two examples, two others, one. Asked once for "suffix" and once for
"chain", which fall back where a model cannot be replayed: which engine ran, what the notes say, and whether the outputs
are bit-equal to the plain loop's, within the tolerance of their dtype (structure/compare.py), or WRONG. A process for
each model; what is in build/replay_models.jsonl is not run again (named by `--only`, it is), unless `--fresh`.
Writes benchmarks/results/replay_models.json.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}

import roles  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from identikit.batches import Batch, map_tensors, tensors_of  # noqa: E402
from identikit.errors import IdentikitError  # noqa: E402
from identikit.families.anatomy import Anatomy, anatomy_of  # noqa: E402
from identikit.plan import Plan  # noqa: E402
from identikit.replaying.engine import Engine  # noqa: E402
from identikit.structure.compare import difference  # noqa: E402
from identikit.surgery.choose import plan_for  # noqa: E402
from identikit.surgery.install import install  # noqa: E402

LINES = ROOT / "build" / "replay_models.jsonl"
RESULT = Path(__file__).parent / "results" / "replay_models.json"
ASKED = ("suffix", "chain")
LARGEST = 30_000_000  # parameters
Found = dict[tuple[Plan | None, int], Any]
Line = dict[str, Any]


def torchvision_zoo() -> Iterator[tuple[str, roles.Build]]:
    """All that classifies pictures and is not large."""
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name)
        if min(int(each.meta["num_params"]) for each in weights) < LARGEST:
            yield name, lambda name=name: roles._pictures(lambda: torchvision.models.get_model(name))


SOURCES = {**roles.SOURCES, "torchvision": torchvision_zoo}


def examined(model: nn.Module, batch: Batch) -> Line:
    """What each engine makes of a model, beside the plain loop."""
    anatomy = anatomy_of(model, batch)
    plans = _plans(anatomy)
    if not plans:
        return {"verdict": "no blocks"}
    batches = [batch.head(2), _other(batch.head(2)), batch.head(1)]
    truth = _outputs(_engine(anatomy, plans, "loop"), batches, plans)
    found: Line = {"places": [" + ".join(plan.places) for plan in plans]}
    for asked in ASKED:
        found[asked] = _held(anatomy, plans, asked, batches, truth)
    return found


def _plans(anatomy: Anatomy) -> list[Plan]:
    blocks = anatomy.blocks()
    where = [blocks[0], blocks[len(blocks) // 2], blocks[-1]] if blocks else []
    plans = [plan_for(anatomy, [path]) for path in dict.fromkeys(where)]
    inner = _inside(anatomy, blocks[len(blocks) // 2]) if blocks else None
    if len(plans) > 1:
        plans.append(plans[0] | plans[1])
    return [plan for plan in [*plans, inner] if plan is not None and _runs(anatomy, plan)]


def _inside(anatomy: Anatomy, block: str) -> Plan | None:
    """A layer inside a block out of action: the first that can be, a branch if one is proved."""
    inner = [path for path in anatomy.paths if path.startswith(f"{block}.") and anatomy.watched.by_path.get(path)]
    for as_ in (None, "identity", "zero"):
        for path in inner[:6]:
            try:
                plan = plan_for(anatomy, [path], as_)
            except IdentikitError:
                continue
            if _runs(anatomy, plan):
                return plan
    return None


def _runs(anatomy: Anatomy, plan: Plan) -> bool:
    try:
        install(anatomy, plan, decoding=False).undo()
    except IdentikitError:
        return False
    return True


def _other(batch: Batch) -> Batch:
    """The examples the other way round, their numbers changed."""
    rows = next(len(value) for value in tensors_of((batch.args, batch.kwargs)) if value.ndim)

    def turned(value: torch.Tensor) -> torch.Tensor:
        value = value.flip(0) if value.ndim and len(value) == rows else value
        return value * 0.9 if value.is_floating_point() else value

    args, kwargs = map_tensors((batch.args, batch.kwargs), turned)
    return Batch(args, kwargs, None, batch.examples)


def _engine(anatomy: Anatomy, plans: Sequence[Plan], asked: str) -> Engine:
    return Engine(anatomy, sorted({place for plan in plans for place in plan.places}), asked=asked)


def _outputs(engine: Engine, batches: Sequence[Batch], plans: Sequence[Plan]) -> Found:
    engine.prepare(batches[0], batches[1], plans, None)
    found: Found = {}
    group = list(enumerate(batches))
    while group:
        size = engine.group_size()
        part, group = group[:size], group[size:]
        for plan, place, output in engine.outputs(part, plans, full=True):
            key = plan, part[place][0]
            assert key not in found, "given twice"
            found[key] = map_tensors(output, torch.clone)
    return found


def _held(anatomy: Anatomy, plans: Sequence[Plan], asked: str, batches: Sequence[Batch], truth: Found) -> Line:
    """One engine beside the plain loop."""
    engine = _engine(anatomy, plans, asked)
    try:
        found = _outputs(engine, batches, plans)
    except Exception as crash:
        return {"engine": engine.name, "notes": engine.notes, "verdict": "CRASH", "why": _says(crash)}
    apart = {key: difference(found[key], truth[key]) if key in found else float("inf") for key in truth}
    worst = max(apart, key=lambda key: apart[key])
    verdict = "bit-equal" if apart[worst] == 0 else "within tolerance" if apart[worst] <= 1 else "WRONG"
    line: Line = {"engine": engine.name, "notes": engine.notes, "verdict": verdict, "apart": apart[worst]}
    if verdict == "WRONG":
        line["why"] = f"{'the full model' if worst[0] is None else worst[0].places} on batch {worst[1]}"
        again = _outputs(_engine(anatomy, plans, "loop"), batches, plans)
        if difference(again[worst], truth[worst]) > 1:
            line["verdict"], line["why"] = "unstable", "two plain loops differ"
    return line


def _says(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _line(build: roles.Build) -> Line:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, batch = build()
            return examined(model.eval(), batch)
    except IdentikitError as refusal:
        return {"verdict": "refused", "why": _says(refusal)}
    except Exception as cause:
        return {"verdict": "not built", "why": _says(cause)}


def _start(source: str, name: str, build: roles.Build, timeout: int) -> tuple[int, Path]:
    """A child process that writes one model's line to a file."""
    path = LINES.parent / f"replay-{os.getpid()}-{source}-{name.replace('/', '_')}.part"
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child, path
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (timeout, timeout))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        torch.set_num_threads(1)
        began = time.process_time()
        line = _line(build)
        path.write_text(json.dumps({**line, "seconds": round(time.process_time() - began, 1)}))
    finally:
        os._exit(0)


def _pool(todo: Sequence[tuple[str, str, roles.Build]], jobs: int, timeout: int) -> Iterator[Line]:
    waiting, running = list(todo), dict[int, tuple[str, str, Path]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            source, name, build = waiting.pop(0)
            child, path = _start(source, name, build, timeout)
            running[child] = source, name, path
        child, _ = os.wait()
        source, name, path = running.pop(child)
        line = json.loads(path.read_text()) if path.is_file() else {"verdict": "not built", "why": "the process ended"}
        path.unlink(missing_ok=True)
        yield {"source": source, "name": name, **line}


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """How many models of each source were scanned how, by what was asked for; and each one that needs a look."""
    counts: dict[str, dict[str, int]] = {}
    for source in SOURCES:
        own = [line for line in lines if line["source"] == source]
        for asked in ASKED:
            found = Counter(f"{line[asked]['engine']}, {line[asked]['verdict']}" for line in own if asked in line)
            if found:
                counts[f"{source}, asked for {asked}"] = dict(sorted(found.items()))
    looks = [(line, asked, line[asked]) for line in lines for asked in ASKED if asked in line]
    bad = [
        f"{line['source']} {line['name']} ({asked}): {found['verdict']} {found.get('why', '')}"
        for line, asked, found in looks
        if found["verdict"] in ("WRONG", "CRASH", "unstable")
    ]
    notes = Counter(note for _, _, found in looks for note in found["notes"])
    left = Counter(f"{line['source']}: {line['verdict']}" for line in lines if "verdict" in line)
    return {"models": counts, "bad": bad, "not scanned": dict(left), "notes": dict(notes.most_common(40))}


def _read() -> list[Line]:
    return [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="sources", default=",".join(SOURCES), help="with commas between")
    parser.add_argument("--only", default="", help="names like this pattern (*); they are run again")
    parser.add_argument("--most", type=int, default=10_000, help="models of a source")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=60, help="seconds of a processor for one model")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    LINES.parent.mkdir(parents=True, exist_ok=True)
    lines = [] if options.fresh else _read()
    todo = []
    for source in options.sources.split(","):
        models = [(source, name, build) for name, build in SOURCES[source]()][: options.most]
        todo += [each for each in models if fnmatch.fnmatch(each[1], options.only or "*")]
    if options.only:
        asked = {(source, name) for source, name, _ in todo}
        lines = [line for line in lines if (line["source"], line["name"]) not in asked]
    done = {(line["source"], line["name"]) for line in lines}
    LINES.write_text("".join(json.dumps(line) + "\n" for line in lines))
    todo = [each for each in todo if each[:2] not in done]
    for number, line in enumerate(_pool(todo, options.jobs, options.timeout), 1):
        lines.append(line)
        with LINES.open("a") as file:
            file.write(json.dumps(line) + "\n")
        told = " ".join(f"{line[asked]['engine']}: {line[asked]['verdict']};" for asked in ASKED if asked in line)
        told = told or line.get("why", line.get("verdict", ""))
        print(f"{number:4}/{len(todo)} {line['source']:12}{line['name']:30}{told}", flush=True)
    result = summary(lines)
    if not options.only:
        RESULT.write_text(json.dumps({**result, "lines": lines}, indent=1) + "\n")
    for what, counts in result["models"].items():
        print(f"{what:32}" + ", ".join(f"{count} {how}" for how, count in counts.items()))
    print(json.dumps(result["not scanned"]))
    print("\n".join(result["bad"]) or "nothing is wrong")


if __name__ == "__main__":
    main()
