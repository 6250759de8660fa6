"""Any layer of any timm family: bypassed as the identity, removed, saved, and loaded again by timm itself.

    python benchmarks/timm_models.py [--rows FOLDER] [--files resnet,swin_transformer] [--only bypass|remove]
                                     [--numbers MILLIONS] [--kept]

One model for each of timm's files, the one with the fewest parameters, with weights drawn at random. Two questions:

bypass: of all modules that keep the shape of what they take, a seed draws 2,432 (as many as `nn.Identity` was tried on,
    before identikit was). Each is bypassed with `as_="identity"`. Where the model has at most `--numbers` million
    parameters its output is compared with the plain reference: the module's forward replaced by one that returns a copy
    of its input. Larger ones are on the meta device, where "runs" is all that can be said.
remove: the first, the middle and the last whole block that a stage can spare is removed, the model is saved, and timm
    loads the folder (`timm.create_model("local-dir:...", pretrained=True)`). Where no constructor can say what is left,
    the plan is saved and loaded. Either has to compute what the reference computes.

Rows already in FOLDER (one file per timm file) are not computed again. Writes benchmarks/results/timm_models.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import _registry
from torch import nn

import identikit as ik
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.structure.compare import difference
from identikit.structure.trees import leaves
from identikit.surgery.choose import plan_for
from identikit.surgery.install import install

DRAWN, SEED = 2432, 0
TRIED = 8  # models of a file in which a stage that can spare a block is looked for
RESULT = Path(__file__).parent / "results" / "timm_models.json"
Row = dict[str, Any]


def by_size() -> dict[str, list[tuple[int, str]]]:
    """The models of each of timm's files with their parameters, the smallest first."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    old = timm.models.get_deprecated_models()  # names that stand for another model, some for none any more
    for name, file in sorted(_registry._model_to_module.items()):
        if name in old:
            continue
        found[file].append((sum(parameter.numel() for parameter in _empty(name).parameters()), name))
    return {file: sorted(models)[:TRIED] for file, models in found.items()}


def _empty(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name).eval()


def built(name: str) -> nn.Module:
    """The model with weights in which every layer makes a difference: fresh ones are often zero at a branch's end."""
    torch.manual_seed(SEED)
    model = timm.create_model(name).eval()
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    for scale in (0.3, 0.1, 0.03, 0.0):
        model.load_state_dict(fresh)
        with torch.no_grad():
            for parameter in model.parameters():
                spread = parameter.std() if parameter.numel() > 1 and parameter.std() > 0 else 0.3
                parameter.add_(torch.randn_like(parameter) * scale * spread)
        found = [leaf for _, leaf in leaves(anatomy_of(model).watched.output) if isinstance(leaf, torch.Tensor)]
        if not scale or all(bool(leaf.isfinite().all()) for leaf in found):
            return model
    raise AssertionError("unreachable")


@contextmanager
def plainly_bypassed(model: nn.Module, path: str) -> Iterator[None]:
    """The reference: the module returns copies of the tensors that it is given, then what more it makes.

    Where it makes one tensor, the first of its shape (CaiT's last blocks take the picture and the class token).
    """
    module = model.get_submodule(path)
    own, held = module.forward, vars(module).get("forward")

    def plain(*args: Any, **kwargs: Any) -> Any:
        given = [value.clone() for _, value in leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        made = own(*copy.deepcopy(args), **kwargs)  # HRNet's modules write into the list that they take
        if isinstance(made, torch.Tensor):
            return next(value for value in given if value.shape == made.shape)
        return type(made)([*given, *made[len(given) :]][: len(made)])

    module.__dict__["forward"] = plain
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if held is not None:  # FasterNet's constructor chooses one of its methods
            module.__dict__["forward"] = held


def keeps_shape(anatomy: Anatomy, path: str) -> bool:
    """Whether every call of the module returns one tensor, like the first that it takes."""
    calls = anatomy.watched.by_path.get(path, [])
    taken = [next((value for _, value in call.tensors_in()), None) for call in calls]
    return bool(calls) and all(
        isinstance(call.output, torch.Tensor) and each is not None and call.output.shape == each.shape
        for call, each in zip(calls, taken, strict=True)
    )


def bypasses(name: str, real: bool, share: int) -> Row:
    """One model: which of its modules keep the shape, and what bypassing `share` of them (drawn by the seed) does."""
    model = built(name) if real else _empty(name)
    anatomy = anatomy_of(model)
    fitting = [path for path in anatomy.paths if keeps_shape(anatomy, path)]
    drawn = sorted(random.Random(f"{SEED} {name}").sample(fitting, min(share, len(fitting))))
    outcomes = {path: _bypassed(anatomy, path) for path in drawn}
    return {"model": name, "meta": not real, "fitting": len(fitting), "drawn": outcomes}


def _bypassed(anatomy: Anatomy, path: str) -> str:
    model = anatomy.model
    try:
        with install(anatomy, plan_for(anatomy, [path], "identity")) as handle:
            got = handle.output
    except ik.IdentikitError as refusal:
        return f"refused: {type(refusal).__name__}: {refusal}"
    except Exception as crash:
        return f"crash: {type(crash).__name__}: {crash}"
    if any(parameter.is_meta for parameter in model.parameters()):
        return "runs"
    with plainly_bypassed(model, path):
        expected = anatomy.run()
    return "runs" if difference(got, expected) <= 1 else "wrong"


def removals(names: list[str]) -> Row:
    """The first model with a block to spare: what becomes of its first, its middle and its last one."""
    name, blocks = next(((name, found) for name in names if (found := _in_stages(name))), (names[0], []))
    where = {"first": 0, "middle": len(blocks) // 2, "last": -1}
    chosen = {word: blocks[place] for word, place in where.items()} if blocks else {}
    outcomes = {path: _removed(name, path) for path in dict.fromkeys(chosen.values())}
    return {"model": name, "blocks": len(blocks), "removed": {w: [p, *outcomes[p]] for w, p in chosen.items()}}


def _in_stages(name: str) -> list[str]:
    """The whole blocks of which a model has several of one class: no single stage, no convolution of a stem."""
    model = _empty(name)
    blocks = anatomy_of(model).blocks()
    kinds = Counter(type(model.get_submodule(path)) for path in blocks)
    own = [path for path in blocks if not type(model.get_submodule(path)).__module__.startswith("torch.")]
    return [path for path in own if kinds[type(model.get_submodule(path))] > 1] or own


def _removed(name: str, path: str) -> tuple[str, str]:
    """What became of the block: "checkpoint", "plan", "refused", "wrong" or "crash"; and the reason."""
    model = built(name)
    batch = anatomy_of(model).batch
    with plainly_bypassed(model, path), torch.no_grad():
        expected = batch.copied().call(model)
    folder = Path(tempfile.mkdtemp())
    try:
        ik.remove(model, path)
        try:
            ik.save(model, folder / "saved")
            load: Callable[[], nn.Module] = lambda: timm.create_model(f"local-dir:{folder}/saved", pretrained=True)  # noqa: E731
            outcome, why = "checkpoint", ""
        except ik.IdentikitError as refusal:
            ik.save(model, folder / "saved", format="plan")
            load, outcome, why = (lambda: ik.load(folder / "saved")), "plan", str(refusal)
        with torch.no_grad():
            same = difference(batch.copied().call(load().eval()), expected) <= 1
        return (outcome, why) if same else ("wrong", f"{outcome}: computes something else")
    except ik.IdentikitError as refusal:
        return "refused", f"{type(refusal).__name__}: {refusal}"
    except Exception as crash:
        return "crash", f"{type(crash).__name__}: {crash}"
    finally:
        shutil.rmtree(folder)


def kept(file: Path, make: Callable[[], Row]) -> Row:
    """The row in `file`, computed where it is not there."""
    if not file.is_file():
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = make()
        file.write_text(json.dumps({**row, "seconds": round(time.perf_counter() - began, 1)}, indent=1))
    return dict(json.loads(file.read_text()))


def summary(bypassed: dict[str, Row], removed: dict[str, Row]) -> dict[str, Any]:
    """The counts of both questions, and every case that is not the best one."""
    drawn = [(row["model"], path, how) for row in bypassed.values() for path, how in row["drawn"].items()]
    words = Counter(how.partition(":")[0] for _, _, how in drawn)
    out: dict[str, Any] = {
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "identikit": ik.__version__},
        "bypass": {
            "files": len(bypassed),
            "modules": len(drawn),
            "compared with numbers": sum(len(row["drawn"]) for row in bypassed.values() if not row["meta"]),
            **dict(sorted(words.items())),
            "not run": [f"{model} {path}: {how}" for model, path, how in drawn if how != "runs"],
        },
        "remove": {},
    }
    for word in ("first", "middle", "last"):
        found = [row["removed"].get(word, [None, "no block"])[1] for row in removed.values()]
        out["remove"][word] = dict(sorted(Counter(found).items()))
    out["remove"]["files"] = {
        file: {"model": row["model"], "blocks": row["blocks"], **{w: v[:2] for w, v in row["removed"].items()}}
        for file, row in sorted(removed.items())
    }
    return out


def table(result: dict[str, Any]) -> str:
    """Both results as Markdown."""
    bypass, remove = result["bypass"], result["remove"]
    share = bypass.get("runs", 0) / max(1, bypass["modules"])
    kinds = ("checkpoint", "plan", "refused", "no block", "wrong", "crash")
    lines = [
        f"{bypass['modules']} modules of {bypass['files']} files: {bypass.get('runs', 0)} run ({share:.2%}), "
        + ", ".join(f"{bypass.get(word, 0)} {word}" for word in ("refused", "wrong", "crash")),
        "",
        "| block removed | " + " | ".join(kinds) + " |",
        "|---|" + "---:|" * len(kinds),
    ]
    for word in ("first", "middle", "last"):
        lines.append(f"| {word} | " + " | ".join(str(remove[word].get(kind, 0)) for kind in kinds) + " |")
    return "\n".join(lines)


def shares(models: dict[str, list[list[Any]]], rows: Path) -> int:
    """How many modules to draw of each model so that all together are at least `DRAWN`."""
    sizes: dict[str, int] = {}
    for file, ((_, name), *_) in models.items():
        anatomy = kept(rows / f"fitting-{file}.json", lambda name=name: {"fitting": _fitting(name)})  # type: ignore[misc]
        sizes[file] = anatomy["fitting"]
    share = 1
    while sum(min(share, size) for size in sizes.values()) < DRAWN and share < max(sizes.values(), default=0):
        share += 1
    return share


def _fitting(name: str) -> int:
    anatomy = anatomy_of(_empty(name))
    return sum(keeps_shape(anatomy, path) for path in anatomy.paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=Path(tempfile.gettempdir()) / "identikit-timm")
    parser.add_argument("--files", default="", help="only these files of timm")
    parser.add_argument("--only", choices=("bypass", "remove"), default=None)
    parser.add_argument("--numbers", type=float, default=30, metavar="MILLIONS")
    parser.add_argument("--kept", action="store_true", help="compute nothing: sum up the rows that are there")
    options = parser.parse_args()
    rows: Path = options.rows
    rows.mkdir(parents=True, exist_ok=True)
    models = kept(rows / "sizes.json", lambda: {"models": by_size()})["models"]
    wanted = options.files.split(",") if options.files else sorted(models, key=lambda file: models[file][0])
    share = shares(models, rows) if options.only != "remove" and not options.kept else 0
    bypassed: dict[str, Row] = {}
    removed: dict[str, Row] = {}
    for file in wanted:
        real = models[file][0][0] <= options.numbers * 1e6
        names = [name for _, name in models[file]]
        questions = {
            "bypass": (bypassed, partial(bypasses, names[0], real, share)),
            "remove": (removed, partial(removals, names)),
        }
        for word, (found, ask) in questions.items():
            place = rows / f"{word}-{file}.json"
            if options.only in (None, word) and (place.is_file() or not options.kept):
                found[file] = kept(place, ask)
                print(file, word, found[file]["seconds"], flush=True)
    result = summary(bypassed, removed)
    if not options.files and options.only is None:
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
