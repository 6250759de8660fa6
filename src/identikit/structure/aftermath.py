"""What happens after a call to memory that it made or handed on: read though never returned, or written into."""

from __future__ import annotations

import torch

from identikit.structure.operations import memory
from identikit.structure.trees import leaves
from identikit.structure.watch import Call, Watched


def left_behind(watched: Watched, call: Call) -> torch.Tensor | None:
    """A tensor that `call` made and did not return, which an operation outside it reads later.

    What a hook collected is no such thing: of a layer that is absent it collects nothing.
    """
    returned = {memory(value) for _, value in call.tensors_out()}
    for number in watched.during(call):
        for _, made in leaves(watched.operations[number][1]):
            if not isinstance(made, torch.Tensor) or memory(made) in returned:
                continue
            reads = watched.reads.get(memory(made), [])
            hooked = any(each.collected and each.within(call) for each in watched.returned[memory(made)])
            if watched.born.get(memory(made)) == number and reads and reads[-1].tick > call.end and not hooked:
                return made
    return None


def written_later(watched: Watched, path: str) -> bool:
    """Whether what the layer at `path` takes or returns is written into after it, now or in training.

    A module with `inplace` set (a dropout) may write in the one mode and not in the other.
    """
    for call in watched.by_path.get(path, []):
        touched = {memory(value) for _, value in [*call.tensors_in(), *call.tensors_out()]}
        if any(read.mutates and read.tick > call.end for each in touched for read in watched.reads.get(each, [])):
            return True
        later = (each for each in watched.calls[call.number + 1 :] if getattr(each.module, "inplace", False) is True)
        if any(memory(value) in touched for each in later if each.start > call.end for _, value in each.tensors_in()):
            return True
    return False
