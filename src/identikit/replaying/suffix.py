"""Suffix replay: leaving a layer out changes nothing before it, so all that ended before it is handed out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from identikit.batches import Batch
from identikit.replaying.edited import Edited
from identikit.replaying.errors import DamagedError
from identikit.replaying.passes import Passes
from identikit.replaying.plain import Numbered, Outputs, Plain
from identikit.replaying.playing import play
from identikit.replaying.recording import Recorder, Recording


class Suffix:
    """Records each batch once, then plays it again under every plan from the plan's first edited call on.

    Exact for any module tree, and for layers inside layers; what is called before the edited layer is not computed.
    """

    name = "suffix"

    def __init__(self, passes: Passes, recorder: Recorder, base: Callable[[Sequence[Edited]], Edited]) -> None:
        """`base`: what some plans have in common, as a plan of its own."""
        self._passes = passes
        self._recorder = recorder
        self.plain = Plain(passes)
        self._base = base

    def outputs(self, group: Sequence[Numbered], plans: Sequence[Edited], *, full: bool) -> Outputs:
        """The full model's outputs where asked for, then those under each plan, batch by batch."""
        base = self._base(plans)
        for place, (number, batch) in enumerate(group):
            if full and base.edits:
                yield None, place, self.plain.output(number, batch)
            recording = self.recorded(number, batch, base)
            if full and not base.edits:
                yield None, place, recording.output
            for edited, output in self.replays(recording, number, batch, base, plans):
                yield edited, place, output

    def group_size(self) -> int:
        """How many batches the next group should hold."""
        return 1

    def recorded(self, number: int, batch: Batch, base: Edited) -> Recording:
        """The pass over `batch` under `base`."""
        counted = self._passes.counting(batch.examples, base.idle)
        run = self._passes.runner(batch, number)
        recording: Recording = base.run(lambda: self._recorder.record(run, counted))
        return recording

    def replays(
        self, recording: Recording, number: int, batch: Batch, base: Edited, plans: Sequence[Edited]
    ) -> Iterator[tuple[Edited, Any]]:
        """Each plan with the model's output under it; plainly from the first replay on that harms the recording."""
        for index, edited in enumerate(plans):
            try:
                output = self.replay(recording, number, batch, base, edited)
            except DamagedError:
                for each in plans[index:]:
                    yield each, self.plain.output(number, batch, each)
                return
            yield edited, output

    def replay(self, recording: Recording, number: int, batch: Batch, base: Edited, edited: Edited) -> Any:
        """The model's output under one plan. Raises DamagedError where it wrote into what was recorded."""
        run = self._passes.runner(batch, number)
        live = recording.first(edited.paths - base.paths)
        counted = self._passes.counting(batch.examples, edited.idle)
        output = edited.run(lambda: play(recording, self._recorder.modules, run, live, counted=counted), base.paths)
        if recording.damaged():
            raise DamagedError(f"without {' + '.join(edited.plan.places)} the model writes into what was recorded")
        return output
