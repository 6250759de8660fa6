"""From an estimator's arguments and prepared rows to a trained network, and from a network to its predictions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from identikit.errors import TableError
from identikit.nn.tabular_resnet import TabularResNet
from identikit.progress import board
from identikit.tabular.preprocess import Preprocessor
from identikit.tabular.surroundings import device_named, own_randomness, threads
from identikit.tabular.training import History, Loss, Recipe, Rows, Trainer, train

Options = Mapping[str, Any]
_ROWS = 8192  # predicted at once


def fit_network(
    options: Options, preprocessor: Preprocessor, rows: Rows, held_out: Rows | None, *,
    out_features: int, loss: Loss, seed: int,
) -> tuple[TabularResNet, History]:  # fmt: skip
    """A new network, trained until `held_out` says stop. Raises TableError for fewer than two rows."""
    check_enough(rows)
    device = device_named(options["device"])
    with (
        threads(options["n_jobs"]),
        own_randomness(seed, device),
        board(options["progress"]) as bars,
        bars.bar("fit", options["max_epochs"]) as bar,
    ):
        trainer = new_trainer(options, new_network(options, preprocessor, out_features), loss)
        held_out = held_out.to(device) if held_out is not None else None
        history = train(trainer, rows.to(device), held_out, torch.Generator().manual_seed(seed), bar)
    return trainer.averaged.cpu(), history


def one_epoch(options: Options, trainer: Trainer[TabularResNet], rows: Rows, seed: int) -> float:
    """Go once through `rows`; the mean loss. Raises TableError for fewer than two rows."""
    check_enough(rows)
    with threads(options["n_jobs"]), own_randomness(seed, trainer.device):
        return trainer.epoch(rows.to(trainer.device), torch.Generator().manual_seed(seed))


def new_network(options: Options, preprocessor: Preprocessor, out_features: int) -> TabularResNet:
    """A network for the preprocessor's columns, its weights drawn from torch's random state."""
    return TabularResNet(
        preprocessor.in_features,
        out_features,
        blocks=int(options["blocks"]),
        width=int(options["width"]),
        hidden=None if options["hidden"] is None else int(options["hidden"]),
        dropout=float(options["dropout"]),
        residual_dropout=float(options["residual_dropout"]),
        categories=preprocessor.sizes,
    )


def new_trainer(options: Options, network: TabularResNet, loss: Loss) -> Trainer[TabularResNet]:
    """Training from the weights of `network`, which stays as it is."""
    return Trainer(network, loss, recipe_of(options), device_named(options["device"]))


def recipe_of(options: Options) -> Recipe:
    """How to train, by the estimator's arguments."""
    return Recipe(
        learning_rate=float(options["learning_rate"]),
        weight_decay=float(options["weight_decay"]),
        batch_size=None if options["batch_size"] == "auto" else int(options["batch_size"]),
        max_epochs=int(options["max_epochs"]),
        patience=int(options["patience"]),
    )


def check_enough(rows: Rows) -> None:
    """Raise TableError for a single row, of which batch norm can learn nothing."""
    if len(rows) < 2:
        raise TableError(
            "n_samples=1 is too few: batch norm learns from two rows at least. Give more rows, or hold out fewer "
            "(validation_fraction)."
        )


@torch.no_grad()
def outputs(
    options: Options, network: TabularResNet, numbers: torch.Tensor, codes: torch.Tensor | None
) -> npt.NDArray[np.float64]:
    """What the network gives for each row, `[rows, out_features]`.

    In float64: float32 rounds a row differently in another company, and a prediction is to be that of its row alone.
    (Apple's GPUs have no float64; there it is float32.)
    """
    device = device_named(options["device"])
    dtype = torch.float32 if device.type == "mps" else torch.float64
    own = copy.deepcopy(network).to(device, dtype).eval()
    found = []
    with threads(options["n_jobs"]):
        for start in range(0, len(numbers), _ROWS):
            part = slice(start, start + _ROWS)
            given = None if codes is None else codes[part].to(device)
            found.append(own(numbers[part].to(device, dtype), given).cpu().double())
    return torch.cat(found).numpy()
