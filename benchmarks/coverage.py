"""What identikit can remove from every model type of transformers' auto classes, and whether it is right.

    python benchmarks/coverage.py [--auto causal-lm] [--only llama,bert] [--shard 1/2] [--jobs 2] [--fresh]
    python benchmarks/coverage.py --rivals       the same removals by other means, over the causal language models

Each model of the wide zoo (tests/wide) loses its first, a middle and its last layer and two neighbours, in each of its
stacks, each time from a fresh model, through the whole story: bypass against a reference that is no part of identikit,
undo, cached against uncached logits, removal, a checkpoint that the library's own loader reads, or a plan. One line of
JSON for each in build/coverage.jsonl; what is there already is not run again, unless `--fresh`. A whole run writes
benchmarks/results/coverage.json and docs/coverage.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}

import coverage_page  # noqa: E402
import coverage_rivals  # noqa: E402
import torch  # noqa: E402

import identikit  # noqa: E402
from wide import AUTOS, types  # noqa: E402
from wide.cases import lines_of  # noqa: E402

LINES = ROOT / "build" / "coverage.jsonl"
Task = tuple[str, str]


def main() -> int:
    options = _options()
    torch.set_num_threads(1)
    _load()
    autos = ["causal-lm"] if options.rivals else options.auto or list(AUTOS)
    tasks = [(auto, kind) for auto in autos for kind in types(auto)]
    if options.only:
        tasks = [task for task in tasks if task[1] in options.only.split(",")]
    part, parts = map(int, options.shard.split("/"))
    tasks = tasks[part - 1 :: parts]
    lines = options.to or (LINES.with_stem("rivals") if options.rivals else LINES)
    lines.parent.mkdir(parents=True, exist_ok=True)
    kept = [] if options.fresh else _read(lines)
    if options.only:  # asked for by name: run again
        kept = [line for line in kept if (line["auto"], line["type"]) not in tasks]
    done = {(line["auto"], line["type"]) for line in kept if line["kind"] == "model"}
    kept = [line for line in kept if (line["auto"], line["type"]) in done]  # a killed run's half a type goes
    lines.write_text("".join(json.dumps(line) + "\n" for line in kept))
    todo = [task for task in tasks if task not in done]
    began = time.perf_counter()
    with lines.open("a") as file:
        for number, found in enumerate(_pool(todo, options), 1):
            for line in found:
                file.write(json.dumps(line) + "\n")
            file.flush()
            _say(number, len(todo), found, began)
    if options.rivals:
        coverage_rivals.write(_read(lines), ROOT)
    elif not options.no_page:
        coverage_page.write(_whole(_read(lines)), ROOT)
    return 0


def _whole(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the classes that were run to their end: the page counts no half of one."""
    ran = Counter(line["auto"] for line in lines if line["kind"] == "model")
    return [line for line in lines if ran[line["auto"]] == len(types(line["auto"]))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--auto", choices=list(AUTOS), action="append", help="an auto class (several: repeat)")
    parser.add_argument("--only", help="model types, with commas between; they are run again")
    parser.add_argument("--shard", default="1/1", help="1/2: every second model type, from the first")
    parser.add_argument("--jobs", type=int, default=2, help="model types at a time")
    parser.add_argument("--timeout", type=int, default=120, help="seconds of a processor for one model type")
    parser.add_argument("--seed", type=int, default=0, help="of the sampled weights")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run found")
    parser.add_argument("--no-branches", action="store_true", help="whole blocks alone")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/coverage.md")
    parser.add_argument("--rivals", action="store_true", help="nn.Identity, the usual recipe, OptiPFair")
    parser.add_argument("--to", type=Path, help="the file of lines")
    return parser.parse_args()


def _load() -> None:
    """All of identikit, before the first child is forked: each model is judged by the same code, whoever edits it."""
    for module in pkgutil.walk_packages(identikit.__path__, "identikit."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    for _ in lines_of("seq2seq-lm", "bart", branches=False):  # and all that a first run imports
        pass


def _read(lines: Path) -> list[dict[str, Any]]:
    if not lines.is_file():
        return []
    return [json.loads(line) for line in lines.read_text().splitlines() if line.endswith("}")]


def _pool(tasks: list[Task], options: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """The lines of each model type, in the order in which they end; a child process for each."""
    running: dict[int, tuple[Task, Any, float]] = {}
    waiting = list(tasks)
    while waiting or running:
        while waiting and len(running) < options.jobs:
            task = waiting.pop(0)
            child, pipe = _start(task, options)
            running[child] = (task, pipe, time.perf_counter())
        ended = status = 0
        for child, (task, _, began) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and time.perf_counter() - began > 10 * options.timeout:
                os.kill(child, signal.SIGKILL)
                ended, status = os.waitpid(child, 0)
            if ended:
                task, path, began = running.pop(ended)
                found = _read(path)
                path.unlink(missing_ok=True)
                if not any(line["kind"] == "model" for line in found):
                    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
                    why = f"more than {options.timeout} s" if late else "the process ended"
                    found.append({"kind": "model", "auto": task[0], "type": task[1], "builds": None, "why": why})
                yield found
                break
        if not ended:
            time.sleep(0.01)


def _start(task: Task, options: argparse.Namespace) -> tuple[int, Path]:
    """A child process that writes the lines of one model type to a file, the one on the model last."""
    path = LINES.parent / f"coverage-{os.getpid()}-{task[0]}-{task[1]}.part"
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child, path
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (options.timeout, options.timeout))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        with path.open("w") as file:
            make = coverage_rivals.lines_of if options.rivals else lines_of
            for line in make(*task, seed=options.seed, branches=not options.no_branches):
                file.write(json.dumps(line) + "\n")
                file.flush()
        status = 0
    finally:
        os._exit(status)


def _say(number: int, of: int, found: list[dict[str, Any]], began: float) -> None:
    model = next(line for line in found if line["kind"] == "model")
    verdicts = " ".join(line["verdict"] for line in found if line["kind"] in ("block", "rival"))
    took = time.perf_counter() - began
    text = verdicts or model.get("why", "")
    print(f"{number:4}/{of} {took:6.0f} s  {model['auto']:24}{model['type']:26}{text[:160]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
