"""Threads take turns: one verb at a time in a process, and whose a layer is that is out of action."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Turn:
    """The lock that whoever is at work holds. A process that is forked meanwhile starts with a free one."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_TURN = _Turn()


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other thread of this process is inside, then be alone; a verb may call another.

    A pass without a trace puts back what is the whole process's: torch's random state, its compiler's stance, filters
    of warnings, the mode that the model is in. Two at once would each put back what the other had set meanwhile.
    """
    with _TURN.lock:
        yield


def in_turn(verb: Callable[P, T]) -> Callable[P, T]:
    """`verb`, run in turn."""

    @functools.wraps(verb)
    def waits(*args: P.args, **kwargs: P.kwargs) -> T:
        with _TURN.lock:
            return verb(*args, **kwargs)

    return waits


class Owner:
    """The thread that something belongs to. A copy of it, or one from a file, belongs to nobody."""

    def __init__(self, thread: threading.Thread | None = None) -> None:
        self._thread = weakref.ref(thread) if thread is not None else None

    def other(self) -> str | None:
        """The name of the thread, where it is another one than this and still runs."""
        thread = self._thread() if self._thread is not None else None
        if thread is None or thread is threading.current_thread() or not thread.is_alive():
            return None
        return thread.name

    def __deepcopy__(self, memo: dict[int, Any]) -> Owner:
        return Owner()

    def __reduce__(self) -> tuple[type[Owner], tuple[()]]:
        return Owner, ()


def this_thread() -> Owner:
    """The thread that asks."""
    return Owner(threading.current_thread())
