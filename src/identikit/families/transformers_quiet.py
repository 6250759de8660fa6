"""Silence for the time of a call into transformers: no log lines, no bars, no warnings, no weights drawn."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any


@contextmanager
def silenced() -> Iterator[None]:
    """No word from transformers below an error, for loading what identikit itself has written and will check."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def nothing_drawn() -> AbstractContextManager[None]:
    """Inside, a built model gets no initial weights; where a release cannot say so it gets some, which takes time."""
    for home in ("transformers.initialization", "transformers.modeling_utils"):  # where 5 and where 4 keeps it
        try:
            within: Any = getattr(importlib.import_module(home), "no_init_weights", None)
        except ModuleNotFoundError:
            continue
        if within is not None:
            found: AbstractContextManager[None] = within()
            return found
    return nullcontext()
