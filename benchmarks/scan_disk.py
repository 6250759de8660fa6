"""Leave-one-out with the weights on a disk (accelerate's offload): the hook loop beside identikit (see scan.py)."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from scan_cases import bert
from scan_rivals import hook_loop
from scan_ways import engines, scanned

_GOAL = 0.15


def disk(data: Path | None) -> dict[str, Any]:
    """24 layers, hidden size 384, 16 batches of 1 x 32 tokens."""
    from accelerate import disk_offload

    case = bert(24, batches=16, batch=1, tokens=32)
    plain = scanned(case)
    with tempfile.TemporaryDirectory() as folder:
        disk_offload(case.model, folder)
        away = dataclasses.replace(case)
        began = time.process_time(), time.perf_counter()
        rows = hook_loop(away)
        loop = time.process_time() - began[0], time.perf_counter() - began[1]
        with engines() as seen:
            began = time.process_time(), time.perf_counter()
            result = scanned(away)
            ours = time.process_time() - began[0], time.perf_counter() - began[1]
    scores = {path: case.metric.aggregate(values) for path, values in rows.items()}
    return {
        "goal": _GOAL,
        "cpu_over_the_hook_loops": round(ours[0] / loop[0], 3),
        "wall_over_the_hook_loops": round(ours[1] / loop[1], 3),
        "cpu_seconds": {"hook loop": round(loop[0], 2), "identikit": round(ours[0], 2)},
        "apart": max(abs(row.edited - scores[row.place]) for row in result),
        "apart_from_the_model_in_memory": max(
            abs(one.edited - other.edited) for one, other in zip(result, plain, strict=True)
        ),
        **seen.facts(),
    }
