"""Activation memory: the bytes that operations made and that are still alive, and the most of them during each call."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from identikit.structure.operations import memory, only_looks
from identikit.structure.trees import leaves


class Alive:
    """Follows every piece of memory from the operation that makes it to its end.

    Counted are the tensors that operations hand out, in bytes as asked for: not what a kernel needs inside, not what
    an allocator rounds up to. A view or an in-place operation makes none. Source: torch's own tracker does it with
    weak references to storages too (torch.distributed._tools.mem_tracker.MemTracker).
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._known: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._open: list[_Call] = []

    def begin(self) -> None:
        """A call begins: what is alive now is not its own."""
        self._open.append(_Call(self.bytes))

    def end(self) -> int | None:
        """The most bytes that were alive at once in the call that ends, beyond those when it began; None: not known."""
        call = self._open.pop()
        if self._open:
            around = self._open[-1]
            around.most, around.known = max(around.most, call.most), around.known and call.known
        return call.most - call.start if call.known else None

    def note(self, func: Any, inputs: list[torch.Tensor], result: Any) -> None:
        """What one operation made of `inputs`."""
        if only_looks(func):
            return
        taken: set[int] | None = None
        for _, made in leaves(result):
            if isinstance(made, torch.Tensor):
                if taken is None:
                    taken = {memory(tensor) for tensor in inputs}
                if not _fetched(func, inputs, made, self._known):
                    self._add(made, taken)
        if self._open:
            self._open[-1].most = max(self._open[-1].most, self.bytes)

    def lose(self) -> None:
        """Something was alive that was not seen: the open calls' bytes are not known."""
        if self._open:
            self._open[-1].known = False

    def _add(self, made: torch.Tensor, taken: set[int]) -> None:
        key = memory(made)
        if key in self._known:  # written into, and perhaps made larger: torch.add(a, b, out=empty)
            size, alive = self._known[key]
            self._known[key] = (made.untyped_storage().nbytes(), alive)
            self.bytes += self._known[key][0] - size
        elif key not in taken and (key == id(made) or _made_of_others(made)):  # key: a sparse one has no memory
            self.lose()
        elif key not in taken:
            storage = made.untyped_storage()
            self._known[key] = (storage.nbytes(), weakref.ref(storage, lambda _: self._gone(key)))
            self.bytes += storage.nbytes()

    def _gone(self, key: int) -> None:
        self.bytes -= self._known.pop(key)[0]


class _Call:
    """One open call: the bytes alive when it began, the most since, and whether all were seen."""

    def __init__(self, start: int) -> None:
        self.start = self.most = start
        self.known = True


def _made_of_others(tensor: Any) -> bool:
    """Whether these are other tensors in the clothes of one (quantised, distributed)."""
    return is_traceable_wrapper_subclass(tensor)


def _fetched(func: Any, inputs: list[torch.Tensor], made: torch.Tensor, known: dict[int, Any]) -> bool:
    """Whether this is what was there before the pass, moved and nothing else: a weight that had been put aside."""
    moved = func is torch.ops.aten._to_copy.default and made.dtype == inputs[0].dtype
    return moved and memory(inputs[0]) not in known
