"""What a bypass costs: half of the layers bypassed, against pass-through modules put into the same slots by hand.

    python benchmarks/overhead.py [--runs 60] [--compile-runs 30]

One process, paired runs in random order, medians of the ratios. Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel

import identikit as ik

LAYERS, HIDDEN, BATCH, TOKENS = 24, 384, 8, 64
RESULT = Path(__file__).parent / "results" / "overhead.json"


class PassThrough(nn.Module):
    """What one writes by hand: takes whatever the layer takes, returns the hidden states."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return hidden_states


def models() -> tuple[nn.Module, nn.Module, dict[str, torch.Tensor]]:
    """The bypassed model, the one edited by hand, and their input."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=12,
        intermediate_size=4 * HIDDEN,
        vocab_size=1000,
    )
    bypassed = BertModel(config, add_pooling_layer=False).eval()
    by_hand = copy.deepcopy(bypassed)
    inputs = {"input_ids": torch.randint(0, 1000, (BATCH, TOKENS)), "attention_mask": torch.ones(BATCH, TOKENS).long()}
    odd = list(range(1, LAYERS, 2))
    ik.bypass(bypassed, f"encoder.layer.[{','.join(map(str, odd))}]")
    for layer in odd:
        by_hand.encoder.layer[layer] = PassThrough()
    return bypassed, by_hand, inputs


def paired(one: Callable[[], Any], other: Callable[[], Any], runs: int) -> dict[str, Any]:
    """Ratios of CPU-clock-paired runs: median and quartiles."""
    ratios, seconds = [], []
    for _ in range(3):
        one(), other()
    for _ in range(runs):
        took: dict[Callable[[], Any], float] = {}
        for run in random.sample([one, other], 2):
            began = time.perf_counter()
            run()
            took[run] = time.perf_counter() - began
        ratios.append(took[one] / took[other])
        seconds.append(took[one])
    low, median, high = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(median, 4),
        "quartiles": [round(low, 4), round(high, 4)],
        "seconds": round(statistics.median(seconds), 4),
    }


def measure(runs: int, compile_runs: int) -> dict[str, Any]:
    bypassed, by_hand, inputs = models()
    with torch.no_grad():
        equal = torch.equal(bypassed(**inputs).last_hidden_state, by_hand(**inputs).last_hidden_state)
        eager = paired(lambda: bypassed(**inputs), lambda: by_hand(**inputs), runs)
        torch._dynamo.reset()
        fast, fast_by_hand = torch.compile(bypassed, fullgraph=True), torch.compile(by_hand, fullgraph=True)
        fast(**inputs), fast_by_hand(**inputs)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        compiled = paired(lambda: fast(**inputs), lambda: fast_by_hand(**inputs), compile_runs)
        recompiled = torch._dynamo.utils.counters["stats"]["unique_graphs"] - graphs
    return {
        "outputs_equal": equal,
        "eager": eager,
        "compiled": compiled,
        "recompilations_after_the_first_call": recompiled,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--compile-runs", type=int, default=30)
    options = parser.parse_args()
    random.seed(0)
    shape = {"layers": LAYERS, "hidden": HIDDEN, "batch": BATCH, "tokens": TOKENS, "bypassed": LAYERS // 2}
    versions = {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads()}
    result = {
        "shape": shape,
        "goal": "ratio at most 1.01",
        **measure(options.runs, options.compile_runs),
        "versions": versions,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
