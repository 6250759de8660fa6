"""The same removal by other means, judged by the same judge: `python benchmarks/coverage.py --rivals`.

Layer 1 of every causal language model of the wide zoo goes by nn.Identity in its slot, by the usual recipe (the list
without the layer, the depth in the configuration, save, load), and by OptiPFair where it is installed. Writes
benchmarks/results/coverage_rivals.json, which docs/coverage.md quotes.
"""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from identikit.batches import Batch
from identikit.families.transformers_quiet import silenced
from wide import run
from wide.cases import fresh_of
from wide.compare import CLOSE, apart, results
from wide.decoding import CLOSE as DECODES
from wide.decoding import off, ways
from wide.reference import skipping
from wide.stacks import Stack, stacks_of

Line = dict[str, Any]
RESULT = Path("benchmarks") / "results" / "coverage_rivals.json"
_DEPTH = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


def in_the_slot(model: nn.Module, stack: Stack, layer: int) -> nn.Module:
    """nn.Identity where the layer was."""
    model.get_submodule(stack.path)[layer] = nn.Identity()  # type: ignore[operator]
    return model


def usual_recipe(model: nn.Module, stack: Stack, layer: int) -> nn.Module:
    """The list without the layer, and the depth in the configuration lowered."""
    home, _, name = stack.path.rpartition(".")
    kept = [each for number, each in enumerate(model.get_submodule(stack.path).children()) if number != layer]
    setattr(model.get_submodule(home), name, nn.ModuleList(kept))
    config: Any = model.config
    count = next(name for name in _DEPTH if hasattr(config, name) or name in config.attribute_map)
    setattr(config, count, len(kept))
    return model


def optipfair(model: nn.Module, stack: Stack, layer: int) -> nn.Module:
    """OptiPFair's own depth pruning."""
    from optipfair import prune_model

    return prune_model(model, pruning_type="DEPTH", layer_indices=[layer], show_progress=False)


RIVALS: dict[str, Callable[[nn.Module, Stack, int], nn.Module]] = {
    "nn.Identity": in_the_slot,
    "usual recipe": usual_recipe,
    "OptiPFair": optipfair,
}


def lines_of(auto: str, model_type: str, *, seed: int = 0, branches: bool = False) -> Iterator[Line]:
    """One line for each rival, then one on the model type."""
    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head, fresh = fresh_of(auto, model_type, seed)
        if fresh is None:
            yield head
            return
        model, batch = copy.deepcopy(fresh)
        stacks = stacks_of(model, lambda: run(model, batch))
        if stacks:
            stack = max(stacks, key=lambda each: each.depth)
            for rival in _present():
                yield {"kind": "rival", **head, "rival": rival, **_told(fresh, stack, rival)}
    yield {"kind": "model", **head, "builds": True, "stacks": {stack.path: stack.depth for stack in stacks}}


def _present() -> list[str]:
    try:
        import optipfair  # noqa: F401
    except ImportError:
        return [name for name in RIVALS if name != "OptiPFair"]
    return list(RIVALS)


def _told(fresh: tuple[nn.Module, Batch], stack: Stack, rival: str) -> Line:
    """What each stage gave: right, wrong (without a word) or an error; and what that makes of the whole."""
    model, batch = copy.deepcopy(fresh)
    decodes = ways(model, batch)
    layer = int(stack.blocks[(len(stack.blocks) - 1) // 2].rpartition(".")[2])
    with skipping(model, stack, [f"{stack.path}.{layer}"]):
        expected = results(run(model, batch))
    stages: dict[str, str] = {}
    why = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            stages["removed"] = "error"
            model = RIVALS[rival](model, stack, layer).eval()
            stages |= _judged(model, batch, expected, decodes, "removed")
            stages["saved"] = "error"
            model.save_pretrained(folder)  # type: ignore[operator]
            stages["saved"] = "right"
            again, info = type(model).from_pretrained(folder, output_loading_info=True)  # type: ignore[attr-defined]
            stages |= _judged(again.eval(), batch, expected, decodes, "reloaded")
            if any(info.values()):
                stages["reloaded"] = "wrong"
        except Exception as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
    return {"verdict": _verdict(stages), "stages": stages, "why": why}


def _judged(model: nn.Module, batch: Batch, expected: Any, decodes: list[str], stage: str) -> dict[str, str]:
    stages = {stage: "right" if apart(results(run(model, batch)), expected) < CLOSE else "wrong"}
    for way in decodes:
        try:
            found = "right" if off(model, batch, way) < DECODES else "wrong"
        except Exception:
            found = "error"
        stages[f"{stage}, {way}"] = found
    return stages


def _verdict(stages: dict[str, str]) -> str:
    """Right everywhere; else whether the checkpoint that came out is wrong, or only what was in memory, or an error."""
    if "reloaded" in stages and all(value == "right" for value in stages.values()):
        return "right"
    reloaded = [value for name, value in stages.items() if name.startswith("reloaded")]
    if "wrong" in reloaded:
        return "wrong checkpoint"
    if reloaded and all(value == "right" for value in reloaded):
        return "right once reloaded"
    return "error"


def write(lines: list[Line], root: Path) -> None:
    """Counts by rival, into benchmarks/results."""
    rivals = [line for line in lines if line["kind"] == "rival"]
    counts = {name: dict(Counter(line["verdict"] for line in rivals if line["rival"] == name)) for name in RIVALS}
    models = len({line["type"] for line in rivals})
    (root / RESULT).write_text(json.dumps({"models": models, "layer": "1 of 4", "verdicts": counts}, indent=2) + "\n")
