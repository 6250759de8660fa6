"""The only drawer of progress bars: on the terminal's error stream, where a person watches, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

T = TypeVar("T")


class Bar:
    """One bar. Its methods do nothing where nothing is shown, so a caller never asks whether."""

    def __init__(self, progress: Progress | None, task: TaskID | None) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: float = 1) -> None:
        """`steps` more are done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)

    def say(self, note: str) -> None:
        """Show `note` behind the bar: the layer that is being measured, the score so far."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=note)


class Board:
    """Where bars are drawn, one under another. A verb hands it to the verbs that it calls, as their `progress=`."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._open = 0

    @contextmanager
    def bar(self, what: str, total: float | None = None) -> Iterator[Bar]:
        """A bar for `what` of `total` steps (None: not known yet). It stays when it ends; one inside another goes."""
        if self._progress is None:
            yield Bar(None, None)
            return
        task = self._progress.add_task(what, total=total, note="")
        self._open += 1
        try:
            yield Bar(self._progress, task)
        finally:
            self._open -= 1
            if self._open:
                self._progress.remove_task(task)
            else:
                self._progress.stop_task(task)
                self._progress.update(task, note="")

    def track(self, items: Iterable[T], what: str, total: float | None = None) -> Iterator[T]:
        """Yield the items, with a bar that counts them."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self.bar(what, total) as bar:
            for item in items:
                yield item
                bar.advance()


@contextmanager
def board(progress: bool | Board | None = None, *, console: Console | None = None) -> Iterator[Board]:
    """The Board that a verb's `progress=` asks for.

    None: drawn where the error stream is a terminal. True: always (off a terminal once, at the end).
    False: never. A Board, handed on by an outer verb: that one.
    """
    if isinstance(progress, Board):
        yield progress
        return
    if progress is False:
        yield Board(None)
        return
    from rich.console import Console

    console = console or Console(stderr=True)
    if progress is None and not console.is_terminal:
        yield Board(None)
        return
    with _bars(console) as drawn:
        yield Board(drawn)


def _bars(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
    )
