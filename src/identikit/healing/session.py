"""One healing from end to end: what is compared, the start kept, the loop, and the proof of what came out."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import nn

from identikit.errors import ModelError
from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.healing.batches import Parts, parts_of
from identikit.healing.checkpoint import Checkpoint
from identikit.healing.devices import Devices
from identikit.healing.lesson import Lesson, no_fast_path
from identikit.healing.lora import beside, targets_of, weights_at
from identikit.healing.material import Material
from identikit.healing.measure import measure_of
from identikit.healing.pairs import pairs_of
from identikit.healing.rate import rate_for
from identikit.healing.recipe import Recipe
from identikit.healing.schedule import Budget
from identikit.healing.training import Course, Training
from identikit.healing.weights import as_it_was, batch_norms_learn, held, in_float32, in_use, learning, put_back
from identikit.progress import Board
from identikit.reporting.card import GENERATION
from identikit.results.healed import Healed
from identikit.structure.traceless import traceless


class Session:
    """What `heal` was given, and the healing of it."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, given: Material, recipe: Recipe, family: Family | None,
        inputs: Any, on: Devices, checkpoint: Checkpoint, bars: Board,
    ) -> None:  # fmt: skip
        self.student, self.teacher, self.given, self.recipe = student, teacher, given, recipe
        self.family, self.inputs, self.on, self.checkpoint, self.bars = family, inputs, on, checkpoint, bars
        self.state = checkpoint.state or {}
        self.budget = Budget(recipe.seconds, recipe.steps, spent=self.state.get("elapsed", 0.0))
        self.notes: list[str] = []

    def healed(self) -> Healed:
        """Heal the student; after an error it is as it was."""
        alone = self.on.world == 1  # several processes must write the same text, whatever time that takes each
        seconds = self.recipe.seconds if alone else None
        data, text = self.given.read(self.teacher, self.state.get("text"), seconds, self.bars)
        if text is not None and not self.state:
            self.checkpoint.write({"text": text, "elapsed": self.budget.elapsed})
        parts = parts_of(data, self.recipe.holdout, self.recipe.seed, self.on.world)
        steps = [self.recipe.steps, self.recipe.epochs and self.recipe.epochs * (parts.batches // self.on.world)]
        self.budget.steps = min((each for each in steps if each), default=None)
        with (
            traceless(self.teacher),
            as_it_was(self.student),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            lesson, blocks = self._lesson(parts)
            with lesson.in_session():
                course = self._trained(lesson, parts, blocks, text)
        return self._told(lesson, parts, course)

    def _lesson(self, parts: Parts) -> tuple[Lesson, list[str]]:
        """What is compared, and the student's blocks."""
        inputs = parts.held_out[0].head(2) if self.inputs is None else self.inputs
        with no_fast_path():
            anatomies = [anatomy_of(model, inputs, self.family) for model in (self.student, self.teacher)]
        student, teacher = anatomies
        measure = measure_of(teacher.watched.output, self.recipe.compare)
        pairs, note = pairs_of(student, teacher) if self.recipe.hidden else ((), "")
        self.notes += [note] if note else []
        self.notes += [GENERATION] if student.family.generates(self.student) else []
        return Lesson(student, teacher, measure, pairs), student.blocks()

    def _trained(self, lesson: Lesson, parts: Parts, blocks: list[str], text: Any) -> Course:
        """The loop, and what came out of it, judged in the form that it has then."""
        lesson.prepare(parts.held_out)
        with in_use(self.student):
            began = time.monotonic()
            before = lesson.judge(parts.held_out)
            self.budget.looked(time.monotonic() - began)
            hidden = lesson.judge_hidden(parts.held_out)
        if not math.isfinite(before):
            raise ModelError(
                f"before anything was learned, the {lesson.measure} on the examples held out is {before}: the outputs "
                "of student or teacher are not finite. Look at the data, or at the models' precision."
            )
        reached = self.state.get("course")
        course = Course(**reached) if reached else Course(before, hidden, before)
        self.lr = self.recipe.lr or rate_for(self.student, adapters=self.recipe.lora is not None)
        targets = targets_of(self.student, blocks) if self.recipe.lora is not None else []
        with ExitStack() as undo:
            start = held(self.student, weights_at(targets) if targets else learning)
            undo.callback(put_back, self.student, start)
            best = self._learned(lesson, parts, course, targets, text)
            after = math.inf
            if best:
                with in_use(self.student):
                    after = self.on.agreed(lesson.judge(parts.held_out))
            if after < before:
                course.best = after
                undo.pop_all()
            else:
                course.best, course.best_step = before, 0
        return course

    def _learned(self, lesson: Lesson, parts: Parts, course: Course, targets: list[str], text: Any) -> bool:
        """Run the loop; afterwards the student has its best weights, in their own dtype. False: the start was best."""
        rank = self.recipe.lora
        with beside(self.student, targets, rank) if rank is not None else nullcontext() as adapters:
            with in_float32(self.student):
                if self.recipe.batch_statistics:
                    batch_norms_learn(self.student)
                training = Training(lesson, parts, self.recipe, self.lr, course, self.budget, self.on, text)
                if self.state.get("course"):
                    training.go_on_from(self.state)
                with self.bars.bar("heal", 100) as bar:
                    training.run(self.checkpoint, bar)
                self.checkpoint.write(training.state())
                if training.best is not None:
                    put_back(self.student, training.best)
            if adapters is not None and training.best is not None:
                adapters.merge()
        return training.best is not None

    def _told(self, lesson: Lesson, parts: Parts, course: Course) -> Healed:
        learned, out = parts.examples
        return Healed(
            model=type(self.student).__name__,
            measure=str(lesson.measure),
            before=course.before,
            after=course.best,
            steps=course.step,
            best_step=course.best_step,
            seconds=self.budget.elapsed,
            stopped=course.stopped,
            data=parts.data.name,
            examples=learned,
            held_out=out,
            lr=self.lr,
            pairs=tuple((str(pair.student), str(pair.teacher)) for pair in lesson.pairs),
            history=tuple((int(step), found) for step, found in course.history),
            skipped=course.skipped,
            notes=tuple(self.notes),
        )
