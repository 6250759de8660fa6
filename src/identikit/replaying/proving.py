"""From a proof to an engine: the suffix replay, and the chain where it is right too and pays on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from identikit.batches import Batch
from identikit.replaying.chain import Chain
from identikit.replaying.chunks import Chunks
from identikit.replaying.edited import Edited
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.links import Segment, segments
from identikit.replaying.passes import Passes
from identikit.replaying.proof import Proof, sampled
from identikit.replaying.recorded import Recorded, bytes_of
from identikit.replaying.recording import Recorder, Recording
from identikit.replaying.skeleton import Skeleton
from identikit.replaying.stacking import Member, joined
from identikit.replaying.suffix import Suffix
from identikit.structure.watch import Watched
from identikit.surgery.check import NOT_RUN

_GAIN = 0.9  # what a branch in a large call may cost beside one alone for stacking to pay
_ROOM = 16  # a call's inner values, beside its output (attention scores, the wide layer of an MLP)


class Proving:
    """Holds the engines against the plain loop on two examples; the recording of these is made once for all."""

    def __init__(
        self, passes: Passes, recorder: Recorder, suffix: Suffix, unedited: Edited, pair: Batch, proof: Proof
    ) -> None:
        self._passes = passes
        self._recorder = recorder
        self._suffix = suffix
        self._unedited = unedited
        self._pair = pair
        self._proof = proof
        self._made: Recording | None = None
        self._suffix_is: bool | None = None

    @property
    def exact(self) -> bool:
        """Whether everything that was held against the plain loop is bit-equal to it."""
        return self._proof.exact

    def suffix(self) -> None:
        """Raises NotReplayableError where suffix replays differ from plain runs."""
        two, base = self._two(), self._unedited

        def replays(plans: Sequence[Edited]) -> list[Any]:
            return [self._suffix.replay(two, 0, self._pair, base, edited) for edited in plans]

        self._proof.hold(replays)

    def suffix_is_right(self) -> bool:
        """Whether suffix replays are the plain runs; found out when it is first asked."""
        if self._suffix_is is None:
            with self._passes.work.checking():
                try:
                    self.suffix()
                    self._suffix_is = True
                except NotReplayableError:
                    self._suffix_is = False
        return self._suffix_is

    def chains(self, watched: Watched, layers: Sequence[str], plans: Sequence[Edited], memory: int) -> list[Chain]:
        """The chains that hold one of `plans`. Raises NotReplayableError, saying why, where there is none."""
        self._plans, self._watched = plans, watched
        self._one = self._suffix.recorded(0, self._pair.head(1), self._unedited)
        two = self._two()
        if two.drew or self._passes.keeps_state:
            what = "keeps a state of its own between passes" if self._passes.keeps_state else "draws random numbers"
            raise NotReplayableError(f"the model {what}")
        parts = segments(watched, self._one, two, layers)
        chains = [self._chain(part, two, memory) for part in parts]
        chains = [chain for chain in chains if any(chain.holds(edited) for edited in plans)]
        if not chains:
            raise NotReplayableError("no edited layer stands in a row of others")
        return chains

    def pays(self, chain: Chain, rows: int) -> bool:
        """Whether a branch of `rows` rows costs clearly less in a large call than alone, on a middle layer."""
        recorded = Recorded(self._pair.head(1), 0, self._one)
        link = chain.segment.links[chain.depth // 2]
        step, module = recorded.steps[link.path], self._passes.model.get_submodule(link.path)
        member = Member(step.args, step.kwargs or {}, {}, 1)

        def call(members: int) -> Any:
            args, kwargs = joined([member] * (members * rows), link.dims, copy=True)
            return module.forward(*args, **kwargs)

        return chain.chunks.gain(call) < _GAIN

    def skeleton(self, chain: Chain) -> Skeleton | None:
        """What records batches for `chain` without computing its layers; None where the model does not run so."""
        outputs = {step.path: step.output for step in self._two().steps}
        found = Skeleton(self._passes, self._recorder, chain.segment, outputs)
        try:
            recording = found.recorded(0, self._pair)
            self._hold(chain, Recorded(self._pair, 0, recording, computed=False))
        except (NotReplayableError, *NOT_RUN):
            return None
        return found

    def chain(self, chain: Chain) -> None:
        """Raises NotReplayableError where the chain differs from plain runs."""
        self._hold(chain, Recorded(self._pair, 0, self._two()))

    def _hold(self, chain: Chain, each: Recorded) -> None:
        def replays(plans: Sequence[Edited]) -> list[Any]:
            found = {index: output for index, _, output in chain.outputs([each], plans)}
            return [found[index] for index in range(len(plans))]

        own = [edited for edited in self._plans if chain.holds(edited)]
        self._proof.hold(replays, sampled(own, self._watched))

    def _two(self) -> Recording:
        if self._made is None:
            self._made = self._suffix.recorded(0, self._pair, self._unedited)
        return self._made

    def _chain(self, part: Segment, two: Recording, memory: int) -> Chain:
        last = next(step for step in two.steps if step.path == part.links[-1].path)
        most = max(1, memory // (_ROOM * max(1, bytes_of(last.output))))
        return Chain(self._passes, self._recorder, part, Chunks(self._passes.device, most))
