"""The chain engine over a pool of batches: recorded once each, their branches in one stack; the rest by suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from identikit.batches import Batch
from identikit.plan import Edit
from identikit.replaying.chain import Chain, Recorded, bytes_of
from identikit.replaying.edited import Edited
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.plain import Numbered, Outputs
from identikit.replaying.recording import Recording
from identikit.replaying.skeleton import Skeleton
from identikit.replaying.stacking import Alike
from identikit.replaying.suffix import Suffix
from identikit.structure.trees import leaves

_POOLED = 8  # batches in a pool at least, where stacking pays


class Stacked:
    """Plans in a chain go through it, batches of one form together; other plans and batches are replayed one by one."""

    name = "chain"

    def __init__(
        self, chains: Sequence[Chain], suffix: Suffix, unedited: Edited, suffix_is_right: Callable[[], bool], *,
        skeleton: Skeleton | None, memory: int, keep: bool,
    ) -> None:  # fmt: skip
        """`unedited`: the empty plan. `suffix_is_right`: asked once something is left for it.

        `skeleton`: records passes without computing the layers, where one chain holds all of them.

        `keep`: recordings and states stay for the next sweep, up to `memory` bytes.
        """
        self._suffix_is_right = suffix_is_right
        self.chains = chains
        self._suffix = suffix
        self._unedited = unedited
        self._memory = memory
        self._keep = keep
        self._skeleton = skeleton
        self._kept: dict[int, Recorded] = {}
        self._largest = 0  # bytes of a batch's recording

    def group_size(self) -> int:
        """How many batches the next group should hold: what one large call takes, as far as memory allows."""
        wanted = max(_POOLED, *(chain.chunks.size for chain in self.chains))
        return max(1, min(wanted, self._fitting()))

    def outputs(self, group: Sequence[Numbered], plans: Sequence[Edited], *, full: bool) -> Outputs:
        """The full model's outputs where asked for, then those under each plan."""
        whole = all(self.chains[0].holds(edited) for edited in plans)
        pool = [self._recorded(number, batch, skeleton=whole) for number, batch in group]
        self._largest = max(self._largest, *(bytes_of(each.recording.tensors()) for each in pool))
        for place, each in enumerate(pool):
            if full and each.computed:
                yield None, place, each.recording.output
        # The full model is a plan like others where it was not computed while recording.
        asked = [self._unedited, *plans] if any(full and not each.computed for each in pool) else plans
        done: set[tuple[int, int]] = set()
        for index, place, output in self._chained(pool, asked):
            if asked[index] is not self._unedited or not pool[place].computed:
                done.add((index, place))
                yield asked[index] if asked[index].edits else None, place, output
        for place, each in enumerate(pool):
            left = [edited for index, edited in enumerate(asked) if edited.edits and (index, place) not in done]
            for edited, output in self._one_by_one(each, left) if left else ():
                yield edited, place, output
        self._put_by(pool)

    def _chained(self, pool: Sequence[Recorded], plans: Sequence[Edited]) -> Iterator[tuple[int, int, Any]]:
        """What the chains give; a chain that fails on these batches leaves them to the suffix replay."""
        for chain in self.chains:
            held = [index for index, edited in enumerate(plans) if chain.holds(edited)]
            if not held:
                continue
            chain.forget(pool, _common(plans[index] for index in held))
            for places in self._alike(chain, pool):
                budget = self._memory - sum(each.bytes() for each in self._kept.values()) if self._keep else 0
                found = chain.outputs([pool[place] for place in places], [plans[i] for i in held], keep=budget)
                try:
                    for index, place, output in found:
                        yield held[index], places[place], output
                except NotReplayableError:
                    continue

    def _one_by_one(self, each: Recorded, plans: Sequence[Edited]) -> Iterator[tuple[Edited, Any]]:
        """What no chain took: replayed where that is right, else run plainly."""
        if each.computed and self._suffix_is_right():
            yield from self._suffix.replays(each.recording, each.number, each.batch, self._unedited, plans)
            return
        for edited in plans:
            yield edited, self._suffix.plain.output(each.number, each.batch, edited)

    def _alike(self, chain: Chain, pool: Sequence[Recorded]) -> list[list[int]]:
        """The batches that may share a stack, by their places; those of another form than the chain's are left out."""
        alike, buckets = Alike(), list[list[int]]()
        for place, each in enumerate(pool):
            if each.recording.drew or not _fits(chain, each.recording, each):
                continue
            for bucket in buckets:
                if _same_calls(alike, chain, pool[bucket[0]], each):
                    bucket.append(place)
                    break
            else:
                buckets.append([place])
        return buckets

    def _fitting(self) -> int:
        """How many batches the memory holds, by the largest pool so far: recordings, and as many states again."""
        return self._memory // (3 * self._largest) if self._largest else _POOLED

    def _recorded(self, number: int, batch: Batch, *, skeleton: bool) -> Recorded:
        if number in self._kept:
            return self._kept[number]
        if self._skeleton is not None and skeleton:
            each = Recorded(batch, number, self._skeleton.recorded(number, batch), computed=False)
            if _fits(self.chains[0], each.recording, each):
                return each
        return Recorded(batch, number, self._suffix.recorded(number, batch, self._unedited))

    def _put_by(self, pool: Sequence[Recorded]) -> None:
        for each in pool if self._keep else ():
            if each.number in self._kept:
                continue
            if each.bytes() + sum(other.bytes() for other in self._kept.values()) <= self._memory:
                self._kept[each.number] = each


def _common(plans: Iterable[Edited]) -> frozenset[Edit]:
    """The edits that all plans have."""
    sets = [frozenset(edited.edits) for edited in plans]
    return frozenset.intersection(*sets) if sets else frozenset()


def _fits(chain: Chain, recording: Recording, each: Recorded) -> bool:
    """Whether the layers were called as they were when the batch dimensions were learned."""
    for link in chain.segment.links:
        step = each.steps.get(link.path)
        if step is None or step.computed or sum(other.path == link.path for other in recording.steps) != 1:
            return False
        given = {path for path, leaf in leaves((step.args, step.kwargs)) if _is_tensor(leaf)}
        made = {path for path, leaf in leaves(step.output) if _is_tensor(leaf)}
        if given != link.dims.keys() or (each.computed and made != link.outs.keys()):
            return False
    return True


def _same_calls(alike: Alike, chain: Chain, one: Recorded, other: Recorded) -> bool:
    for link in chain.segment.links:
        mine, theirs = one.steps[link.path], other.steps[link.path]
        if not alike.calls((mine.args, mine.kwargs), (theirs.args, theirs.kwargs), link.dims):
            return False
    return True


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor)
