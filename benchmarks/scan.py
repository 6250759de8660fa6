"""Leave-one-out over the layers of a model: identikit's engines and cheap scores beside the ways others do it.

    python benchmarks/scan.py [--data FOLDER] [--repeats 3] [--only NAME] [--part loo|greedy|race|disk]

Everything of a line is measured in one run, one thread, in turns: CPU seconds of the process (medians) over the
hook loop's, wall seconds likewise, rows x layers (examples through layer forwards; the engine's check apart). Fails
where an exact way does not give the hook loop's scores bit for bit. Writes benchmarks/results/scan.json, part by part.
FOLDER holds stsb-en-train.csv and stsb-en-dev.csv; without it MiniLM is left out.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scan_cases import Case, bert, minilm, resnet
from scan_disk import disk
from scan_greedy import greedy
from scan_races import races
from scan_rivals import RIVALS, Rows, installed, versions
from scan_ways import CHEAP, EXACT, cheap, engines, exact

RESULT = Path(__file__).parent / "results" / "scan.json"
GOALS = {"24 layers, 8 x 64 tokens": 0.56, "24 layers, 1 x 32 tokens": 0.25}
SHAPES = ((1, 32, 32), (8, 64, 8), (32, 64, 2))  # rows of a batch, tokens, batches
MANY = (1, 32, 128)  # at 24 layers also: what the check costs grows no further with the batches


def cases(data: Path | None) -> list[Callable[[], Case]]:
    """Each made when its turn comes."""
    made: list[Callable[[], Case]] = [lambda: minilm(data, sentences=256)[0]] if data is not None else []
    for layers in (24, 12, 32):
        for rows, tokens, batches in (*SHAPES, MANY) if layers == 24 else SHAPES:
            made.append(functools.partial(bert, layers, batches=batches, batch=rows, tokens=tokens))
    return [*made, lambda: resnet(batches=8, batch=8)]


def leave_one_out(case: Case, repeats: int) -> dict[str, Any]:
    """Every way in turn, `repeats` times; the medians."""
    ways: dict[str, Callable[[], Any]] = {"hook loop": functools.partial(RIVALS["hook loop"], case)}
    ways |= {f"identikit {name}": functools.partial(exact(name), case) for name in EXACT}
    ways |= {f"identikit method={name}": functools.partial(cheap(name), case) for name in (*CHEAP, "auto")}
    ways |= {name: functools.partial(RIVALS[name], case) for name in RIVALS if name != "hook loop" and installed(name)}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    given, facts = {}, dict[str, dict[str, Any]]()
    for _ in range(repeats):
        for name, way in ways.items():
            with engines() as seen:
                wall, cpu = time.perf_counter(), time.process_time()
                given[name] = way()
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            facts[name] = seen.facts() if seen.engines else {}
    loop = {path: case.metric.aggregate(rows) for path, rows in given["hook loop"].items()}
    found: dict[str, Any] = {"layers": len(case.layers), "examples": case.examples}
    for name, times in spent.items():
        base = spent["hook loop"]
        ratios = [statistics.median(mine[at] / its[at] for mine, its in zip(times, base, strict=True)) for at in (0, 1)]
        line = {"cpu_seconds": round(statistics.median(cpu for cpu, _ in times), 2), **facts[name]}
        line |= {"cpu_over_the_hook_loops": round(ratios[0], 3), "wall_over_the_hook_loops": round(ratios[1], 3)}
        found[name] = line | {"apart": _apart(given[name], loop, case)}
    found["hook loop"]["rows_x_layers"] = case.examples * len(case.layers) ** 2  # L - 1 layers L times, and L once
    return found


def _apart(given: Any, loop: dict[str, float], case: Case) -> float | None:
    """The largest difference of a score from the hook loop's; None for a score of another kind."""
    if isinstance(given, dict):
        rows: Rows = given
        scores = {path: case.metric.aggregate(values) for path, values in rows.items()}
    elif case.metric.name in given.header.metrics:
        scores = {row.place: row.edited for row in given.of(case.metric.name)}
    else:
        return None
    return max(abs(score - loop[path]) for path, score in scores.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with stsb-en-train.csv and stsb-en-dev.csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name starts so")
    parser.add_argument("--part", choices=("loo", "greedy", "race", "disk"), help="one part alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {"versions": versions(), "goals": GOALS}
    wrong = []
    if options.part in (None, "loo"):
        for make in cases(options.data):
            case = make()
            if not case.name.startswith(options.only):
                continue
            line = leave_one_out(case, options.repeats)
            result.setdefault("leave one out", {})[case.name] = line
            wrong += [f"{case.name}: {name}" for name, each in line.items() if isinstance(each, dict) and each["apart"]]
            _show(case.name, line)
            _write(result)
    for name, part in {"greedy": greedy, "race": races, "disk": disk}.items():
        if options.part in (None, name):
            result[name] = part(options.data)
            print(name, json.dumps(result[name], indent=2))
            _write(result)
    sys.exit(f"not the hook loop's scores: {', '.join(wrong)}" if wrong else 0)


def _show(name: str, line: dict[str, Any]) -> None:
    print(name)
    for way, cost in line.items():
        if isinstance(cost, dict):
            print(f"  {way:28} {cost}")


def _write(result: dict[str, Any]) -> None:
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
