"""A forward pass that ends early: what the layer at its end does, and what the module around it does then.

Plain picklable objects that find their module's own forward when called: they survive deepcopy and pickle, and
`torch.compile(fullgraph=True)` and `torch.export` trace through them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from torch import nn

from identikit.errors import InputsError, RoleError
from identikit.structure.watch import Location
from identikit.surgery.forwards import Taken

Labels = tuple[tuple[str, int], ...]
"""The names of arguments with their positions."""


class EndedError(RoleError):
    """Carries what a pass ends with to the forward of the module around; no fault.

    A user meets it only where he calls a part of a cut model by itself; its text is for him. No constructor of its
    own: the compiler follows none.
    """

    output: Any = None


class EndAfter:
    """The forward of a layer whose output the whole model returns."""

    def __init__(self, module: nn.Module, message: str) -> None:
        self.module = module
        self.held: Callable[..., Any] | None = vars(module).get("forward")
        self.message = message

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # No local name for the error: it would hold the pass's memory in a circle.
        raise ended_with(self.message, _own(self.module, self.held)(*args, **kwargs))


class EndBefore:
    """What stands in for the first layer of a head: the module around returns what the layer would have taken."""

    def __init__(self, place: Location, message: str) -> None:
        self.taken = Taken(place)
        self.message = message

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ended_with(self.message, self.taken.of(args, kwargs))


class Refusing:
    """What stands for a forward (or `generate`) that cannot be any more."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RoleError(self.message)


class CutForward:
    """The forward of a cut model (or of the part that its head was in).

    `ends`: a pass may end inside, and what it ends with is returned. `refused`: arguments that only the head could
    answer, each with its position.
    """

    def __init__(self, module: nn.Module, *, ends: bool, refused: Labels = ()) -> None:
        self.module = module
        self.held: Callable[..., Any] | None = vars(module).get("forward")
        self.ends = ends
        self.refused = refused

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        refuse_labels(self.module, self.refused, args, kwargs)
        try:
            return _own(self.module, self.held)(*args, **kwargs)
        except EndedError as ended:
            if not self.ends:
                raise
            return ended.output

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the forward it stands for: libraries read which arguments a model takes."""
        own = inspect.signature(self.held or type(self.module).forward)
        parameters = list(own.parameters.values())
        return own if self.held else own.replace(parameters=parameters[1:])

    @property
    def __code__(self) -> CodeType:
        """torch.export asks a forward where its source is."""
        code: CodeType = type(self).__call__.__code__
        return code


def _own(module: nn.Module, held: Callable[..., Any] | None) -> Callable[..., Any]:
    """The forward that was there before. Not the bound method: after pickling it would find the edit itself again."""
    if held is not None:
        return held
    return lambda *args, **kwargs: type(module).forward(module, *args, **kwargs)


def ended_with(message: str, output: Any) -> EndedError:
    """The end of a pass, with what the module around is to return."""
    error = EndedError(message)
    error.output = output
    return error


def label_names(module: nn.Module) -> Labels:
    """The arguments of a module's forward that are compared with the head's scores, by the word `label` in them."""
    names = list(inspect.signature(type(module).forward).parameters)[1:]
    return tuple((name, position) for position, name in enumerate(names) if "label" in name)


def refuse_labels(module: nn.Module, labels: Labels, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise InputsError where one of the arguments `labels` is given: a loss without a head would be none."""
    for name, position in labels:
        if (args[position] if position < len(args) else kwargs.get(name)) is not None:
            raise InputsError(
                f"{type(module).__name__} without its head has no scores to compare with {name}=. "
                "Call it without, and compute the loss from the features."
            )
