"""The part `tabular` of benchmarks/quality.py: a table's ResNet of 8 blocks, how many it can do without.

California Housing in parts of 64, 16 and 20 %, as in benchmarks/tabular.py: trained on the first, stopped early and
pruned by the second, judged on the third. The curve is the test RMSE with 0 to 7 blocks gone over that with none;
a second one has batch norm's statistics estimated anew on the rows trained on, after the removal.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality_after import FORMS, made_up_for
from quality_case import Gone, Subject
from quality_ours import chosen
from quality_rivals import RIVALS
from torch import nn

from identikit.batches import Batch
from identikit.metrics import resolve
from identikit.tabular import ResNetRegressor
from identikit.tabular.columns import read_table
from tabular import housing, parted

BLOCKS = 8
SEEDS = 2
WITHIN, AT_LEAST = 1.01, 2  # times the full RMSE; blocks gone
OURS = "ours greedy"
ROWS = 1024  # of a batch to fit on
TRAINED = {"as it is": {}, "residual_dropout=0.2": {"residual_dropout": 0.2}}


def fitted(parts: list[Any], seed: int, options: dict[str, Any]) -> ResNetRegressor:
    train, valid, _ = parts
    model = ResNetRegressor(blocks=BLOCKS, random_state=seed, **options)
    return model.fit(*train, X_val=valid[0], y_val=valid[1])


def subject(model: ResNetRegressor, part: Any, train: Any) -> Subject:
    """The network's blocks, judged by the squared error on the rows of `part`."""
    X, y = part  # noqa: N806
    numbers, _ = model.preprocessor_(read_table(X))
    rows, _ = model.preprocessor_(read_table(train[0]))
    return Subject(
        name="housing", model=model.network_.eval(), metric=resolve("loss:squared"),
        batches=[Batch(args=(numbers,), target=standardised(model, y), examples=len(y))],
        layers=tuple(f"blocks.{number}" for number in range(BLOCKS)),
        loss=lambda output, batch: nn.functional.mse_loss(output, batch.target),
        settle=lambda smaller: settle(smaller, rows),
    )  # fmt: skip


def batches(model: ResNetRegressor, part: Any) -> list[Batch]:
    """The rows of `part`, to fit on."""
    numbers, _ = model.preprocessor_(read_table(part[0]))
    pairs = zip(numbers.split(ROWS), standardised(model, part[1]).split(ROWS), strict=True)
    return [Batch(args=(rows,), target=target, examples=len(rows)) for rows, target in pairs]


def standardised(model: ResNetRegressor, y: Any) -> torch.Tensor:
    return torch.from_numpy((y - model.target_mean_) / model.target_scale_).float()[:, None]


def settle(network: nn.Module, rows: torch.Tensor) -> None:
    """Batch norm's statistics from the rows trained on, as one batch."""
    for each in network.modules():
        if isinstance(each, nn.BatchNorm1d):
            each.reset_running_stats()
            each.momentum = 1.0
            each.train()
    with torch.no_grad():
        network(rows)
    network.eval()


def rmse(model: ResNetRegressor, network: nn.Module, part: Any) -> float:
    """Of the estimator with this network in it."""
    other = copy.copy(model)
    other.network_ = network
    return float(np.sqrt(np.mean((other.predict(part[0]) - part[1]) ** 2)))


def curve(model: ResNetRegressor, parts: list[Any]) -> dict[str, dict[str, list[float]]]:
    """For each method the test RMSE with 0 to 7 blocks gone, over the full one; the validation one of ours beside."""
    train, valid, test = parts
    about = subject(model, valid, train)
    plain = dataclasses.replace(about, settle=id)
    plain.check()
    full = {name: rmse(model, about.model, part) for name, part in {"test": test, "validation": valid}.items()}
    ours = {OURS: chosen(about, BLOCKS - 1, about.metric, "greedy")}
    rivals = {name: {drop: rival(about, drop) for drop in range(1, BLOCKS)} for name, rival in RIVALS.items()}
    found: dict[str, dict[str, list[float]]] = {}
    done: dict[Gone, dict[str, float]] = {}
    for name, sets in {**ours, **rivals}.items():
        line: dict[str, list[float]] = {"test": [1.0], "statistics anew": [1.0], "validation": [1.0]}
        for gone in sets.values():
            if gone not in done:
                network = plain.smaller(gone)
                done[gone] = {
                    "test": rmse(model, network, test) / full["test"],
                    "statistics anew": rmse(model, about.smaller(gone), test) / full["test"],
                    "validation": rmse(model, network, valid) / full["validation"],
                }
            for which, value in done[gone].items():
                line[which].append(value)
        found[name] = line
    for form in FORMS:
        networks = [about.model]
        for gone in ours[OURS].values():
            networks.append(made_up_for(plain, gone, form, plain.metric, batches(model, train)))
        found[f"{OURS}, {form}"] = {
            which: [rmse(model, network, part) / full[which] for network in networks]
            for which, part in {"test": test, "validation": valid}.items()
        }
    found["full"] = {"test": [full["test"]]}
    return found


def tabular(folder: Path) -> dict[str, Any]:
    """The curves of three seeds, averaged; how many blocks each seed can do without, chosen on the validation rows."""
    X, y = housing(folder)  # noqa: N806
    found: dict[str, Any] = {"goals": []}
    for name, options in TRAINED.items():
        runs = []
        for seed in range(SEEDS):
            parts = parted(X, y, seed)
            runs.append(curve(fitted(parts, seed, options), parts))
        found[name] = averaged(runs)
        for way in (OURS, *(f"{OURS}, {form}" for form in FORMS)):
            picked = [furthest(run[way]) for run in runs]
            found[name][f"{way}: furthest within 1 % on the validation rows"] = picked
            met = all(each["gone"] >= AT_LEAST and each["test"] <= WITHIN for each in picked)
            goal = f"{name}, {way}: {AT_LEAST} of {BLOCKS} gone within 1 %"
            found["goals"].append(f"{goal}: {'met' if met else 'missed'}")
    return found


def furthest(line: dict[str, list[float]]) -> dict[str, float]:
    """The most blocks whose absence the validation rows allow, and what the test rows say of that network."""
    gone = max(number for number, ratio in enumerate(line["validation"]) if ratio <= WITHIN)
    return {"gone": gone, **{which: round(values[gone], 4) for which, values in line.items()}}


def averaged(runs: list[dict[str, dict[str, list[float]]]]) -> dict[str, Any]:
    return {
        name: {
            which: [round(statistics.mean(each), 4) for each in zip(*(run[name][which] for run in runs), strict=True)]
            for which in runs[0][name]
        }
        for name in runs[0]
    }
