"""Whole-model evaluators: a function that takes the model and returns a number. Plain loop, no error bar."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from identikit.errors import IdentikitError, MetricError, ResultError
from identikit.functions import is_users, load_function
from identikit.structure.traceless import traceless

_CODE = "Its code: "


class Score:
    """`function(model) -> float`, such as an evaluation harness; higher is better unless the function says otherwise.

    The direction is the function's attribute `higher_is_better` (True where it has none).
    """

    def __init__(self, function: Callable[[Any], Any] | str) -> None:
        self._function = load_function(function, error=MetricError) if isinstance(function, str) else function
        self.name = getattr(self._function, "__name__", "score")
        self.higher_is_better = bool(getattr(self._function, "higher_is_better", True))
        self.code = _code_of(self._function)

    @property
    def note(self) -> str:
        """What a result says of it."""
        return f"{self.name} scores a whole model: no error bar.{f' {_CODE}{self.code}.' if self.code else ''}"

    def require_same(self, notes: Iterable[str], where: object) -> None:
        """Raise ResultError where `notes`, of a result to go on with, are of a score of this name with other code."""
        start = f"{self.name} scores a whole model: no error bar. {_CODE}"
        then = next((note.removeprefix(start).rstrip(".") for note in notes if note.startswith(start)), self.code)
        if self.code and then != self.code:
            raise ResultError(
                f'the code of score "{self.name}" has changed since {where} was begun, so its numbers do not compare. '
                "Undo the change, or start anew by --overwrite."
            )

    def __call__(self, model: nn.Module, seed: int = 0) -> float:
        """The score in eval mode, without a trace. MetricError where the function fails or gives no finite number."""
        try:
            with traceless(model):
                torch.manual_seed(seed)
                value = self._function(model)
        except IdentikitError:
            raise
        except Exception as failure:
            first = (str(failure).strip().splitlines() or [""])[0]
            raise MetricError(f'score "{self.name}" failed: {type(failure).__name__}: {first}') from failure
        try:
            number = float(value)
        except (TypeError, ValueError) as cause:
            raise MetricError(f'score "{self.name}" gave {type(value).__name__}, not a number.') from cause
        if not math.isfinite(number):
            raise MetricError(f'score "{self.name}" gave {number}; it cannot be compared.')
        return number


def _code_of(function: Any) -> str:
    """A hash of the code of `function`, comments left out; of its whole file where that is a user's. "" if unknown.

    What the function reads (a task file, weights) is not in it.
    """
    home = sys.modules.get(getattr(function, "__module__", None) or "")
    try:
        if is_users(home):
            source = inspect.getsource(home)  # type: ignore[arg-type]
        else:
            source = inspect.getsource(function if inspect.isroutine(function) else type(function))
    except (OSError, TypeError):
        return ""
    try:
        source = ast.dump(ast.parse(textwrap.dedent(source)))
    except SyntaxError:  # a lambda in the middle of a call
        source = " ".join(source.split())
    return hashlib.sha256(source.encode()).hexdigest()[:12]
