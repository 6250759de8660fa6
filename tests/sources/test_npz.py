"""Arrays in a .npz file: matched by name, checked, cut into batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.errors import DataError
from identikit.sources import Opened, open_model, read_data


class TwoInputs(nn.Module):
    """Takes numbers and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, values: torch.Tensor, ids: torch.Tensor, **more: Any) -> torch.Tensor:
        return values * self.weight + ids[:, None]


def saved(folder: Path, **arrays: Any) -> Path:
    """The arrays in a file."""
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def refused(file: Path, model: nn.Module) -> str:
    """The message that reading `file` for `model` ends in."""
    with pytest.raises(DataError) as caught:
        read_data(file, Opened(model, "mine"))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_names_of_the_models_arguments(tmp_path: Path) -> None:
    ids = np.arange(4, dtype=np.int32)
    file = saved(tmp_path, ids=ids, values=np.ones((4, 2), np.float32), labels=ids, note=np.ones(1))
    (batch,) = read_data(file, Opened(TwoInputs(), "mine"))
    assert set(batch.kwargs) == {"values", "ids"}
    assert (batch.kwargs["values"].dtype, batch.kwargs["ids"].dtype) == (torch.float64, torch.int64)
    assert batch.target.tolist() == [0, 1, 2, 3]
    assert batch.call(TwoInputs()).shape == (4, 2)


def test_usual_names(tmp_path: Path) -> None:
    file = saved(tmp_path, X=np.ones((3, 2)), target=np.array([0.5, 1, 2]))
    (batch,) = read_data(file, Opened(nn.Linear(2, 2), "mine"))
    assert (batch.args[0].dtype, batch.target.dtype, batch.examples) == (torch.float32, torch.float32, 3)
    (batch,) = read_data(saved(tmp_path, images=np.ones((3, 2))), Opened(nn.Linear(2, 2), "mine"))
    assert batch.target is None


def test_raw_pictures(tmp_path: Path) -> None:
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    file = saved(tmp_path, images=pictures, labels=np.arange(3), classes=np.arange(10))
    assert refused(file, nn.Conv2d(3, 3, 1)) == (
        f'"images" of "{file}" holds raw pictures (uint8, 3x8x8x3, channels last); the model takes real numbers, '
        "channels first, scaled as in its training. Save them so: "
        'images = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype("float32").'
    )
    first = saved(tmp_path, images=pictures.transpose(0, 3, 1, 2))
    assert 'Save them so: images = ((images / 255 - mean) / std).astype("float32").' in refused(
        first, nn.Conv2d(3, 3, 1)
    )


def test_raw_pictures_through_the_models_processor(vit: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (3, 9, 9, 3), dtype=np.uint8)
    opened = open_model(vit)
    (batch,) = read_data(saved(tmp_path, images=pictures, labels=np.array([0, 1, 0])), opened)
    assert batch.kwargs["pixel_values"].shape == (3, 3, 8, 8)
    assert batch.call(opened.model).logits.shape == (3, 2)


def test_names_that_fit_nothing(tmp_path: Path) -> None:
    file = saved(tmp_path, one=np.ones((3, 2)), number=np.array(1))
    assert refused(file, TwoInputs()) == (
        f'"{file}" holds one (3x2), number (one number); the model takes: ids, values. '
        "Name an array after an argument of forward, or x (and y for the target)."
    )


def test_lengths(tmp_path: Path) -> None:
    file = saved(tmp_path, x=np.ones((3, 2)), y=np.ones(4))
    assert refused(file, nn.Linear(2, 2)) == (
        f'the arrays of "{file}" have different numbers of examples: x 3, y 4. Make them equal.'
    )
    empty = saved(tmp_path, x=np.ones((0, 2)))
    assert refused(empty, nn.Linear(2, 2)) == f'"{empty}" holds no examples (x is empty). Give at least one.'


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    file = saved(tmp_path, x=np.ones((3, 2)), y=np.array([0.0, np.nan, np.inf]))
    assert refused(file, nn.Linear(2, 2)) == (
        f'row 2 of "{file}" has no number in "y" (2 of 3 rows). Fill these rows or take them out.'
    )
    file = saved(tmp_path, x=np.array(["a", "b"]))
    assert refused(file, nn.Linear(2, 2)) == f'"x" of "{file}" holds <U1, not numbers. Save numbers.'


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    file = saved(tmp_path, x=np.array([object()]))
    assert refused(file, nn.Linear(2, 2)) == (
        f'"{file}" holds Python objects, which are not read (they can run code). Save arrays of numbers.'
    )
    file.write_bytes(b"no")
    assert refused(file, nn.Linear(2, 2)).endswith("Write it with numpy.savez.")
