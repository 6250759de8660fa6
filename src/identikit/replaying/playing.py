"""A recorded pass played again: calls that ended before a point hand out what they returned, the rest is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from identikit.replaying.recording import Recording
from identikit.structure.override import Forward, overriding


class Player:
    """Follows a pass along its recording. From the first call that comes out of order everything is computed."""

    def __init__(self, recording: Recording, live: int, given: Mapping[int, Any]) -> None:
        """`live`: the number of the first step that is computed. `given`: other outputs for some steps before it."""
        self._steps = recording.steps
        self._live = live
        self._given = given
        #: The steps around one with another output: they are entered, not handed out.
        self._entered = {step.number for step in self._steps for own in given if step.number < own < step.after}
        self._at = 0
        self._playing = True

    def wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        """`forward`, or the recorded output in its place."""

        def played(*args: Any, **kwargs: Any) -> Any:
            if not self._playing:
                return forward(*args, **kwargs)
            number = self._at
            step = self._steps[number] if number < len(self._steps) else None
            if step is None or step.path != path or number >= self._live:
                self._playing = False
                if step is not None and step.path == path and step.draws is not None:
                    step.draws.put_back()
                return forward(*args, **kwargs)
            if number in self._given:
                self._at = step.after
                return self._given[number]
            if step.after <= self._live and not step.computed and number not in self._entered:
                self._at = step.after
                return step.handed()
            self._at += 1
            return forward(*args, **kwargs)

        return played


def play(
    recording: Recording,
    modules: dict[str, nn.Module],
    run: Callable[[], Any],
    live: int,
    *,
    given: Mapping[int, Any] | None = None,
    counted: Callable[[str, nn.Module, Forward], Forward] | None = None,
) -> Any:
    """`run()`, a pass of the recorded model, with what ended before step `live` handed out."""
    player = Player(recording, live, given or {})

    def wrap(path: str, module: nn.Module, forward: Forward) -> Forward:
        return player.wrap(path, module, counted(path, module, forward) if counted else forward)

    with overriding(modules, wrap):
        return run()
