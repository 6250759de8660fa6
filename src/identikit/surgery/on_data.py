"""The anatomy of a model whose example is the first batch of data, where none is given."""

from __future__ import annotations

from typing import Any

from torch import nn

from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.sources.objects import as_data
from identikit.sources.readings import Data


def watched_on(
    model: nn.Module, inputs: Any, data: Any, batch_size: int | None, family: Family | None
) -> tuple[Anatomy, Data | None]:
    """The anatomy of `model`, and `data` opened where there is some: its first batch is then the example of it."""
    read = as_data(data, batch_size=batch_size) if data is not None else None
    example = next(iter(read)) if read is not None and inputs is None else inputs
    return anatomy_of(model, example, family), read
