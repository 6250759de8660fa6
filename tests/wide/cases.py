"""All the removals of one model type, each a dictionary for one line of JSON."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from typing import Any

from identikit.families.transformers_quiet import silenced

from . import NotBuilt, build, run, types
from .decoding import ways
from .judge import Story, branch
from .stacks import stacks_of

Line = dict[str, Any]
DECODE = ("causal-lm", "seq2seq-lm", "speech-seq2seq")


def lines_of(auto: str, model_type: str, *, seed: int = 0, branches: bool = True) -> Iterator[Line]:
    """One line for each removal, then one on the model type itself."""
    began = time.perf_counter()
    head: Line = {"auto": auto, "type": model_type, "class": types(auto)[model_type]}

    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fresh = build(auto, model_type, seed=seed)
        except NotBuilt as reason:
            yield {"kind": "model", **head, "builds": False, "why": str(reason)}
            return

        def again() -> Any:
            return copy.deepcopy(fresh)

        model, batch = again()
        stacks = stacks_of(model, lambda: run(model, batch))
        decodes = ways(model, batch) if auto in DECODE else []
        for stack in stacks:
            for name, places in stack.cases().items():
                told = Story(again, stack, places, decodes).tell()
                yield {"kind": "block", **head, "stack": stack.path, "which": name, "places": places, **told}
            if branches:
                middle = stack.blocks[(len(stack.blocks) - 1) // 2]
                for told in branch(again, middle, decodes):
                    yield {"kind": "branch", **head, "stack": stack.path, **told}
    size = sum(value.numel() for value in model.parameters())
    known = {"stacks": {stack.path: stack.depth for stack in stacks}, "decodes": decodes, "parameters": size}
    yield {"kind": "model", **head, "builds": True, **known, "seconds": round(time.perf_counter() - began, 2)}
