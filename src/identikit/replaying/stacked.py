"""The chain engine over a pool of batches: recorded once each, their branches in one stack; the rest by suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from identikit.batches import Batch
from identikit.plan import Edit
from identikit.replaying.chain import Chain
from identikit.replaying.edited import Edited
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.forms import Form, Forms
from identikit.replaying.plain import Numbered, Outputs
from identikit.replaying.recorded import Recorded, bytes_of
from identikit.replaying.stacking import Alike
from identikit.replaying.suffix import Suffix

_POOLED = 8  # batches in a pool at least, where stacking pays


class Stacked:
    """Plans in a chain go through it, batches of one form together; other plans and batches are replayed one by one."""

    name = "chain"

    def __init__(
        self, forms: Forms, suffix: Suffix, unedited: Edited, suffix_is_right: Callable[[], bool], *,
        notes: list[str], memory: int, keep: bool,
    ) -> None:  # fmt: skip
        """`unedited`: the empty plan. `suffix_is_right`: asked once something is left for it.

        `notes`: takes what a reader of the result should know.

        `keep`: recordings and states stay for the next sweep, up to `memory` bytes.
        """
        self._suffix_is_right = suffix_is_right
        self._forms = forms
        self._notes = notes
        self._suffix = suffix
        self._unedited = unedited
        self._memory = memory
        self._keep = keep
        self._kept: dict[int, tuple[Form | None, Recorded]] = {}
        self._largest = 0  # bytes of a batch's recording

    def group_size(self) -> int:
        """How many batches the next group should hold: what one large call takes, as far as memory allows."""
        wanted = max(_POOLED, *(chain.chunks.size for form in self._forms.known for chain in form.chains))
        return max(1, min(wanted, self._fitting()))

    def outputs(self, group: Sequence[Numbered], plans: Sequence[Edited], *, full: bool) -> Outputs:
        """The full model's outputs where asked for, then those under each plan."""
        found = [self._recorded(number, batch, plans) for number, batch in group]
        pool = [each for _, each in found]
        self._largest = max(self._largest, *(self._filled(each, len(plans)) for each in pool))
        for place, each in enumerate(pool):
            if full and each.computed:
                yield None, place, each.recording.output
        # The full model is a plan like others where it was not computed while recording.
        asked = [self._unedited, *plans] if any(full and not each.computed for each in pool) else list(plans)
        done: set[tuple[int, int]] = set()
        for index, place, output in self._chained(found, asked):
            if asked[index].edits or not pool[place].computed:
                done.add((index, place))
                yield asked[index] if asked[index].edits else None, place, output
        for place, each in enumerate(pool):
            left = [edited for index, edited in enumerate(asked) if (index, place) not in done]
            for edited, output in self._one_by_one(each, left) if left else ():
                yield edited, place, output
        self._put_by(group, found)

    def _chained(
        self, found: Sequence[tuple[Form | None, Recorded]], plans: Sequence[Edited]
    ) -> Iterator[tuple[int, int, Any]]:
        """What the chains give; a chain that fails on these batches leaves them to the suffix replay."""
        pool = [each for _, each in found]
        for form, chain in self._forms.chains():
            held = [index for index, edited in enumerate(plans) if chain.holds(edited)]
            own = [place for place, (each, _) in enumerate(found) if each is form]
            if not held or not own:
                continue
            chain.forget([pool[place] for place in own], _common(plans[index] for index in held))
            for places in _alike(chain, pool, own):
                room = self._memory - sum(each.bytes() for _, each in self._kept.values()) if self._keep else 0
                outputs = chain.outputs([pool[place] for place in places], [plans[i] for i in held], keep=room)
                try:
                    for index, place, output in outputs:
                        yield held[index], places[place], output
                except NotReplayableError as cause:
                    self._note(f"a chain was left for some batches: {cause}.")

    def _one_by_one(self, each: Recorded, plans: Sequence[Edited]) -> Iterator[tuple[Edited | None, Any]]:
        """What no chain took: replayed where that is right, else run plainly. A recorded full model is out already."""
        if each.computed and self._suffix_is_right():
            left = [edited for edited in plans if edited.edits]
            yield from self._suffix.replays(each.recording, each.number, each.batch, self._unedited, left)
            return
        for edited in plans:
            if edited.edits:
                yield edited, self._suffix.plain.output(each.number, each.batch, edited)
            elif not each.computed:
                yield None, self._suffix.plain.output(each.number, each.batch)

    def _filled(self, each: Recorded, plans: int) -> int:
        """Bytes that a batch fills: its recording, or a state for each plan where that is more (of a skeleton)."""
        streams = (bytes_of((step.args, dict(step.kwargs or {}))) for step in each.steps.values())
        return max(bytes_of(each.recording.tensors()), (plans + 1) * max(streams, default=0))

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _fitting(self) -> int:
        """How many batches the memory holds, by the largest pool so far: recordings, and as many states again."""
        return self._memory // (3 * self._largest) if self._largest else _POOLED

    def _recorded(self, number: int, batch: Batch, plans: Sequence[Edited]) -> tuple[Form | None, Recorded]:
        """A batch recorded, in the form that it has; in full where a plan is in no chain that a skeleton serves."""
        if number in self._kept:
            return self._kept[number]
        computed: list[Recorded] = []

        def record(form: Form) -> Recorded | None:
            if form.skeleton is not None and all(form.chains[0].holds(edited) for edited in plans):
                try:
                    each = Recorded(batch, number, form.skeleton.recorded(number, batch), computed=False)
                except NotReplayableError:  # this batch takes another way through the model: record it in full
                    return None
                return each if form.fits(each) else None
            if not computed:
                computed.append(self._in_full(number, batch))
            return computed[0] if form.fits(computed[0]) else None

        return self._forms.of(record, batch) or (None, computed[0] if computed else self._in_full(number, batch))

    def _in_full(self, number: int, batch: Batch) -> Recorded:
        return Recorded(batch, number, self._suffix.recorded(number, batch, self._unedited))

    def _put_by(self, group: Sequence[Numbered], found: Sequence[tuple[Form | None, Recorded]]) -> None:
        for (number, _), (form, each) in zip(group, found, strict=True) if self._keep else ():
            filled = sum(other.bytes() for _, other in self._kept.values())
            if number not in self._kept and each.bytes() + filled <= self._memory:
                self._kept[number] = (form, each)


def _common(plans: Iterable[Edited]) -> frozenset[Edit]:
    """The edits that all plans have."""
    sets = [frozenset(edited.edits) for edited in plans]
    return frozenset.intersection(*sets) if sets else frozenset()


def _alike(chain: Chain, pool: Sequence[Recorded], places: Sequence[int]) -> list[list[int]]:
    """Which of the batches at `places` may share a stack."""
    alike, buckets = Alike(), list[list[int]]()
    for place in places:
        for bucket in buckets:
            if _same_calls(alike, chain, pool[bucket[0]], pool[place]):
                bucket.append(place)
                break
        else:
            buckets.append([place])
    return buckets


def _same_calls(alike: Alike, chain: Chain, one: Recorded, other: Recorded) -> bool:
    for link in chain.segment.links:
        mine, theirs = one.steps[link.path], other.steps[link.path]
        if not alike.calls((mine.args, mine.kwargs), (theirs.args, theirs.kwargs), link.dims):
            return False
    return True
