"""What the worked examples print on real models and data, as a user would run them.

    python benchmarks/examples.py --data FOLDER [--only NAME]

FOLDER holds what the examples say they need: stsb-en-train.csv and stsb-en-dev.csv, tinyllama/ and its text,
resnet32-d509ac18.th and cifar10-test-1000.npz. Writes benchmarks/results/examples.json: of each example the command,
what it printed and how long it took (on one thread; other work may have been going on). docs/examples.md shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "examples.json"
EXAMPLES = {  # whether there is data to bring
    "own_module": False,
    "tabular_resnet": False,
    "lesion_study": True,
    "llama_pruned_and_healed": True,
    "search_embeddings": True,
}


def run(name: str, data: Path) -> dict[str, Any]:
    """One example, in a folder of its own."""
    options = ["--data", str(data)] if EXAMPLES[name] else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / f"{name}.py"), *options],
            cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
    command = f"python examples/{name}.py" + (" --data FOLDER" if options else "")
    return {"command": command, "seconds": round(seconds), "printed": done.stdout.strip("\n").split("\n")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=EXAMPLES, help="one of them; the results of the others stay")
    options = parser.parse_args()
    for name in [options.only] if options.only else EXAMPLES:
        found = run(name, options.data.resolve())
        print("$", found["command"], *found["printed"], sep="\n", flush=True)
        result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        result[name] = found
        RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
