"""`heal`: a smaller model learns from the one it was made from, and is never worse for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.families.plain import Family
from identikit.healing.checkpoint import Checkpoint, check_place, reserved
from identikit.healing.devices import devices
from identikit.healing.material import about, material
from identikit.healing.recipe import Recipe
from identikit.healing.record import record
from identikit.healing.refuse import refuse
from identikit.healing.session import Session
from identikit.progress import Board, board
from identikit.structure.valueless import home_of
from identikit.structure.wrappers import unwrapped
from identikit.turns import in_turn


@in_turn
def heal(
    student: nn.Module, teacher: nn.Module, data: Any, minutes: float | None = None, *,
    steps: int | None = None, epochs: int | None = None, lr: float | None = None,
    compare: str | None = None, hidden: float = 1.0, temperature: float = 1.0,
    holdout: float = 0.1, patience: int = 10,
    lora: int | None = None, precision: str | None = None, batch_statistics: bool = False,
    batch_size: int | None = None, limit: int | None = None, seed: int = 0,
    inputs: Any = None, family: Family | None = None,
    to: str | Path | None = None, resume: bool = False, overwrite: bool = False, save_every: float = 60.0,
    progress: bool | Board | None = None,
) -> nn.Module:  # fmt: skip
    """Let `student` learn from `teacher` what it says and what goes on inside it; in place, returns the student.

    The student is what `ik.remove` or `ik.prune` left of the teacher: it carries its plan, which says which of its
    hidden states belong to which of the teacher's (what enters each layer that both have, and what leaves the last one
    of a stack). Without a plan outputs alone are learned from, and a note says so. No labels are needed. A part of the
    data is held out; the weights that were nearest to the teacher's output there are the ones that stay, and where none
    was nearer than the start the student is as it was, bit for bit. `ik.healed(student)` says how far it came.

    The student learns in eval mode, as it is used: no dropout, batch norms with their running statistics. Padding is
    left out of everything. The teacher stays as it is. Weights that were frozen (requires_grad) stay so.

    Args:
        data: what `prune` takes, read as often as need be; "self" for a causal language model: the teacher writes 1,024
            rows (or `limit`) of 128 tokens, drawn from its own distribution, in at most a quarter of the time.
        minutes: wall time, reading and judging included; 10 where neither steps nor epochs are given. steps, epochs:
            the other ends; the first that is reached counts.
        lr: the highest learning rate, after a warm-up and before it falls along a cosine; by the width of the layers.
        compare: how outputs are: "cosine", "logits" (KL to the teacher), "sigmoid" (logits that are a yes or no each),
            "values" (mean square). By itself: a sentence embedding by cosine, what is called logits by KL, else values.
        hidden: the weight of the hidden states beside the outputs, each taken as a share of its distance at the start.
        temperature: of the logits; above 1 the unlikely classes count for more.
        holdout: the share of the batches held out, eight at most. patience: so many looks at them (twenty in all)
            without anything better end it.
        lora: the rank of adapters (PEFT) that learn instead of all weights, beside the linear layers of the blocks;
            merged at the end.
        precision: "bf16" learns in mixed precision (accelerate); the default for a student in half precision, whose
            weights are held in float32 meanwhile. Else "float32".
        batch_statistics: let batch norms use their batches' statistics and the running ones follow.
        batch_size: for a Dataset or a table, and the rows of a step of `data="self"` (32).
        to: a file that everything is written to every `save_every` seconds; after a kill `resume` goes on there.
        Everything else as in `prune`. Several processes (torchrun, accelerate launch) share the batches.

    Raises:
        PlanError: a live handle, teacher and student are one or share weights, a number that means nothing. ModelError:
            weights that cannot be trained, outputs of different shapes. DataError: a single batch, or what `prune`
            raises. MetricError: nothing to compare. ResultError: `to` is another healing's. SaveError: `to` cannot be
            written or is taken. MissingExtraError: peft or accelerate is needed. The student is as it was after any.

    Sources: Hinton et al. 2015 (arXiv:1503.02531); Sun et al. 2019 (arXiv:1908.09355).

    Example:
        >>> import copy, torch, identikit as ik
        >>> layers = [torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh()) for _ in range(4)]
        >>> teacher = torch.nn.Sequential(*layers).eval()
        >>> data = list(torch.randn(20, 16, 8))
        >>> student = ik.remove(copy.deepcopy(teacher), "2", inputs=data[0])
        >>> found = ik.healed(ik.heal(student, teacher, data, steps=40, progress=False))
        >>> found.after < found.before
        True
    """
    own, whole, path = unwrapped(student), unwrapped(teacher), None if to is None else Path(to)
    recipe = Recipe(
        minutes, steps, epochs, lr, compare, hidden, temperature, holdout, patience, lora, precision,
        batch_statistics, seed,
    )  # fmt: skip
    recipe.check()
    refuse(own, whole)
    check_place(path, resume=resume, overwrite=overwrite)
    bf16 = precision == "bf16" or (precision is None and _half(own))
    with (
        board(progress) as bars,
        devices(home_of(own) or torch.device("cpu"), bf16=bf16) as on,
        reserved(path, on.rank == 0),
    ):
        given = material(data, whole, batch_size=batch_size, limit=limit, seed=seed)
        bound = about(own, whole, given, recipe) if path is not None else {}  # every weight is read for it
        checkpoint = Checkpoint(path, bound, every=save_every, resume=resume, writes=on.rank == 0)
        done = Session(own, whole, given, recipe, family, inputs, on, checkpoint, bars).healed()
        record(own, done, given.fingerprint)
    return student


def _half(model: nn.Module) -> bool:
    return any(value.requires_grad and value.is_floating_point() and value.itemsize < 4 for value in model.parameters())
