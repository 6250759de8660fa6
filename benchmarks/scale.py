"""A scan of a model whose layers lie on the disk: which weights are fetched, in how many seconds, by each engine.

Checks the arithmetic of docs/scale.md on a small case: `python benchmarks/scale.py` writes results/scale.json. Each
fetch of a weight by accelerate is counted with its bytes, in the scan alone (the check apart, as in `Work`).
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import disk_offload
from accelerate.utils import OffloadedWeightsLoader
from transformers import LlamaConfig, LlamaForCausalLM

import identikit as ik
from identikit.replaying.engine import Engine
from identikit.replaying.work import Work

RESULT = Path(__file__).parent / "results" / "scale.json"
LAYERS, HIDDEN, HEADS, INNER, WORDS = 16, 256, 4, 688, 512
BATCHES, ROWS, TOKENS = 8, 2, 32
ENGINES = ("loop", "suffix", "chain")
RUNS = 2


def model() -> Any:
    """A LLaMA of random weights; its layers are nearly all of it, as in a large one."""
    torch.manual_seed(0)
    shape = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "intermediate_size": INNER, "vocab_size": WORDS}
    heads = {"num_attention_heads": HEADS, "num_key_value_heads": HEADS}
    return LlamaForCausalLM(LlamaConfig(**shape, **heads)).eval()


def data() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(0, WORDS, (BATCHES, ROWS, TOKENS), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": each} for each in ids]


@dataclass
class Fetched:
    """Bytes of layers' weights that were fetched: by the scan, and by proving the engine."""

    scan: int = 0
    check: int = 0
    proving: bool = False
    work: Work | None = None  # rows x layers, as the engine counts them


@contextmanager
def fetching() -> Iterator[Fetched]:
    """Count what accelerate fetches of the layers inside."""
    fetched, get, prepare = Fetched(), OffloadedWeightsLoader.__getitem__, Engine.prepare

    def counted(self: Any, key: str) -> Any:
        value = get(self, key)
        size = value.numel() * value.element_size() if ".layers." in key else 0
        fetched.check += size * fetched.proving
        fetched.scan += size * (not fetched.proving)
        return value

    def proving(self: Any, *args: Any, **kwargs: Any) -> None:
        fetched.proving, fetched.work = True, self.passes.work
        try:
            prepare(self, *args, **kwargs)
        finally:
            fetched.proving = False

    OffloadedWeightsLoader.__getitem__, Engine.prepare = counted, proving  # type: ignore[method-assign]
    try:
        yield fetched
    finally:
        OffloadedWeightsLoader.__getitem__, Engine.prepare = get, prepare  # type: ignore[method-assign]


def measured(away: Any, engine: str, layer_bytes: int) -> tuple[dict[str, float], list[float]]:
    """A scan: how many times a layer's weights were fetched, rows x layers, the CPU seconds, and its rows."""
    with fetching() as fetched:
        began = time.process_time()
        result = ik.scan(away, data(), engine=engine, costs=False, progress=False)
        seconds = time.process_time() - began
    assert fetched.work is not None
    fetches = {"layers_fetched": fetched.scan / layer_bytes, "to_prove_it": fetched.check / layer_bytes}
    work = {"rows_x_layers": fetched.work.done, "rows_x_layers_to_prove_it": fetched.work.check}
    return {**fetches, **work, "cpu_seconds": seconds}, [row.edited for row in result]


def pass_seconds(llama: Any) -> float:
    """The CPU time of one pass over a batch: the median of several."""
    taken = []
    with torch.no_grad():
        for batch in data() * 2:
            began = time.process_time()
            llama(**batch)
            taken.append(time.process_time() - began)
    return statistics.median(taken)


def main() -> None:
    torch.set_num_threads(1)
    llama = model()
    reference = [row.edited for row in ik.scan(llama, data(), engine="loop", costs=False)]
    layer_bytes = sum(value.numel() * value.element_size() for value in llama.model.layers[0].parameters())
    here = pass_seconds(llama)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        disk_offload(llama, folder)
        away = pass_seconds(llama)
        fetch, compute = (away - here) / LAYERS, here / LAYERS / ROWS
        for engine in ENGINES:
            runs = [measured(llama, engine, layer_bytes) for _ in range(RUNS)]
            facts = {name: statistics.median(run[name] for run, _ in runs) for name in runs[0][0]}
            facts["predicted"] = fetch * (facts["layers_fetched"] + facts["to_prove_it"])
            facts["predicted"] += compute * (facts["rows_x_layers"] + facts["rows_x_layers_to_prove_it"])
            apart = max(abs(one - other) for _, rows in runs for one, other in zip(rows, reference, strict=True))
            found[engine] = {name: round(value, 2) for name, value in facts.items()} | {"apart": apart}
    case = {"layers": LAYERS, "hidden": HIDDEN, "batches": BATCHES, "rows": ROWS, "tokens": TOKENS}
    times = {"fetch_a_layer": round(fetch, 5), "a_row_through_a_layer": round(compute, 6)}
    whole = {"case": case, "layer_bytes": layer_bytes, "cpu_seconds": times, "engines": found}
    RESULT.write_text(json.dumps(whole, indent=2) + "\n")
    print(json.dumps(whole, indent=2))


if __name__ == "__main__":
    main()
