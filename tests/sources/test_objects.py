"""Python objects as data: what is taken, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.sources import as_data

X, Y = torch.arange(20.0).view(10, 2), torch.arange(10)


def refused(data: Any, **options: Any) -> str:
    """The message that `data` ends in."""
    with pytest.raises(DataError) as caught:
        list(as_data(data, **options))
    message = str(caught.value)
    assert "\n" not in message
    return message


class Rows(Dataset[Any]):
    """A map-style dataset of dicts."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": X[index], "labels": Y[index]}


class Stream(IterableDataset[Any]):
    """A dataset that can be gone through again and again."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter([X[:5], X[5:]])


def test_a_list_of_batches() -> None:
    data = as_data([(X[:4], Y[:4]), (X[4:], Y[4:])])
    assert (len(data), data.examples, data.name) == (2, 10, "a list of 2 batches")
    assert [batch.examples for batch in data] == [4, 6]
    assert next(iter(data)).target.tolist() == [0, 1, 2, 3]


def test_a_loader() -> None:
    data = as_data(DataLoader(TensorDataset(X, Y), batch_size=4))
    assert len(data) == 3
    assert [batch.examples for batch in data] == [4, 4, 2]
    assert torch.equal(torch.cat([batch.args[0] for batch in data]), X)


def test_a_dataset_in_its_order() -> None:
    data = as_data(Rows(), batch_size=4)
    assert [batch.examples for batch in data] == [4, 4, 2]
    first = next(iter(data))
    assert torch.equal(first.kwargs["x"], X[:4])
    assert torch.equal(first.target, Y[:4])


def test_a_stream_that_starts_anew() -> None:
    data = as_data(Stream())
    assert data.examples == 10
    assert len(list(data)) == 2


def test_a_table() -> None:
    from datasets import Dataset as Table

    table = Table.from_dict({"x": X.tolist(), "label": Y.tolist()})
    data = as_data(table, batch_size=4)
    assert (len(data), data.examples) == (3, 10)
    first = next(iter(data))
    assert set(first.kwargs) == {"x", "labels"}
    assert torch.equal(first.kwargs["x"], X[:4])
    assert torch.equal(first.target, Y[:4])
    assert len(as_data(table)) == 1


def test_limit_keeps_the_first_examples() -> None:
    for source in ([(X[:4], Y[:4]), (X[4:], Y[4:])], DataLoader(TensorDataset(X, Y), batch_size=4)):
        data = as_data(source, limit=6)
        assert [batch.examples for batch in data] == [4, 2]
        assert torch.cat([batch.target for batch in data]).tolist() == [0, 1, 2, 3, 4, 5]
        assert (len(data), data.examples) == (2, 6)
    assert as_data([X], limit=99).examples == 10


def test_data_stays_as_it_is() -> None:
    data = as_data([X])
    assert as_data(data) is data
    assert as_data(data, limit=3).examples == 3


def test_a_generator() -> None:
    assert refused(x for x in [X]) == (
        "data is a generator, which can be gone through only once; two readings are needed. "
        "Use list(...) to keep the batches."
    )
    assert "which can be gone through only once" in refused(iter([X]))
    assert "which can be gone through only once" in refused(map(torch.neg, [X]))


def test_a_dataset_without_a_batch_size() -> None:
    assert refused(Rows()) == "a Rows hands out single examples. Say how many make a batch: batch_size=32."


def test_a_batch_size_for_batches() -> None:
    assert refused([X], batch_size=2) == (
        "batch_size=2 is for a Dataset; this list hands out batches already. Leave batch_size out."
    )


def test_one_bare_batch() -> None:
    assert refused(X) == "data is a list of batches; this is one Tensor. Wrap it: [batch]."
    assert refused({"x": X}) == "data is a list of batches; this is one dict. Wrap it: [batch]."
    assert refused(Batch((X,), examples=10)) == "data is a list of batches; this is one Batch. Wrap it: [batch]."
    assert refused((X, Y)) == ("data is a list of batches; this is one (inputs, target). Wrap it: [(inputs, target)].")


def test_other_things() -> None:
    assert refused(3) == (
        "data is a list of batches, a DataLoader, a Dataset or a table of the datasets library; found int. "
        "Wrap it: [(inputs, target)]."
    )
    assert refused("train.csv") == (
        '"train.csv" is a name, not data. Read the file first: '
        "identikit.sources.read_data(file, identikit.sources.open_model(folder))."
    )
    assert refused([X, 3]) == (
        "the 2nd batch of a list of 2 batches: a batch is a tensor, a dict of keyword arguments or (inputs, target); "
        "found int. Wrap it: (inputs, target), or {'name': tensor} for several inputs."
    )


def test_empty_data() -> None:
    assert refused([]) == "data is empty: this list has length 0. Give at least one example."
    assert refused(TensorDataset(X[:0]), batch_size=2) == (
        "data is empty: this TensorDataset has length 0. Give at least one example."
    )
    assert refused([X[:0]]) == "the 1st batch of a list of 1 batch holds no example. Leave empty batches out."

    class Nothing(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter(())

    assert refused(Nothing()) == "this Nothing is empty: it holds no batch. Give at least one example."


def test_counts() -> None:
    assert refused([X], limit=0) == "limit=0 keeps nothing. Give 1 or more, or leave it out."
    assert refused(Rows(), batch_size=-1) == "batch_size=-1 keeps nothing. Give 1 or more, or leave it out."


def test_tables_that_no_model_reads() -> None:
    from datasets import Dataset as Table
    from datasets import DatasetDict

    texts = Table.from_dict({"sentence": ["a", "b"], "label": [0, 1]})
    assert refused(texts) == (
        'column "sentence" of this table is text, which a model cannot read. Tokenise it and take it out: '
        "data.map(tokenizer, input_columns='sentence', remove_columns=['sentence'])."
    )
    assert refused(DatasetDict(train=texts)) == "this table has several splits (train). Take one: data['train']."
    ragged = Table.from_dict({"input_ids": [[1, 2], [3]]})
    assert refused(ragged) == (
        'the rows of column "input_ids" cannot be stacked (different lengths?). '
        'Pad them, tokenizer(..., padding="max_length"), or hand over a DataLoader with a collate_fn.'
    )
