"""FILE, as a user names it, read and turned into batches for an opened model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from identikit.batches import Batch
from identikit.errors import DataError, did_you_mean
from identikit.functions import call_function, names_function
from identikit.sources.blocks import block_batches
from identikit.sources.columns import Roles, roles_of
from identikit.sources.encode import IGNORED, padding_id, with_decoder
from identikit.sources.npz import npz_batches
from identikit.sources.objects import as_data, check_count, is_table
from identikit.sources.opened import CAUSAL, TEXT_TO_TEXT, Opened
from identikit.sources.readings import Data
from identikit.sources.tables import Table, read_table
from identikit.sources.targets import target_of, texts_of

__all__ = ["Data", "as_data", "read_data"]


def read_data(
    file: str | Path,
    opened: Opened,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    target: str | None = None,
    no_header: bool = False,
    batch_size: int = 32,
    max_length: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Data:
    """The batches of `file` for the model `opened`, in the file's order, encoded once and kept.

    `file`: .csv, .tsv, .jsonl, .json, .parquet, .txt, .npz, a folder of pictures, or `file.py:function` that returns
    batches, a DataLoader or a Dataset (it may name the arguments model, tokenizer, batch_size, max_length, limit and
    seed). `text`, `text_pair` and `target` name columns, numbers in a file without a header; what is plain is inferred.
    Text is padded per batch and cut at `max_length` tokens (default: the model's own maximum). `limit` keeps the first
    examples. Raises DataError, in one line, for everything that does not fit.
    """
    for name, count in (("--batch-size", batch_size), ("--max-length", max_length), ("--limit", limit)):
        check_count(name, count)
    if max_length is not None and opened.longest is not None and max_length > opened.longest:
        raise DataError(f"--max-length {max_length} is more than the model reads. Give at most {opened.longest}.")
    if names_function(str(file)):
        offers = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
        return _from_function(str(file), {"model": opened.model, "tokenizer": opened.tokenizer, **offers})
    path = _existing(file)
    if path.suffix.lower() == ".npz":
        batches, reads = npz_batches(path, opened, batch_size=batch_size, limit=limit)
        return _kept(batches, path, reads)
    causal = opened.task in CAUSAL
    names = [name for name in (text, text_pair, target) if name is not None]
    rows = None if causal else limit
    table = read_table(path, limit=rows, no_header=no_header, names=names, whole_text=causal)
    roles = roles_of(table, opened, text=text, text_pair=text_pair, target=target)
    if causal and roles.text is not None:
        texts = texts_of(table, roles.text)
        blocks = block_batches(texts, opened, name=str(path), batch_size=batch_size, max_length=max_length, limit=limit)
        return _kept(blocks, path, f"{roles} in blocks of at most {max(_width(block) for block in blocks)} tokens")
    return _kept(list(_encoded(table, roles, opened, batch_size, max_length)), path, str(roles))


def _encoded(table: Table, roles: Roles, opened: Opened, batch_size: int, max_length: int | None) -> Iterator[Batch]:
    """The rows of a table as batches."""
    texts = texts_of(table, roles.text) if roles.text is not None else None
    pairs = texts_of(table, roles.text_pair) if roles.text_pair is not None else None
    written = opened.task in TEXT_TO_TEXT
    answers: Any = None
    if roles.target is not None:
        answers = (texts_of if written else target_of)(table, roles.target, *(() if written else (opened,)))
    for start in range(0, len(table), batch_size):
        part = slice(start, start + batch_size)
        answer = None if answers is None else answers[part]
        if texts is None:
            yield replace(_pictures(table, roles, opened, part), target=answer)
            continue
        assert opened.encode is not None  # roles_of refuses text for a model without a tokenizer
        batch = opened.encode(texts[part], None if pairs is None else pairs[part], max_length=max_length)
        yield _to_write(batch, answer, opened, max_length) if written and answer else replace(batch, target=answer)


def _pictures(table: Table, roles: Roles, opened: Opened, part: slice) -> Batch:
    """A batch of pictures."""
    assert opened.encode_images is not None  # roles_of names pictures only for a model that takes them
    assert roles.image is not None
    try:
        images = table.rows[part][roles.image]
    except Exception as error:  # whatever the library of pictures raises: one of them is damaged, or too large
        said = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f'a picture of "{table.name}" cannot be read ({type(error).__name__}: {said}).') from error
    if any(image is None for image in images):
        raise DataError(f'"{table.name}" has rows without a picture in "{roles.image}". Take them out.')
    return opened.encode_images(images)


def _to_write(batch: Batch, answers: list[str], opened: Opened, max_length: int | None) -> Batch:
    """A batch whose target is a text: its tokens, and the decoder reads them moved one to the right."""
    limit = max_length or opened.longest
    rows = opened.tokenizer(text_target=answers, truncation=limit is not None, max_length=limit)["input_ids"]
    longest = max(map(len, rows))
    target = torch.tensor([[*row, *[IGNORED] * (longest - len(row))] for row in rows])
    read = target.masked_fill(target == IGNORED, padding_id(opened.tokenizer))
    return replace(batch, kwargs=with_decoder(opened.model, dict(batch.kwargs), read), target=target)


def _from_function(spec: str, offers: dict[str, Any]) -> Data:
    """What a user's function returns, as data."""
    made = call_function(spec, offers, error=DataError)
    if isinstance(made, Data):
        return made
    single = (isinstance(made, Dataset) and not isinstance(made, IterableDataset)) or is_table(made)
    try:
        data = as_data(made, batch_size=offers["batch_size"] if single else None, limit=offers["limit"])
    except DataError as error:
        raise DataError(f'"{spec}": {error}') from error
    data.name = spec
    return data


def _existing(file: str | Path) -> Path:
    """The path of a file that is there."""
    path = Path(file).expanduser()
    if not path.exists():
        beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise DataError(f'no file "{file}"{where}.{did_you_mean(path.name, beside)}')
    return path


def _kept(batches: list[Batch], path: Path, reads: str) -> Data:
    """Batches that stay in memory."""
    return Data(lambda: batches, name=str(path), reads=reads, batches=len(batches), kept=True)


def _width(batch: Batch) -> int:
    """The tokens in a row."""
    return int(batch.kwargs["input_ids"].shape[1])
