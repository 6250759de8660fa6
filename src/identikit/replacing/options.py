"""The options of an edit that replaces a layer: what there is, and what each may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from identikit.errors import PlanError
from identikit.plan import Edit, Option

CONTRIBUTION, OUTPUT = "contribution", "output"  # of what a resampled layer takes another example's
_STRIDES = 100_000  # of one dimension at most


@dataclass(frozen=True)
class Options:
    """The options that one way of replacing has: words and what each may be, numbers, the names of learned tensors.

    `lies`: those that say where what is replaced lies.
    """

    words: Mapping[str, tuple[Option, ...]]
    numbers: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    lies: tuple[str, ...] = ("stride",)


def check_options(edit: Edit, options: Options) -> None:
    """Raise PlanError for an option that is none of `options`, or a value that it cannot have."""
    words, numbers = options.words, options.numbers
    known = [*words, *options.lies, *numbers, *options.tensors]
    for key, value in edit.options:
        if key not in known:
            raise PlanError(f'{edit.op} at "{edit.at}" has no option "{key}"; there are {", ".join(known)}.')
        wrong = key in words and not any(type(value) is type(each) and value == each for each in words[key])
        if wrong:
            several = " or ".join(repr(each) for each in words[key])
            raise PlanError(f'{edit.op} at "{edit.at}": {key}={value!r} is not {several}.')
        if key in numbers and not _number(value, above_zero=key == "ridge"):
            least = "above 0" if key == "ridge" else "from 0 on"
            raise PlanError(f'{edit.op} at "{edit.at}": {key}={value!r} is no finite number {least}.')
        if key == "stride":
            read_stride(edit, value)
        if key == "rows" and not (type(value) is int and value >= 1):
            raise PlanError(f'{edit.op} at "{edit.at}": rows={value!r} is no number from 1 on.')
        if key == "dims":
            read_dims(edit)
        if key in options.tensors and key not in edit.tensors:
            raise PlanError(f'{edit.op} at "{edit.at}": {key}={value!r} names no tensor ("sha256:...").')


def _number(value: Option, *, above_zero: bool) -> bool:
    """Whether it is a finite number from 0 on. Without any ridge, directions that inputs lack have no weight at all."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return plain and (value > 0 if above_zero else value >= 0)  # type: ignore[operator]


def read_stride(edit: Edit, value: Option) -> list[int]:
    """The stride of an edit: one number for every dimension, or "2x1". Raises PlanError for anything else."""
    parts = [value] if type(value) is int else str(value).split("x") if isinstance(value, str) else []
    found = [int(part) for part in parts if str(part).isascii() and str(part).isdecimal() and len(str(part)) < 7]
    if not found or len(found) < len(parts) or not all(1 <= each <= _STRIDES for each in found):
        raise PlanError(f'{edit.op} at "{edit.at}": stride={value!r} is no number, and no text such as "2x1".')
    return found


def read_dims(edit: Edit) -> list[int | None]:
    """The batch dimension of each output of a resampled layer: "0", or "1,-" where all examples share the second."""
    value = dict(edit.options).get("dims", "0")
    parts = value.split(",") if isinstance(value, str) else []
    found = [int(part) if part != "-" else None for part in parts if part == "-" or part in tuple("0123456789")]
    if not parts or len(found) < len(parts) or all(dim is None for dim in found):
        raise PlanError(f'{edit.op} at "{edit.at}": dims={value!r} is no text such as "0" or "1,-".')
    return found


def require_tensors(edit: Edit, options: Options) -> None:
    """Raise PlanError where an edit lacks the tensors that it needs."""
    lacking = [key for key in options.tensors if key not in edit.tensors]
    if lacking:
        raise PlanError(
            f'the {edit.op} at "{edit.at}" has no {lacking[0]}: it is fitted to data. Make the edit with '
            f'ik.bypass(model, "{edit.at}", as_="{edit.op}", data=[batch, ...]) and use its handle\'s plan.'
        )
