"""A fitted estimator as a folder: JSON for what it is, safetensors for its numbers; no pickle, nothing of it is run.

`config.json`: format and version, the estimator's class and arguments, its columns and their categories, its targets,
its curves. `weights.safetensors`: the network (`network.*`), the scaling (`scaler.*`), what stands in for a missing
number (`fill`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from identikit import strict_json
from identikit.errors import IdentikitError, SaveError, TableError
from identikit.files import write_text
from identikit.nn.tabular_resnet import TabularResNet
from identikit.saving.folder import proved_folder
from identikit.tabular.estimator import TabularEstimator
from identikit.tabular.fitting import outputs
from identikit.tabular.plain import plain, plain_cell
from identikit.tabular.preprocess import Preprocessor
from identikit.tabular.scaling import restored_scaler

FORMAT, VERSION = "identikit-tabular-resnet", 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OSError, SafetensorError)
Estimator = TypeVar("Estimator", bound=TabularEstimator)


def save_estimator(estimator: TabularEstimator, folder: Path, overwrite: bool) -> None:
    """Write the folder, load it again, and let it appear only if that gives the same bits. Raises SaveError."""
    facts = _facts(estimator)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise SaveError(f"{folder} exists already. Name another folder, or replace it: save(path, overwrite=True).")
    with proved_folder(folder, overwrite) as partial:
        save_file(_tensors(estimator), partial / WEIGHTS, metadata={"format": "pt"})
        write_text(partial / CONFIG, json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
        twin = _twin(estimator, partial)
        if _facts(twin) != facts or not np.array_equal(_proof(twin), _proof(estimator)):
            raise SaveError(f"{type(estimator).__name__} computes something else when loaded again; nothing was saved.")


def _twin(estimator: Estimator, folder: Path) -> Estimator:
    """What was just written, loaded again. Raises SaveError where it cannot be."""
    try:
        return load_estimator(type(estimator), folder)
    except TableError as cause:
        kind, reason = type(estimator).__name__, _reason(cause.__cause__ or cause)
        raise SaveError(f"{kind} could not be loaded again ({reason}); nothing was saved.") from cause


def load_estimator(kind: type[Estimator], folder: Path) -> Estimator:
    """The estimator saved in `folder`. Raises TableError where there is none, one of another kind, or a damaged one."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise TableError(f"{folder} holds no saved estimator: {CONFIG} and {WEIGHTS} are not both there.")
    facts = strict_json.read(folder / CONFIG, "estimator file", TableError)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise TableError(f"{folder} holds something else than an estimator of identikit.tabular.")
    if facts.get("version") != VERSION:
        raise TableError(
            f"{folder} has version {facts.get('version')} of the format, and this identikit reads {VERSION}. "
            "Update identikit, or save the estimator again with this one."
        )
    if facts.get("estimator") != kind.__name__:
        raise TableError(
            f"{folder} holds a {facts.get('estimator')}. Load it with {facts.get('estimator')}.load(path)."
        )
    try:
        estimator = _rebuilt(kind, facts, load_file(folder / WEIGHTS))
        _proof(estimator)
    except (*_DAMAGE, IdentikitError) as cause:
        raise TableError(f"{folder} is damaged ({_reason(cause)}). Save the estimator again.") from cause
    return estimator


def _reason(cause: BaseException) -> str:
    return (" ".join(str(cause).split()) or type(cause).__name__)[:200].rstrip(".")


def _facts(estimator: TabularEstimator) -> dict[str, Any]:
    known = estimator.preprocessor_
    return {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(estimator).__name__,
        "arguments": {name: plain(value, name) for name, value in estimator.get_params(deep=False).items()},
        "columns": {
            "names": plain(getattr(estimator, "feature_names_in_", None), "feature_names_in_"),
            "labels": list(known.labels),
            "numbers": list(known.numbers),
            "marked": list(known.marked),
            "scaling": known.scaling,
            "categories": [
                [number, [plain_cell(each, known.labels[number]) for each in categories]]
                for number, categories in known.categories.items()
            ],
        },
        "target": {name: plain(value, "y") for name, value in estimator._target_state().items()},
        "training": {name: getattr(estimator, name) for name in _CURVES},
    }


_CURVES = ("loss_curve_", "validation_curve_", "n_epochs_", "best_epoch_")


def _tensors(estimator: TabularEstimator) -> dict[str, torch.Tensor]:
    known, network = estimator.preprocessor_, estimator.network_
    found = {"fill": known.fill}
    found |= {f"network.{name}": value for name, value in network.state_dict().items()}
    found |= {f"scaler.{name}": value for name, value in known.scaler.state_dict().items()}
    return {name: value.contiguous().clone() for name, value in found.items()}


def _rebuilt(kind: type[Estimator], facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Estimator:
    columns = facts["columns"]
    estimator = kind(**facts["arguments"])
    known = Preprocessor(
        labels=tuple(columns["labels"]),
        numbers=tuple(columns["numbers"]),
        marked=tuple(columns["marked"]),
        fill=tensors["fill"],
        scaling=columns["scaling"],
        scaler=restored_scaler(columns["scaling"] if columns["numbers"] else None, _below("scaler.", tensors)),
        categories={number: tuple(categories) for number, categories in columns["categories"]},
    )
    estimator.preprocessor_, estimator.n_features_in_ = known, len(known.labels)
    if columns["names"] is not None:
        _expect(isinstance(columns["names"], list) and len(columns["names"]) == len(known.labels), "names")
        estimator.feature_names_in_ = np.array(columns["names"], dtype=object)
    estimator._restore_target(facts["target"])
    estimator.network_ = _network(_below("network.", tensors), known, estimator._out_features(), facts["arguments"])
    _check_training(facts["training"])
    for name in _CURVES:
        setattr(estimator, name, facts["training"][name])
    return estimator


def _check_training(training: dict[str, Any]) -> None:
    for name in ("loss_curve_", "validation_curve_"):
        curve = training[name]
        _expect(isinstance(curve, list) and all(isinstance(loss, float | int) for loss in curve), name)
    for name in ("n_epochs_", "best_epoch_"):
        _expect(type(training[name]) is int, name)


def _expect(holds: bool, name: str) -> None:
    if not holds:
        raise TableError(f'"{name}" is not what was written')


def _network(
    state: dict[str, torch.Tensor], known: Preprocessor, out_features: int, arguments: Mapping[str, Any]
) -> TabularResNet:
    """The network whose weights these are: its sizes are theirs, whatever the arguments say (blocks may be dropped)."""
    hidden, width = state["blocks.0.branch.linear1.weight"].shape
    network = TabularResNet(
        known.in_features,
        out_features,
        blocks=sum(name.endswith(".branch.linear1.weight") for name in state),
        width=width,
        hidden=hidden,
        dropout=arguments["dropout"],
        residual_dropout=arguments["residual_dropout"],
        categories=known.sizes,
    )
    network.load_state_dict(state)
    return network.eval()


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _proof(estimator: TabularEstimator) -> np.ndarray[Any, Any]:
    """What the estimator gives for a made-up table of its kind, on the CPU, wherever it is used."""
    known = estimator.preprocessor_
    return outputs({"device": "cpu", "n_jobs": None}, estimator.network_, *known(known.probe()))
