"""A file as a table: columns of values, read through the `datasets` library without a cache left behind."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identikit.errors import DataError, needs_extra

CSV = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
TEXT = (".txt", ".text")


@dataclass(frozen=True)
class Table:
    """Named columns of equal length. `header`: the names stand in the file (else they are 0, 1, 2)."""

    name: str
    rows: Any
    header: bool = True

    @property
    def columns(self) -> list[str]:
        """The names, in order."""
        return list(self.rows.column_names)

    def __getitem__(self, column: str) -> list[Any]:
        return list(self.rows[column])

    def __len__(self) -> int:
        return len(self.rows)


def read_table(
    file: Path,
    *,
    limit: int | None = None,
    no_header: bool = False,
    names: Sequence[str] = (),
    whole_text: bool = False,
) -> Table:
    """The table in `file`, its first `limit` rows. A first row that holds one of `names` is a header.

    `whole_text`: a text file is one row, else a row a line.
    Raises DataError where it is empty, damaged or of an unknown kind.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise needs_extra("datasets", "hf", f'reading "{file}"') from error
    suffix = file.suffix.lower()
    if file.is_dir():
        return _pictures(file, limit)
    if file.stat().st_size == 0:
        raise DataError(f'"{file}" is empty. Give at least one row.')
    header = True
    options: dict[str, Any] = {}
    with _reading(file) as cache:
        if suffix in CSV:
            separator, header = look_at_csv(file, names)
            header = header and not no_header
            # Only an empty cell is missing: "NA" and "null" are words.
            options = {"sep": separator, "header": 0 if header else None, "keep_default_na": False, "na_values": [""]}
            reader = Dataset.from_csv
        elif suffix in JSON:
            reader = Dataset.from_json
        elif suffix in PARQUET:
            reader = Dataset.from_parquet
        elif suffix in TEXT:
            options = {"sample_by": "document" if whole_text else "line"}
            reader = Dataset.from_text
        else:
            raise DataError(_unknown(file))
        rows = _holding_its_pictures(reader(str(file), cache_dir=cache, keep_in_memory=True, **options), file)
    if suffix in TEXT and not whole_text:
        rows = rows.select([index for index, line in enumerate(rows["text"]) if line.strip()], keep_in_memory=True)
    return _first(Table(str(file), rows, header), limit)


def look_at_csv(file: Path, names: Sequence[str] = ()) -> tuple[str, bool]:
    """The separator of a CSV file, and whether its first row names the columns (one of `names` in it says so)."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
        separator = CSV[file.suffix.lower()]
        if separator not in first:
            separator = next((other for other in (";", "\t") if other in first), separator)
        lines.seek(0)
        rows = [row for row, _ in zip(csv.reader(lines, delimiter=separator), range(50), strict=False) if row]
    if not rows:
        return separator, False
    return separator, any(name in rows[0] for name in names) or _names_columns(rows[0], rows[1:])


def _names_columns(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the first row reads as names: short, no numbers, none twice, none a value of its own column."""
    if any(is_number(cell) for cell in first) or len(set(first)) < len(first):
        return False
    if any(is_number(row[i]) for row in others for i in range(min(len(row), len(first)))):
        return True  # words above numbers
    again = any(row[i] == cell for row in others for i, cell in enumerate(first) if i < len(row))
    return not again and all(_NAME.fullmatch(cell.strip()) for cell in first)


_NAME = re.compile(r"\w[\w\-./()\[\]#%]*( [\w\-./()\[\]#%]+){0,2}")


def is_number(cell: Any) -> bool:
    """Whether a cell is a number or reads as one."""
    if isinstance(cell, (int, float)):
        return True
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _reading(file: Path) -> Iterator[str]:
    """A cache that goes away, the library's bars and log silenced, its errors as one line."""
    import datasets
    from datasets.utils import logging

    bars, level = not datasets.are_progress_bars_disabled(), logging.get_verbosity()
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    try:
        with tempfile.TemporaryDirectory(prefix="identikit-") as cache:
            yield cache
    except DataError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        if type(cause).__name__ == "EmptyDataError" or "corresponds to no data" in str(cause):
            raise DataError(f'"{file}" holds no rows. Give at least one.') from error
        lines = str(cause).strip().splitlines()
        said = f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
        raise DataError(f'"{file}" cannot be read ({said}). Is it a {file.suffix} file in UTF-8?') from error
    finally:
        logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def _pictures(folder: Path, limit: int | None) -> Table:
    """A folder of pictures, one subfolder a class; or a folder that `Dataset.save_to_disk` wrote."""
    from datasets import load_dataset, load_from_disk

    with _reading(folder) as cache:
        if (folder / "dataset_info.json").is_file():
            return _first(Table(str(folder), _holding_its_pictures(load_from_disk(str(folder)), folder)), limit)
        rows = load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=cache, keep_in_memory=True)
    return _first(Table(str(folder), rows), limit)


def _holding_its_pictures(rows: Any, file: Path) -> Any:
    """`rows` without sounds, films and nested pictures. Raises DataError for a picture that lies elsewhere.

    The library would open it by its path, or fetch it from its address, whichever the file names.
    """
    from datasets.features.features import require_decoding

    opened = [name for name, feature in rows.features.items() if require_decoding(feature)]
    for name in opened:
        if type(rows.features[name]).__name__ != "Image":
            rows = rows.remove_columns(name)
            continue
        for stored in rows.data.column(name).chunks:
            paths = stored.field("path").filter(stored.field("bytes").is_null()).drop_null()
            if len(paths):
                raise DataError(
                    f'"{file}" names a picture elsewhere, {paths[0].as_py()[:100]!a}, which is not opened. '
                    "Write the pictures into it: the datasets library's to_parquet and save_to_disk do."
                )
    return rows


def _first(table: Table, limit: int | None) -> Table:
    """The first `limit` rows. Raises DataError where there is none at all."""
    if len(table) == 0:
        raise DataError(f'"{table.name}" holds no rows. Give at least one.')
    if limit is None or limit >= len(table):
        return table
    return Table(table.name, table.rows.select(range(limit)), table.header)


def _unknown(file: Path) -> str:
    """The message for a file of no known kind."""
    if file.suffix.lower() in (".gz", ".zip", ".bz2", ".xz", ".zst"):
        return f'"{file}" is packed. Unpack it first.'
    return (
        f'"{file}": unknown kind of file "{file.suffix}". Data is .csv, .tsv, .jsonl, .json, .parquet, .txt, .npz, '
        "a folder of pictures, or file.py:function."
    )
