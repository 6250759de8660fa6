"""Python objects as data: lists of batches, DataLoaders, Datasets, tables of the `datasets` library."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from identikit.batches import Batch, so_many
from identikit.errors import DataError
from identikit.sources.readings import Data

ROWS = 32
"""The batch size of a table where none is given."""


def as_data(data: Any, *, batch_size: int | None = None, limit: int | None = None, seed: int = 0) -> Data:
    """Batches that can be gone through twice, from what the user has.

    `data`: a list of batches (a tensor, a dict of keyword arguments, or (inputs, target) each), a DataLoader, a torch
    Dataset (with `batch_size`), a table of the `datasets` library, or a Data, which is returned as it is. `limit` keeps
    the first examples. Nothing here is drawn at random: `seed` is taken so that every verb can hand it on.
    Raises DataError for a generator, for one bare batch, for empty data and for what is none of these.
    """
    check_count("limit", limit)
    check_count("batch_size", batch_size)
    if isinstance(data, Data):
        return data if limit is None else Data(lambda: data, name=data.name, reads=data.reads, limit=limit)
    _refuse_single(data)
    _refuse_once(data)
    kind = type(data).__name__
    _refuse_empty(data, kind)
    if is_table(data):
        return _table(data, batch_size or ROWS, limit)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        return _dataset(data, batch_size, limit)
    if batch_size is not None:
        raise DataError(
            f"batch_size={batch_size} is for a Dataset; this {kind} hands out batches already. Leave batch_size out."
        )
    if isinstance(data, Sequence):
        name = f"a {kind} of {so_many(len(data))}"
        return Data(lambda: data, name=name, batches=len(data), limit=limit, kept=True)
    if hasattr(data, "__iter__"):
        return Data(lambda: data, name=f"this {kind}", batches=_length(data), limit=limit)
    raise DataError(
        f"data is a list of batches, a DataLoader, a Dataset or a table of the datasets library; found {kind}. "
        "Wrap it: [(inputs, target)]."
    )


def check_count(name: str, value: int | None) -> None:
    """Raise DataError where a count is given and is not at least 1."""
    if value is not None and value < 1:
        raise DataError(f"{name}={value} keeps nothing. Give 1 or more, or leave it out.")


def _refuse_single(data: Any) -> None:
    """Raise DataError for one bare batch, which would be taken apart into its rows, and for a file name."""
    if isinstance(data, str):
        raise DataError(
            f'"{data}" is a name, not data. Read the file first: '
            "identikit.sources.read_data(file, identikit.sources.open_model(folder))."
        )
    if isinstance(data, (torch.Tensor, Batch, np.ndarray)) or (isinstance(data, Mapping) and not is_table(data)):
        raise DataError(f"data is a list of batches; this is one {type(data).__name__}. Wrap it: [batch].")
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(item, (torch.Tensor, Mapping)) for item in data):
        raise DataError("data is a list of batches; this is one (inputs, target). Wrap it: [(inputs, target)].")


def _refuse_once(data: Any) -> None:
    """Raise DataError for what can be gone through only once."""
    if isinstance(data, Iterator):
        raise DataError(
            f"data is a {type(data).__name__}, which can be gone through only once; "
            "two readings are needed. Use list(...) to keep the batches."
        )


def _refuse_empty(data: Any, kind: str) -> None:
    """Raise DataError for data of length 0."""
    if _length(data) == 0:
        raise DataError(f"data is empty: this {kind} has length 0. Give at least one example.")


def _length(data: Any) -> int | None:
    """`len(data)`, or None where it has none."""
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


def is_table(data: Any) -> bool:
    """Whether `data` is a table of the `datasets` library (which is then loaded already)."""
    library = sys.modules.get("datasets")
    return library is not None and isinstance(data, (library.Dataset, library.IterableDataset, library.DatasetDict))


def _dataset(data: Dataset[Any], batch_size: int | None, limit: int | None) -> Data:
    """The batches of a map-style Dataset, in its order."""
    if batch_size is None:
        raise DataError(f"a {type(data).__name__} hands out single examples. Say how many make a batch: batch_size=32.")
    loader: DataLoader[Any] = DataLoader(data, batch_size=batch_size, shuffle=False)
    return Data(lambda: loader, name=f"this {type(data).__name__}", batches=_length(loader), limit=limit)


def _table(data: Any, batch_size: int, limit: int | None) -> Data:
    """The batches of a table: its numeric columns by name; `label` is called labels, as in transformers' collator."""
    if hasattr(data, "keys"):
        raise DataError(f"this table has several splits ({', '.join(data)}). Take one: data[{next(iter(data))!r}].")
    features = data.features or {}
    texts = [name for name, feature in features.items() if getattr(feature, "dtype", "") in ("string", "large_string")]
    if texts:
        raise DataError(
            f'column "{texts[0]}" of this table is text, which a model cannot read. Tokenise it and take it out: '
            f"data.map(tokenizer, input_columns={texts[0]!r}, remove_columns={texts})."
        )
    rows = data.with_format("torch")

    def batches() -> Iterator[dict[str, Any]]:
        for chunk in rows.iter(batch_size=batch_size):
            named = {"labels" if name in ("label", "label_ids") else name: value for name, value in chunk.items()}
            yield {name: _stacked(name, value) for name, value in named.items()}

    count = _length(data)
    expected = None if count is None else -(-count // batch_size)
    return Data(batches, name="this table", batches=expected, limit=limit)


def _stacked(name: str, value: Any) -> Any:
    """The rows of a column as one tensor. Raises DataError where they differ in length."""
    if isinstance(value, torch.Tensor):
        return value
    try:
        return default_collate(list(value))
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f'the rows of column "{name}" cannot be stacked (different lengths?). '
            'Pad them, tokenizer(..., padding="max_length"), or hand over a DataLoader with a collate_fn.'
        ) from error
