"""What a healing learns from: the user's data, or text that the teacher is still to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.healing.own_text import ROWS, SELF, batches_of, check_writer, written
from identikit.healing.recipe import Recipe
from identikit.progress import Board
from identikit.sources.objects import as_data
from identikit.sources.readings import Data
from identikit.structure.fingerprints import structure_of, weights_of

_AT_ONCE = 32
_SHARE = 0.25  # of the time, for writing


@dataclass
class Material:
    """`data`, or the number of rows that the teacher writes, `size` of them a step."""

    data: Data | None
    rows: int
    size: int
    seed: int

    @property
    def fingerprint(self) -> str:
        """Which data it is. Reads it once."""
        if self.data is not None:
            return self.data.fingerprint
        return f"{self.rows} rows by the teacher, {self.size} a step"

    def read(self, teacher: nn.Module, stored: Any, seconds: float | None, bars: Board) -> tuple[Data, Any]:
        """The data, and the text to store; `stored` is what the teacher wrote before."""
        if self.data is not None:
            return self.data, None
        limit = None if seconds is None else _SHARE * seconds
        ids = stored if stored is not None else written(teacher, self.rows, seed=self.seed, seconds=limit, bars=bars)
        batches = batches_of(ids.long(), self.size)
        return Data(lambda: batches, name="text by the teacher", batches=len(batches), kept=True), ids.to(torch.int32)


def material(data: Any, teacher: nn.Module, *, batch_size: int | None, limit: int | None, seed: int) -> Material:
    """What `data` means. Raises DataError for what is none, and for "self" where the teacher does not write."""
    if isinstance(data, str) and data == SELF:
        check_writer(teacher)
        return Material(None, limit or ROWS, batch_size or _AT_ONCE, seed)
    read = as_data(data, batch_size=batch_size, limit=limit, seed=seed)
    return Material(read, 0, 0, seed)


def about(student: nn.Module, teacher: nn.Module, given: Material, recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint is bound to, by fingerprints and numbers."""
    models = {"student": student, "teacher": teacher}
    prints = {name: f"{structure_of(model)} {weights_of(model)}" for name, model in models.items()}
    return {**prints, "data": given.fingerprint, **recipe.to_dict()}
