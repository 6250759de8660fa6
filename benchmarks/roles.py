"""Which branches identikit proves, and whether a proof is ever wrong: over transformers, timm, torchvision, torch.nn.

    python benchmarks/roles.py [--from zoo,wide,nn] [--only NAME,NAME] [--most 4] [--inner 5] [--to FILE]

Each model is written down as it is done, and one that stands in FILE already is not run again. About 20 minutes.

The truth comes from the operations of one pass (role_truth.py), not from identikit: a layer is a branch if its output
goes into one addition whose other term it was computed from. Three classes: "pre-norm" (the sum goes on), "post-norm"
(something behind the sum does), "scaled" (factors on the way into the sum). Of every pattern of paths (numbers as one)
the last but one instance is asked; `--most` patterns of a class and model. Wrong is a proved branch whose absence gives
another output than the model run again with that term left out, or one that goes into no such addition; that is also
looked for among layers inside the blocks that are no candidates (`--inner` patterns a model).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import role_truth
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from identikit.batches import Batch
from identikit.errors import IdentikitError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.structure.compare import difference
from identikit.surgery.choose import plan_for
from identikit.surgery.install import install

RESULT = Path(__file__).parent / "results" / "roles.json"
CLASSES = ("pre-norm", "post-norm", "scaled")
LARGEST = 30_000_000  # parameters: larger ones of timm and torchvision are left out
SIZES = (64, 96, 128, 160, 224, 256)
Build = Callable[[], tuple[nn.Module, Batch]]


def small_zoo() -> Iterator[tuple[str, Build]]:
    from zoo import ZOO

    for case in ZOO:
        yield case.name, lambda case=case: ((model := case.build()), case.inputs(model))


def wide_zoo() -> Iterator[tuple[str, Build]]:
    from wide import AUTOS, build, types

    seen: set[str] = set()
    for auto in AUTOS:
        for kind in types(auto):
            if kind not in seen:
                yield kind, lambda auto=auto, kind=kind: build(auto, kind)
            seen.add(kind)


def timm_zoo() -> Iterator[tuple[str, Build]]:
    import timm

    words = ("test_", "atto", "femto", "pico", "nano", "xxs", "xx_small", "xs", "x_small", "tiny", "mini", "_s")
    for module in timm.list_modules():
        names = timm.list_models(module=module)
        rank = {name: next((i for i, word in enumerate(words) if word in name), len(words)) for name in names}
        names.sort(key=lambda name, rank=rank: (rank[name], name))
        if names:
            yield f"{module}", lambda names=names: _timm(names)


def _timm(names: list[str]) -> tuple[nn.Module, Batch]:
    import timm

    for name in names[:6]:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                size = sum(value.numel() for value in timm.create_model(name).parameters())
            except (RuntimeError, NotImplementedError):  # no meta device: built in earnest below
                size = 0
        if size < LARGEST:
            return _pictures(lambda name=name: timm.create_model(name))
    raise ValueError(f"none of {names[:6]} is small")


def torchvision_zoo() -> Iterator[tuple[str, Build]]:
    import torchvision

    smallest: dict[str, str] = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        family = re.sub(r"[\d_].*|(?<=vit).*", "", name)
        smallest.setdefault(family, name)
    for family, name in smallest.items():
        yield family, lambda name=name: _pictures(lambda: torchvision.models.get_model(name))


def _pictures(make: Callable[[], nn.Module]) -> tuple[nn.Module, Batch]:
    """The model with weights that matter, and the smallest picture that it takes."""
    from zoo import weigh

    torch.manual_seed(0)
    model = weigh(make())
    for size in SIZES:
        picture = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad():
                output = model(picture)
        except (RuntimeError, AssertionError, ValueError):
            continue
        if all(bool(value.isfinite().all()) for value in role_truth.tensors(output)):
            return model, Batch(args=(picture,), examples=2)
    raise ValueError("takes no picture")


def torch_nn() -> Iterator[tuple[str, Build]]:
    from zoo import weigh

    x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))

    def encoder(norm_first: bool) -> tuple[nn.Module, Batch]:
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
        return weigh(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)), Batch(args=(x,), examples=2)

    def decoder(norm_first: bool) -> tuple[nn.Module, Batch]:
        layer = nn.TransformerDecoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
        return weigh(nn.TransformerDecoder(layer, 3)), Batch(args=(x, x.flip(1)), examples=2)

    for norm_first in (True, False):
        name = "pre" if norm_first else "post"
        yield f"encoder_{name}", lambda norm_first=norm_first: encoder(norm_first)
        yield f"decoder_{name}", lambda norm_first=norm_first: decoder(norm_first)


SOURCES = {"zoo": small_zoo, "wide": wide_zoo, "timm": timm_zoo, "torchvision": torchvision_zoo, "nn": torch_nn}


def examined(model: nn.Module, batch: Batch, most: int, inner: int) -> dict[str, Any]:
    """What is true of the model's layers, what is proved, and what of that is wrong."""
    anatomy = anatomy_of(model, batch)
    truth = _truth(anatomy)
    chosen = _chosen(truth, most)
    rows: list[dict[str, Any]] = []
    for path, addition in chosen.items():
        started = time.perf_counter()
        verdict = anatomy.verdict(path)
        row = {"path": path, "class": addition.kind, "role": verdict.role, "wrong": ""}
        row["seconds"] = round(time.perf_counter() - started, 2)
        if verdict.role != "branch":
            row["why"] = verdict.why
        rows.append(row)
    for path in _insiders(anatomy, set(chosen), inner):
        rows.append({"path": path, "class": "inside", "role": anatomy.verdict(path).role, "wrong": ""})
    for row in rows:
        if row["role"] == "branch":
            row["wrong"] = _wrong(anatomy, row["path"], truth.get(row["path"]))
    return {"rows": rows}


def _truth(anatomy: Anatomy) -> dict[str, role_truth.Addition]:
    """Every layer that ran once, returns what goes into one residual addition, by the tape."""
    with anatomy.family.quiet(anatomy.model):
        tape = role_truth.taped(anatomy.model, lambda: anatomy.batch.copied().call(anatomy.model))
    once = Counter(call.path for call in tape.calls)
    found = {}
    for call in tape.calls:
        if once[call.path] == 1 and call.path:
            addition = role_truth.addition_of(tape, call)
            if addition is not None:
                found[call.path] = addition
    return found


def _chosen(truth: dict[str, role_truth.Addition], most: int) -> dict[str, role_truth.Addition]:
    """For each term of an addition and class the outermost layer with weights, the last of them; one of a pattern."""
    groups: dict[tuple[int, int, str], list[str]] = {}
    for path, addition in truth.items():
        groups.setdefault((addition.number, addition.term, addition.kind), []).append(path)
    patterns: dict[tuple[str, str], list[str]] = {}
    for (_, _, kind), paths in groups.items():
        outer = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
        weighty = [path for path in outer if path not in EMPTY] or outer
        patterns.setdefault((kind, _pattern(weighty[-1])), []).append(weighty[-1])
    count: Counter[str] = Counter()
    result = {}
    for (kind, _), paths in patterns.items():
        if count[kind] < most:
            count[kind] += 1
            path = paths[-2:][0]
            result[path] = truth[path]
    return result


EMPTY: set[str] = set()  # the paths of layers without weights in the model that is examined


def _pattern(path: str) -> str:
    return re.sub(r"(^|(?<=\.))\d+(?=\.|$)", "*", path)


def _insiders(anatomy: Anatomy, chosen: set[str], inner: int) -> list[str]:
    """Other layers of the blocks that the candidates lie in: their proofs may be wrong too."""
    around = {path.rpartition(".")[0] for path in chosen}
    inside = [
        path
        for path in anatomy.paths
        if path not in chosen
        and any(path.startswith(f"{each}.") for each in around if each)
        and len(anatomy.watched.by_path.get(path, [])) == 1
    ]
    found = {_pattern(path): path for path in inside}
    spread = list(found.values())
    step = max(1, len(spread) // inner) if inner else 1
    return spread[::step][:inner]


def _wrong(anatomy: Anatomy, path: str, addition: role_truth.Addition | None) -> str:
    """Why the proof is wrong, or ""."""
    if addition is None:
        return "goes into no addition of what it was computed from"
    model, batch = anatomy.model, anatomy.batch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with install(anatomy, plan_for(anatomy, [path]), decoding=False) as handle:
            output = handle.output
        with anatomy.family.quiet(model):
            expected = role_truth.without(model, lambda: batch.copied().call(model), addition)
    distance = difference(output, expected)
    return f"{distance:.3g} off" if distance > 1 else ""


def summary(models: dict[str, Any]) -> dict[str, Any]:
    """Counts of a source: shares proved by class, wrong proofs."""
    rows = [row for found in models.values() for row in found.get("rows", [])]
    table: dict[str, Any] = {}
    for kind in CLASSES:
        own = [row for row in rows if row["class"] == kind]
        proved = sum(row["role"] == "branch" for row in own)
        table[kind] = {"proved": proved, "of": len(own), "share": round(proved / len(own), 3) if own else None}
    table["proofs"] = sum(row["role"] == "branch" for row in rows)
    table["asked"] = len(rows)
    table["wrong"] = sum(bool(row["wrong"]) for row in rows)
    table["models"] = sum("rows" in found for found in models.values())
    table["not built"] = {name: found["error"] for name, found in models.items() if "error" in found}
    return table


def run(name: str, build: Build, most: int, inner: int) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, batch = build()
            EMPTY.clear()
            EMPTY.update(path for path, each in model.named_modules() if not any(True for _ in each.parameters()))
            return examined(model, batch, most, inner)
    except (IdentikitError, Exception) as error:  # a zoo entry that does not build is listed with its reason
        if type(error).__name__ != "NotBuilt":
            print(name, "".join(traceback.format_exception_only(error)).strip(), file=sys.stderr)
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--from", dest="sources", default=",".join(SOURCES))
    arguments.add_argument("--only", default="")
    arguments.add_argument("--most", type=int, default=4)
    arguments.add_argument("--inner", type=int, default=5)
    arguments.add_argument("--to", type=Path, default=RESULT)
    given = arguments.parse_args()
    wanted = [name for name in given.only.split(",") if name]
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    result: dict[str, Any] = json.loads(given.to.read_text()) if given.to.exists() else {}
    for source in given.sources.split(","):
        models: dict[str, Any] = result.setdefault(source, {}).setdefault("models", {})
        for name, build in SOURCES[source]():
            if name in models or (wanted and name not in wanted):
                continue
            models[name] = run(name, build, given.most, given.inner)
            rows = models[name].get("rows", [])
            told = Counter(f"{row['class']}:{row['role']}" for row in rows)
            print(source, name, dict(told), [row for row in rows if row["wrong"]] or "", flush=True)
            result[source]["summary"] = summary(models)
            given.to.parent.mkdir(exist_ok=True)
            given.to.write_text(json.dumps(result, indent=1) + "\n")
        print(source, json.dumps(result[source].get("summary", {}) | {"not built": "..."}), flush=True)


if __name__ == "__main__":
    main()
