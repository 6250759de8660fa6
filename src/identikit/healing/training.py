"""The loop: steps at a falling rate, looks at the held-out part, the best state kept, nothing lost to a kill.

AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) without decay: the weights are to stay near where they began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch

from identikit.batches import Batch
from identikit.healing.batches import Parts
from identikit.healing.checkpoint import Checkpoint, State
from identikit.healing.devices import Devices
from identikit.healing.lesson import Lesson
from identikit.healing.recipe import Recipe
from identikit.healing.schedule import LOOKS, Budget, pace
from identikit.healing.weights import Held, held, in_use, learning, put_back
from identikit.progress import Bar

CLIPPED = 1.0  # the length of a gradient
_FUSED = ("cpu", "cuda")  # devices where torch takes a step in one go
_GIVEN_UP = 10  # steps in a row that are not finite
_LEAST = 1e-6  # a distance below which nothing is left to learn


@dataclass
class Course:
    """Where a healing stands. All of it goes into a checkpoint."""

    before: float
    before_hidden: float
    best: float
    step: int = 0
    epoch: int = 0
    position: int = 0
    best_step: int = 0
    stale: int = 0
    next_look: float = 1 / LOOKS
    skipped: int = 0
    in_a_row: int = 0
    stopped: str = ""
    history: list[list[float]] = field(default_factory=list)


class Training:
    """One healing under way. `best`: the weights of the best look, None while that is the start."""

    def __init__(
        self, lesson: Lesson, parts: Parts, recipe: Recipe, lr: float, course: Course, budget: Budget, on: Devices,
        text: torch.Tensor | None,
    ) -> None:  # fmt: skip
        self.lesson, self.parts, self.recipe, self.lr = lesson, parts, recipe, lr
        self.course, self.budget, self.devices = course, budget, on
        self.best: Held | None = None
        self._text = text
        self._weights = list(learning(lesson.student).values())
        fused = all(value.device.type in _FUSED for value in self._weights)
        self._optimizer = torch.optim.AdamW(self._weights, lr=lr, weight_decay=0.0, betas=(0.9, 0.98), fused=fused)

    def state(self) -> State:
        """Everything that a run needs to go on as if it had not been cut short."""
        return {
            "course": asdict(self.course),
            "elapsed": self.budget.elapsed,
            "weights": held(self.lesson.student),
            "best": self.best,
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "text": self._text,
        }

    def go_on_from(self, state: State) -> None:
        """Take up what `state` gave; the course and the time spent were handed over when this was made."""
        put_back(self.lesson.student, state["weights"])
        self.best = state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])

    def run(self, checkpoint: Checkpoint, bar: Bar) -> None:
        """Learn until the budget is spent or nothing gets better; `course.stopped` says which."""
        course, shown = self.course, 0
        batches = self._batches()
        while not course.stopped:
            share = self.devices.agreed(self.budget.share(course.step))
            bar.advance(min(100, int(100 * share)) - shown)
            shown = min(100, int(100 * share))
            if share >= 1:
                timed = self.budget.steps is None or course.step < self.budget.steps
                course.stopped = "the time was over" if timed else "all steps were taken"
            elif share >= course.next_look:
                self._look(bar)
                course.next_look = self.devices.agreed(self.budget.next_look(share))
            else:
                self._step(next(batches), pace(share))
            if checkpoint.due:
                checkpoint.write(self.state())
        looked_at = course.history[-1][0] if course.history else 0
        if looked_at != course.step and course.in_a_row < _GIVEN_UP:
            self._look(bar)

    def _batches(self) -> Iterator[Batch]:
        """This process's batches, epoch after epoch; `course` counts along, the same in every process."""
        course, on = self.course, self.devices
        whole = self.parts.batches // on.world * on.world  # what is left over does not go round
        while True:
            for at, batch in enumerate(self.parts.epoch(course.epoch, course.position), course.position):
                if at < whole and at % on.world == on.rank:
                    course.position = at - on.rank + on.world
                    yield batch
            course.epoch, course.position = course.epoch + 1, 0

    def _step(self, batch: Batch, pace_: float) -> None:
        course = self.course
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr * pace_
        loss = self._loss(batch)
        loss.backward()
        for value in self._weights:  # all processes send as many numbers
            value.grad = torch.zeros_like(value) if value.grad is None and self.devices.world > 1 else value.grad
        self.devices.mean_([value.grad for value in self._weights if value.grad is not None])
        length = torch.nn.utils.clip_grad_norm_(self._weights, CLIPPED)
        course.step += 1
        if bool(torch.isfinite(loss.detach() if self.devices.world == 1 else length) & torch.isfinite(length)):
            self._optimizer.step()
            course.in_a_row = 0
        else:
            course.skipped += 1
            course.in_a_row += 1
            if course.in_a_row >= _GIVEN_UP:
                course.stopped = f"the loss was not finite {_GIVEN_UP} times in a row"
        self._optimizer.zero_grad(set_to_none=True)

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Outputs and hidden states, each as a share of what its distance was at the start: one weight fits all."""
        found = self.lesson.compare(batch, temperature=self.recipe.temperature, autocast=self.devices.autocast)
        loss = found.output.mean() / max(self.course.before, _LEAST)
        if found.hidden and self.recipe.hidden:
            apart = torch.stack([each.to(loss.device) for each in found.hidden]).mean()
            loss = loss + self.recipe.hidden * apart / max(self.course.before_hidden, _LEAST)
        return loss

    def _look(self, bar: Bar) -> None:
        """Judge the held-out part; keep the weights where they are the best so far."""
        course, start = self.course, time.monotonic()
        with in_use(self.lesson.student):
            found = self.devices.agreed(self.lesson.judge(self.parts.held_out, self.devices.autocast))
        course.history.append([course.step, found])
        if found < course.best:  # never true of what is not a number
            course.best, course.best_step, course.stale = found, course.step, 0
            self.best = held(self.lesson.student)
        else:
            course.stale += 1
            if course.stale >= self.recipe.patience and not course.stopped:
                course.stopped = f"nothing was better at the last {course.stale} looks"
        bar.say(f"held out {found:.4g}, best {course.best:.4g}, at the start {course.before:.4g}")
        self.budget.looked(time.monotonic() - start)
