"""A module around the models of a library: PEFT's, or a user's own with a head. What concerns their layers is theirs.

The wrapper's code is nobody's library, so it is saved as any nn.Module is; but the layers inside keep their caches and
their configuration, and both are asked of the library that they come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from identikit.batches import Batch
from identikit.families import adapters
from identikit.families.plain import Args, Decoder, Family, Kwargs
from identikit.structure.watch import Call

Inner = tuple[str, nn.Module, Family]  # the path in the wrapper, the model there, its family


class Wrapped(Family):
    """Modules that hold models of `libraries` somewhere inside."""

    name = "wrapped"

    def __init__(self, libraries: Sequence[Family]) -> None:
        self._libraries = tuple(libraries)

    def matches(self, model: nn.Module) -> bool:
        """Whether a library's model lies inside `model`, which is none itself."""
        return next(self._inside(model), None) is not None

    def example(self, model: nn.Module) -> Batch | None:
        """The inner model's example, where the wrapper has no weights of its own and takes the same arguments."""
        inner = list(self._inside(model))
        theirs = {id(value) for _, one, _ in inner for value in one.parameters()}
        own = any(id(value) not in theirs for value in model.parameters())
        batch = inner[0][2].example(inner[0][1]) if len(inner) == 1 and not own else None
        return batch if batch is not None and _takes(model, batch) else None

    def quiet(self, model: nn.Module) -> AbstractContextManager[None]:
        """The caches of every model inside off for the time of a pass."""
        return _all_of([family.quiet(inner) for _, inner, family in self._inside(model)])

    def absence(self, layer: nn.Module, call: Call) -> Callable[[Args, Kwargs], None] | None:
        """What the first library with an answer says."""
        found = (family.absence(layer, call) for family in self._libraries)
        return next((each for each in found if each is not None), None)

    def decodes(self, model: nn.Module, stack: str) -> bool | None:
        """As the model around `stack` has it; None where no library's model is."""
        around = self._around(model, stack)
        return around[2].decodes(around[1], _below(stack, around)) if around else None

    def generates(self, model: nn.Module) -> bool:
        """Whether a model inside does."""
        return any(family.generates(inner) for _, inner, family in self._inside(model))

    def body(self, model: nn.Module) -> str:
        """The model inside, or what its library calls the body of it; "" where there are several."""
        inner = list(self._inside(model))
        if len(inner) != 1:
            return ""
        path, one, family = inner[0]
        own = family.body(one)
        return f"{path}.{own}" if own else path

    def decoder(self, model: nn.Module, batch: Batch) -> Decoder | None:
        """How the model inside decodes, where the wrapper only hands its arguments on."""
        inner = list(self._inside(model))
        if len(inner) != 1 or self.example(model) is None:
            return None
        return inner[0][2].decoder(inner[0][1], batch)

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """The configuration of each model inside, by its path."""
        return {path: family.configuration(inner) for path, inner, family in self._inside(model)}

    def layer_facts(self, model: nn.Module, stack: str, depth: int) -> list[Any]:
        """As the model around `stack` has them."""
        around = self._around(model, stack)
        if around is None:
            return super().layer_facts(model, stack, depth)
        return around[2].layer_facts(around[1], _below(stack, around), depth)

    def resize(self, model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
        """The configuration of the model around `stack` in step, and what an adapter says of single layers."""
        around = self._around(model, stack)
        if around is None:
            return super().resize(model, stack, keep, depth)
        undo = ExitStack()
        with ExitStack() as doing:
            doing.callback(adapters.resize(model, _below(stack, around), keep, depth))
            doing.callback(around[2].resize(around[1], _below(stack, around), keep, depth))
            undo = doing.pop_all()
        return undo.close

    def save(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """As any nn.Module. Raises SaveError where an adapter stands between the weights and the library's names."""
        adapters.refuse(model)
        super().save(model, folder, like)

    def _inside(self, model: nn.Module) -> Iterator[Inner]:
        """The outermost models of a library, `model` itself not counted."""
        found: list[str] = []
        for path, module in model.named_modules():
            if path and not any(path.startswith(f"{outer}.") for outer in found):
                family = next((each for each in self._libraries if each.matches(module)), None)
                if family is not None:
                    found.append(path)
                    yield path, module, family

    def _around(self, model: nn.Module, stack: str) -> Inner | None:
        return next((each for each in self._inside(model) if f"{stack}.".startswith(f"{each[0]}.")), None)


def _below(stack: str, around: Inner) -> str:
    return stack[len(around[0]) + 1 :]


def _takes(model: nn.Module, batch: Batch) -> bool:
    """Whether the wrapper's forward has a place for each of the example's arguments."""
    try:
        inspect.signature(type(model).forward).bind(model, *batch.args, **batch.kwargs)
    except TypeError:
        return False
    return True


@contextmanager
def _all_of(contexts: Sequence[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield
