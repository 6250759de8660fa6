"""What docs/comparison.md says of other tools, run: each where it is installed, else what stands in the file stays.

    pip install --target PEERS --no-deps torch-pruning captum mergekit immutables
    PYTHONPATH=tests:PEERS python benchmarks/comparison.py [--only mergekit] [--types llama,opt]

PEERS is a folder of its own, so that none of them changes what identikit is tested with. mergekit takes layer 1 of 4
out of every causal language model of the wide zoo (tests/wide) and is judged as the others are (coverage_rivals.py);
torch-pruning halves the channels of a ResNet-18; captum ablates a layer of a small network. Nothing is downloaded.
Writes benchmarks/results/comparison.json, with the day and the versions.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib.metadata
import importlib.util
import json
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coverage_rivals
import torch
from torch import nn

from identikit.families.transformers_quiet import silenced
from wide import run
from wide import types as types_of
from wide.cases import fresh_of
from wide.stacks import Stack, stacks_of

RESULT = Path(__file__).parent / "results" / "comparison.json"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", choices=list(PARTS))
    asked.add_argument("--types", type=lambda text: text.split(","))
    given = asked.parse_args()
    found = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    for name, (package, part) in PARTS.items():
        if given.only not in (None, name) or importlib.util.find_spec(package) is None:
            continue
        made = part(given.types) if name == "mergekit" else part()
        found[name] = {
            "day": datetime.date.today().isoformat(),
            "version": importlib.metadata.version(name),
            **made,
        }
        found["versions"] = {each: importlib.metadata.version(each) for each in ("torch", "transformers")}
        RESULT.write_text(json.dumps(found, indent=2) + "\n")
        print(name, json.dumps(found[name]))


def mergekit(types: list[str] | None = None) -> dict[str, Any]:
    """Its passthrough merge of layers 0 and 2 to 3, over causal language models, by the judge of coverage_rivals.py."""
    coverage_rivals.RIVALS["mergekit"] = _passthrough
    told = _Told()
    logging.getLogger("mergekit.architecture").addHandler(told)
    by_type: dict[str, dict[str, str]] = {"known to it": {}, "not known to it": {}}
    for model_type in types or types_of("causal-lm"):
        with silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fresh = fresh_of("causal-lm", model_type, 0)[1]
            if fresh is None:
                continue
            model, batch = copy.deepcopy(fresh)
            stacks = stacks_of(model, lambda model=model, batch=batch: run(model, batch))
            if not stacks:
                continue
            stack = max(stacks, key=lambda each: each.depth)
            verdict = coverage_rivals._told(fresh, stack, "mergekit")["verdict"]
        known = type(model).__name__ not in told.unknown
        by_type["known to it" if known else "not known to it"][model_type] = verdict
        print(model_type, verdict, flush=True)
    counts = {known: dict(Counter(verdicts.values())) for known, verdicts in by_type.items()}
    return {"models": sum(map(len, by_type.values())), "verdicts": counts, "by_type": by_type}


class _Told(logging.Handler):
    """Hears, once for each class, that mergekit has no definition of an architecture and infers one."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if "No JSON architecture found for " in said:
            self.unknown.add(said.rpartition(" ")[2])


def _passthrough(model: nn.Module, stack: Stack, layer: int) -> nn.Module:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    with tempfile.TemporaryDirectory() as folder:
        full, merged = f"{folder}/full", f"{folder}/merged"
        model.save_pretrained(full)  # type: ignore[operator]
        ranges = [[0, layer], [layer + 1, stack.depth]]
        asked = {
            "merge_method": "passthrough",
            "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
            "slices": [{"sources": [{"model": full, "layer_range": each}]} for each in ranges],
        }
        run_merge(MergeConfiguration.model_validate(asked), merged, MergeOptions(copy_tokenizer=False, quiet=True))
        return type(model).from_pretrained(merged).eval()  # type: ignore[attr-defined]


def torch_pruning() -> dict[str, Any]:
    """Half of the channels of a ResNet-18, and the parameters that are left: what identikit does not do."""
    import torch_pruning as pruning
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model, image = resnet18().eval(), torch.randn(1, 3, 64, 64)
    before = sum(each.numel() for each in model.parameters())
    importance = pruning.importance.MagnitudeImportance(p=2)
    pruning.pruner.MagnitudePruner(
        model, image, importance=importance, pruning_ratio=0.5, ignored_layers=[model.fc]
    ).step()
    after = sum(each.numel() for each in model.parameters())
    return {"model": "ResNet-18", "parameters": [before, after], "output": list(model(image).shape)}


def captum() -> dict[str, Any]:
    """What captum's ablation of a layer compares with: a network in which the layer gives zero, not one without it."""
    from captum.attr import LayerFeatureAblation

    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))).eval()
    x = torch.randn(2, 4)
    mask = torch.zeros(1, 4, dtype=torch.long)
    found = LayerFeatureAblation(layers, layers[1]).attribute(x, target=0, layer_mask=mask)[:, 0]
    with torch.no_grad():
        full, before = layers(x)[:, 0], layers[0](x)
        zero = full - layers[2](torch.zeros_like(before))[:, 0]
        absent = full - layers[2](before)[:, 0]
    return {
        "is_the_effect_of_zeros": torch.allclose(found, zero, atol=1e-6),
        "is_the_effect_of_absence": torch.allclose(found, absent, atol=1e-6),
    }


PARTS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "torch-pruning": ("torch_pruning", torch_pruning),
    "captum": ("captum", captum),
    "mergekit": ("mergekit", mergekit),
}


if __name__ == "__main__":
    main()
