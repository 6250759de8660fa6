"""How long the command line takes to answer: fresh processes, beside Python alone and beside a library of the field.

    python benchmarks/startup.py [--runs 15]

CPU time of the whole process (what else runs on the machine does not count) and wall time, medians, the commands in
turn. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "python": ["-c", "pass"],
    "identikit --help": ["-m", "identikit", "--help"],
    "identikit --version": ["-m", "identikit", "--version"],
    "a wrong option": ["-m", "identikit", "scan", "x", "--dat", "y"],
    "import identikit": ["-c", "import identikit"],
    "import torch": ["-c", "import torch"],
    "import transformers": ["-c", "import transformers"],
}


def once(command: list[str]) -> tuple[float, float]:
    """CPU seconds and wall seconds of one fresh process."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command], capture_output=True, check=False)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for command in COMMANDS.values():  # bytecode is written, files are in memory
        once(command)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            found[name].append(once(command))
    result = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "runs": runs,
        "seconds": {
            name: {
                "cpu": round(statistics.median(cpu for cpu, _ in times), 3),
                "wall": round(statistics.median(wall for _, wall in times), 3),
                "slowest_wall": round(max(wall for _, wall in times), 3),
            }
            for name, times in found.items()
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, seconds in result["seconds"].items():
        print(f"{name:20}  cpu {seconds['cpu']:.3f} s   wall {seconds['wall']:.3f} s")


if __name__ == "__main__":
    main()
