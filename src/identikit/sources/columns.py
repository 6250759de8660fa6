"""Which column of a table is the text, its pair, the picture, the target: as the user says, else where it is plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identikit.errors import DataError, did_you_mean
from identikit.sources.opened import CAUSAL, CLASSIFIER, MASKED, TEXT_TO_TEXT, Opened
from identikit.sources.tables import Table, is_number

TARGETS = ("label", "labels", "target", "score", "similarity_score", "similarity", "y")
"""Names that a target has by custom; asked only where several columns of numbers are left."""
IDS = ("id", "idx", "index", "uid", "", "unnamed: 0", "__index_level_0__")


@dataclass(frozen=True)
class Roles:
    """A column's name for each role; None where nothing fills it."""

    text: str | None = None
    text_pair: str | None = None
    target: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        named = {"text": self.text, "text pair": self.text_pair, "picture": self.image, "target": self.target}
        return ", ".join(f'{role} "{column}"' for role, column in named.items() if column is not None)


def roles_of(table: Table, opened: Opened, *, text: str | None, text_pair: str | None, target: str | None) -> Roles:
    """What each column is. Raises DataError for a column that is absent, and where it is not plain which is meant."""
    text, text_pair, target = (
        _column(table, option, name) for option, name in (("text", text), ("text-pair", text_pair), ("target", target))
    )
    kinds = {name: kind_of(table, name) for name in table.columns}
    given = [name for name in (text, text_pair, target) if name is not None]
    if len(set(given)) < len(given):
        raise DataError(
            f'column "{given[-1]}" is given twice; --text, --text-pair and --target name different columns.'
        )
    if target is not None and opened.task in (*CAUSAL, *MASKED):
        raise DataError(f"--target is not for {opened.task}: the text is its own target. Leave it out.")
    image = _image(table, opened, kinds) if text is None else None
    if image is None:
        if opened.encode is None:
            fix = (
                "Put the tokenizer's files into the model's folder, or use --data file.py:function."
                if opened.folder is not None
                else "Use .npz (arrays named after the arguments of forward) or --data file.py:function."
            )
            raise DataError(
                f'"{opened.name}" has no tokenizer (or reads no text), so "{table.name}" cannot become its inputs. '
                f"{fix}"
            )
        target = target or _text_target(table, opened, kinds, given)
        if text is None:
            text, text_pair = _texts(table, opened, kinds, text_pair, target)
    return Roles(text, text_pair, target or _target(table, opened, kinds), image)


def kind_of(table: Table, column: str) -> str:
    """What a column holds: "text", "number" (words among numbers too: a hole spelled out), "image" or "other"."""
    feature = table.rows.features[column]
    if type(feature).__name__ in ("Image", "ClassLabel"):
        return "image" if type(feature).__name__ == "Image" else "number"
    dtype = str(getattr(feature, "dtype", ""))
    if dtype in ("string", "large_string"):
        present = [value for value in table[column] if value is not None]
        return "number" if present and sum(map(is_number, present)) * 2 > len(present) else "text"
    return "number" if dtype.startswith(("int", "uint", "float", "double", "bool")) else "other"


def _column(table: Table, option: str, name: str | int | None) -> str | None:
    """The column that an option names."""
    if name is None or str(name) in table.columns:
        return None if name is None else str(name)
    why = "" if table.header else " The file has no header, so columns are numbered."
    listed = ", ".join(f'"{column}"' for column in table.columns)
    raise DataError(
        f'no column "{name}" in "{table.name}".{did_you_mean(str(name), table.columns)}{why} '
        f"Columns: {listed}. Give one of them to --{option}."
    )


def _image(table: Table, opened: Opened, kinds: dict[str, str]) -> str | None:
    """The column of pictures, for a model that takes them."""
    pictures = [name for name, kind in kinds.items() if kind == "image"]
    if opened.encode_images is None or not pictures:
        return None
    if len(pictures) > 1:
        raise DataError(f'"{table.name}" has several columns of pictures: {_listed(pictures)}. Keep one.')
    return pictures[0]


def _text_target(table: Table, opened: Opened, kinds: dict[str, str], given: Sequence[str]) -> str | None:
    """A target made of words: the one column that holds nothing but labels of the model; the second text to write."""
    free = [name for name, kind in kinds.items() if kind == "text" and name not in given]
    if opened.task in TEXT_TO_TEXT:
        return free[1] if len(free) == 2 and not given else None
    if opened.task not in CLASSIFIER:
        return None
    known = {label.lower() for label in opened.labels}
    fit = [name for name in free if {str(value).lower() for value in table[name]} <= known]
    return fit[0] if len(fit) == 1 else None


def _texts(
    table: Table, opened: Opened, kinds: dict[str, str], pair: str | None, target: str | None
) -> tuple[str, str | None]:
    """The text and its pair, where it is plain: one column of words, or two for a model that reads pairs."""
    free = [name for name, kind in kinds.items() if kind == "text" and name not in (pair, target)]
    if len(free) == 1:
        return free[0], pair
    if not free:
        raise DataError(
            f'"{table.name}" has no column of text. Columns: {_listed(table.columns)}. Name one: --text COLUMN.'
        )
    pairs = opened.task not in (*CAUSAL, *MASKED, *TEXT_TO_TEXT)
    if len(free) == 2 and pair is None and pairs:
        return free[0], free[1]
    more = " (and --text-pair COLUMN for pairs)" if pairs else ""
    raise DataError(
        f'"{table.name}" has {len(free)} columns of text: {_listed(free)}. Say which is meant: --text COLUMN{more}.'
    )


def _target(table: Table, opened: Opened, kinds: dict[str, str]) -> str | None:
    """The one column of numbers, or the one that has a target's name."""
    if opened.task in (*CAUSAL, *MASKED, *TEXT_TO_TEXT):
        return None
    numbers = [name for name, kind in kinds.items() if kind == "number" and name.strip().lower() not in IDS]
    named = [name for name in numbers if name.strip().lower() in TARGETS]
    if len(numbers) > 1 and len(named) != 1:
        raise DataError(
            f'"{table.name}" has {len(numbers)} columns of numbers: {_listed(numbers)}. '
            "Say which is the target: --target COLUMN."
        )
    return next(iter(named if len(numbers) > 1 else numbers), None)


def _listed(names: Sequence[str]) -> str:
    """Names for a message, the first dozen."""
    return ", ".join(f'"{name}"' for name in names[:12]) + (" and more" if len(names) > 12 else "")
