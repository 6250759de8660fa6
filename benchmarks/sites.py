"""What `ik.sites` costs on a model of seven billion parameters without values: LLaMA's, on the meta device.

    python benchmarks/sites.py [--runs 7]

Each run is a process of its own: seconds (and CPU seconds) of `ik.sites` after the imports, and the process's peak
memory over its life, imports included. Medians. Writes benchmarks/results/sites.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "sites.json"
GOAL = {"seconds": 5.0, "peak_megabytes": 1000}


def measure() -> dict[str, float]:
    """One run, in this process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    import identikit as ik

    find = ik.sites  # loads what it needs
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig()).eval()  # the configuration's defaults are the 7 billion model's
    began, worked = time.perf_counter(), time.process_time()
    found = find(model)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # bytes
    return {
        "parameters": sum(value.numel() for value in model.parameters()),
        "sites": len(found),
        "proved": sum(site.ok for site in found),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,  # what a busy machine does not stretch as much
        "peak_megabytes": peak / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure()))
        return
    command = [sys.executable, __file__, "--once"]
    lines = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        for _ in range(options.runs)
    ]
    runs = [json.loads(line) for line in lines]
    versions = {name: __import__(name).__version__ for name in ("torch", "transformers")}
    result = {
        "model": "LlamaForCausalLM(LlamaConfig()) on the meta device",
        **{name: runs[0][name] for name in ("parameters", "sites", "proved")},
        "goal": GOAL,
        "seconds": round(statistics.median(run["seconds"] for run in runs), 3),
        "seconds_of_each_run": sorted(round(run["seconds"], 3) for run in runs),
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in runs), 3),
        "peak_megabytes": round(statistics.median(run["peak_megabytes"] for run in runs)),
        "runs": options.runs,
        "versions": {**versions, "python": platform.python_version()},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
