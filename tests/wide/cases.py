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


def fresh_of(auto: str, model_type: str, seed: int) -> tuple[Line, Any]:
    """How the lines of a model type begin, and the model with its batch; of one that does not build, its line."""
    head: Line = {"auto": auto, "type": model_type, "class": types(auto)[model_type]}
    try:
        return head, build(auto, model_type, seed=seed)
    except NotBuilt as reason:
        return {"kind": "model", **head, "builds": False, "why": str(reason)}, None


def lines_of(auto: str, model_type: str, *, seed: int = 0, branches: bool = True) -> Iterator[Line]:
    """One line for each removal, then one on the model type itself."""
    began = time.perf_counter()
    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head, fresh = fresh_of(auto, model_type, seed)
        if fresh is None:
            yield head
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
