"""Prune by EleutherAI's lm-eval: its verdict on a task file of your own decides which layers go.

    pip install lm-eval
    identikit prune MODEL --score examples/lm_eval/score.py:accuracy --keep 0.95 --to smaller

MODEL is a folder (or hub id) of a causal language model with its tokenizer. Put your own task beside this file, or
name the harness's own tasks in `TASKS` and leave `include_defaults` out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TASKS = ("word_order",)
METRIC = "acc,none"  # as lm-eval calls it: the metric, and the filter that was put before it


def accuracy(model: Any) -> float:
    """The mean of `METRIC` over `TASKS`, 0 to 1; higher is better."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoTokenizer

    # transformers remembers where a model was loaded from; its tokenizer lies there too
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, device=str(model.device))
    found = lm_eval.simple_evaluate(
        model=harness,
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(HERE), include_defaults=False),
        bootstrap_iters=0,  # identikit asks for the score alone
        log_samples=False,
    )
    if found is None:
        raise RuntimeError("lm-eval gave no result: only the first of several processes has one")
    return sum(found["results"][task][METRIC] for task in TASKS) / len(TASKS)
