"""What identikit says when it refuses: one exception family, each message ending in the fix.

A message says what was asked, what was found, the nearest right thing and what to type instead. The
command line prints it on one line and leaves with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IdentikitError(Exception):
    """Base of everything identikit raises on purpose. `str(error)` is the whole message."""

    exit_code = 2


class PlaceError(IdentikitError):
    """A place names no layer of this model, or cannot be read."""


class RoleError(IdentikitError):
    """What "as if it were absent" means is not proved for this layer."""


class NotReachedError(IdentikitError):
    """A layer was edited, but the forward pass never runs it."""


class PlanError(IdentikitError):
    """A plan contradicts itself, is damaged, or was made for another model."""


class InputsError(IdentikitError):
    """No example of what the model's forward takes, or one that does not fit."""


class DataError(IdentikitError):
    """The data cannot be read, is empty, or differs between two readings."""


class MetricError(IdentikitError):
    """A metric does not fit the model's output or gives what cannot be compared."""


class ModelError(IdentikitError):
    """MODEL cannot be found or loaded."""


class BudgetError(IdentikitError):
    """No set of layers reaches the asked budget."""


class SaveError(IdentikitError):
    """The folder cannot be written, or what was written is not what was meant."""


class ResultError(IdentikitError):
    """A result file is damaged, or belongs to another run."""


class WorkersError(IdentikitError):
    """The other processes that share a scan cannot be had, were lost, or do not hold the same model."""


class BlockError(IdentikitError, ValueError):
    """A building block of `identikit.nn` was given sizes, options or tensors that do not fit together."""


class TableError(IdentikitError, ValueError):
    """An estimator of `identikit.tabular` was given options or a table it cannot learn from."""


class CellError(TableError, TypeError):
    """A cell of a table holds what is neither a number nor a category; scikit-learn expects a TypeError there."""


class AbsentError(IdentikitError, AttributeError):
    """An attribute was read that only the layer an identity stands for would have had."""


class MissingExtraError(IdentikitError):
    """An optional library is needed; the message names the extra to install."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the nearest of `known`, or an empty string where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


def needs_extra(library: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an absent optional library, with the line to paste."""
    return MissingExtraError(f'{purpose} needs {library}. Install it: pip install "identikit[{extra}]"')


class IdentikitWarning(UserWarning):
    """Something a user should know that stops nothing."""
