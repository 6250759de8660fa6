"""How much quality is left at each size: identikit beside the published ways to drop layers, on the same data.

    python benchmarks/quality.py --data FOLDER [--part minilm|llama|cifar|tabular|speedup] [--heal MINUTES]

FOLDER holds stsb-en-train.csv, stsb-en-dev.csv, tinyllama/, shakespeare-val.txt, cifar10-test-1000.npz,
resnet32-d509ac18.th and housing.csv. The rivals are written from their papers' descriptions (quality_rivals.py,
quality_least_squares.py). Every method drops the same number of layers, chosen on the same data, judged on other
data. One thread. Writes benchmarks/results/quality.json part by part; each part says which of its goals it met.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from quality_cifar import cifar
from quality_llama import llama
from quality_minilm import minilm
from quality_speed import speedup
from quality_tabular import tabular
from scan_rivals import versions

RESULT = Path(__file__).parent / "results" / "quality.json"
PARTS = {"minilm": minilm, "llama": llama, "cifar": cifar, "tabular": tabular, "speedup": speedup}
HEALED = ("minilm", "llama")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", choices=tuple(PARTS), help="one part alone")
    parser.add_argument("--heal", type=float, default=0.0, help="minutes of healing for each model; 0: none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, part in PARTS.items():
        if options.part in (None, name):
            began = time.process_time()
            found = part(options.data, options.heal) if name in HEALED else part(options.data)
            found |= {"cpu_seconds": round(time.process_time() - began), "versions": versions()}
            _write(name, found)
            print(name, json.dumps(found, indent=2), flush=True)


def _write(name: str, found: dict[str, Any]) -> None:
    """Beside what the other parts have written, maybe meanwhile."""
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps(result | {name: found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
