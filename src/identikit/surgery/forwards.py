"""What an edited layer does instead of its forward: hand the stream on, give zeros or ones, or what replaces it.

Plain picklable objects that do as little as a call can: `torch.compile` traces through them without a guard that
changes from call to call. They hold no tensor but those of a fitted replacement, unregistered, so that the model's keys
and parameters stay. Each knows its own `copying` form, for models that write into the stream.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.structure.same_layout import same_layout
from identikit.structure.streams import Flow, fixed
from identikit.structure.trees import Path, at, leaves, rebuilt
from identikit.structure.watch import Location
from identikit.turns import Owner

_FILL = {"identity": None, "zero": 0.0, "one": 1.0}


class EditedForward(ABC):
    """The forward of an edited layer."""

    runs = False  #: whether the layer still does all that it did, its part in a cache included
    owner = Owner()  #: the thread that edited the layer

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer returns while it is edited."""

    def copying(self) -> EditedForward:
        """The same, handing out copies of the stream instead of the stream itself."""
        return self

    @property
    def replacement(self) -> nn.Module | None:
        """The map from the stream to the output that stands for the layer, where it is replaced by one."""
        return None


class Taken:
    """The tensor (number, object) at `place` of a call's arguments; filled with `fill` where given, a copy where asked.

    `through` marks what the layer only hands through: None where a call leaves it out.
    """

    def __init__(
        self, place: Location, fill: float | None = None, *, copy: bool = False, through: bool = False
    ) -> None:
        self.place = place
        self.fill = fill
        self.copy = copy
        self.through = through

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self.place
        if place.position is not None and place.position < len(args):
            value = args[place.position]
        else:
            value = kwargs.get(place.name) if self.through else kwargs[place.name]
        if place.path and value is not None:
            value = at(value, place.path)
        if self.fill is not None:
            return torch.full_like(value, self.fill)
        return same_layout(value) if self.copy else value

    def copying(self) -> Taken:
        copied = self.fill is None and not self.through
        return Taken(self.place, self.fill, copy=copied, through=self.through)


class Computed(Taken):
    """What `module` makes of the tensor at `place`: always a new tensor, so there is nothing to copy."""

    def __init__(self, place: Location, module: nn.Module) -> None:
        super().__init__(place)
        self.module = module

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.module(super().of(args, kwargs))

    def copying(self) -> Taken:
        return self


class HandOn(EditedForward):
    """Returns the stream: the forward of a bypassed layer whose output is one tensor."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.taken.of(args, kwargs)

    def copying(self) -> EditedForward:
        return HandOn(self.taken.copying())

    @property
    def replacement(self) -> nn.Module | None:
        return self.taken.module if isinstance(self.taken, Computed) else None


class HandOnFirst(EditedForward):
    """HandOn for the most common layer: the stream is the first argument, by position or by name."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken
        self.name = taken.place.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args else kwargs[self.name]

    def copying(self) -> EditedForward:
        return HandOn(self.taken.copying())


class HandOnAs(EditedForward):
    """Returns a structure like the layer's own (tuple, dict, ModelOutput): streams and inputs in place, else None."""

    def __init__(self, template: Any) -> None:
        self.template = template
        self.flat = type(template) is tuple and all(isinstance(part, Taken) or fixed(part) for part in template)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.flat:  # the usual case, kept simple for the compiler
            return tuple(part.of(args, kwargs) if isinstance(part, Taken) else part for part in self.template)
        return rebuilt(self.template, lambda _, part: part.of(args, kwargs) if isinstance(part, Taken) else part)

    def copying(self) -> EditedForward:
        return HandOnAs(rebuilt(self.template, lambda _, part: part.copying() if isinstance(part, Taken) else part))

    @property
    def replacement(self) -> nn.Module | None:
        return next((part.module for _, part in leaves(self.template) if isinstance(part, Computed)), None)


class RunAndFill(EditedForward):
    """Runs the layer and fills its output: where no input has the output's shape."""

    def __init__(self, run: Callable[..., Any], fill: float) -> None:
        self.run = run
        self.fill = fill

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.run(*args, **kwargs)
        return rebuilt(output, lambda _, part: torch.full_like(part, self.fill) if _floating(part) else part)


class RunAndMean(RunAndFill):
    """Runs the layer and puts the mean in the place of one output: where no input tells the output's shape."""

    def __init__(self, run: Callable[..., Any], place: Path, value: torch.Tensor, axis: int) -> None:
        super().__init__(run, 0.0)
        self.place = place
        self.value = value
        self.axis = axis

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.run(*args, **kwargs)
        return rebuilt(output, lambda path, part: self._mean(part) if path == self.place else part)

    def _mean(self, part: torch.Tensor) -> torch.Tensor:
        features_last = part.movedim(self.axis, -1)
        return self.value.to(part).expand_as(features_last).movedim(-1, self.axis).clone()


class Told(EditedForward):
    """An edited forward that first tells the model's library of each call."""

    def __init__(self, tell: Callable[[tuple[Any, ...], dict[str, Any]], None], forward: EditedForward) -> None:
        self.tell = tell
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.tell(args, kwargs)
        return self.forward(*args, **kwargs)

    def copying(self) -> EditedForward:
        return Told(self.tell, self.forward.copying())

    @property
    def replacement(self) -> nn.Module | None:
        return self.forward.replacement


def forward_for(op: str, module: nn.Module, flow: Flow, output: Any) -> EditedForward:
    """The forward that does `op` ("identity", "zero", "one") in the place of `module`'s; `output` is a recorded one."""
    fill = _FILL[op]
    if fill is not None and flow.needed:
        return RunAndFill(own_forward(module), fill)
    parts: dict[Path, Taken] = {path: Taken(place, fill) for path, place in flow.streams.items()}
    # An input that is handed through stays; where nothing else is a stream it is what the layer stands for.
    for path, place in flow.passed.items():
        stays = flow.streams or not isinstance(at(output, path), torch.Tensor)
        parts[path] = Taken(place, through=True) if stays else Taken(place, fill)
    template = rebuilt(output, lambda path, leaf: parts.get(path, leaf if fixed(leaf) else None))
    if not isinstance(template, Taken):
        return HandOnAs(template)
    if template.place.position == 0 and not template.place.path and template.fill is None:
        return HandOnFirst(template)
    return HandOn(template)


def forward_with(module: nn.Module, place: Path, enters: Location, flow: Flow, output: Any) -> EditedForward:
    """The forward that makes the output at `place` by `module` from the input at `enters`; `output` is a recorded one.

    What the layer only handed through stays, other streams are handed on, what nobody reads is None.
    """
    parts: dict[Path, Taken] = {path: Taken(where) for path, where in flow.streams.items()}
    parts |= {path: Taken(where, through=True) for path, where in flow.passed.items()}
    parts[place] = Computed(enters, module)
    template = rebuilt(output, lambda path, leaf: parts.get(path, leaf if fixed(leaf) else None))
    return HandOn(template) if isinstance(template, Taken) else HandOnAs(template)


def own_forward(module: nn.Module) -> Callable[..., Any]:
    """What runs the layer itself. Not the bound method: it would find the edit again after the model was pickled."""
    own: Callable[..., Any] = module.__dict__.get("forward", functools.partial(type(module).forward, module))
    return own


def _floating(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.is_floating_point()
