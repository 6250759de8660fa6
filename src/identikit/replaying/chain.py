"""The chain: layers called one after the other with all ablated branches stacked along the batch, each state once.

Two branches that lack the same layers so far are in the same state, so the states before a layer are a table from
"what is gone before here" to tensors. Leave-one-out over L layers fills (L - 1) L / 2 entries beside the full model's
L; a greedy search that keeps the table from round to round adds only what its last choice changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from identikit.plan import REPLACING, Edit, Plan
from identikit.replaying.chunks import Chunks
from identikit.replaying.edited import Edited
from identikit.replaying.errors import DamagedError, NotReplayableError
from identikit.replaying.links import Link, Segment
from identikit.replaying.passes import Passes
from identikit.replaying.playing import play
from identikit.replaying.recorded import Gone, Recorded, State, bytes_of
from identikit.replaying.recording import Recorder
from identikit.replaying.stacking import Member, joined, split
from identikit.structure.same_layout import same_layout
from identikit.structure.trees import Path, at, rebuilt


@dataclass(frozen=True)
class _Branch:
    """One state to compute: of which batch, what is gone before the layer, and what is gone behind it."""

    each: Recorded
    before: Gone
    after: Gone


class Chain:
    """Runs plans whose edits all lie in one segment."""

    def __init__(self, passes: Passes, recorder: Recorder, segment: Segment, chunks: Chunks) -> None:
        self.segment = segment
        self.chunks = chunks
        self._passes = passes
        self._recorder = recorder
        self._positions: dict[str, int] = {}

    def outputs(
        self, pool: Sequence[Recorded], plans: Sequence[Edited], *, keep: int = 0
    ) -> Iterator[tuple[int, int, Any]]:
        """(number of the plan, number of the batch in the pool, the model's output), plan by plan.

        `keep`: bytes of states that stay known for the next call. Raises NotReplayableError where a layer does not do
        alone what it did inside the model.
        """
        needed = [self._needed(each, plans) for each in pool]
        for position in range(self.depth):
            branches = [
                _Branch(each, after - self._edits_at(after, position), after)
                for each, wanted in zip(pool, needed, strict=True)
                for after in wanted[position + 1]
            ]
            keep -= self._advance(position, branches, {edited.plan: edited for edited in plans})
            self._let_go(pool, position, keep)
        for index, edited in enumerate(plans):
            gone = self._gone(edited, self.depth)
            edited.reached()
            for place, each in enumerate(pool):
                yield index, place, self._tail(each, each.known[self.depth, gone])
        self._let_go(pool, self.depth, keep)

    @property
    def depth(self) -> int:
        """How many layers the chain has."""
        return len(self.segment.links)

    def forget(self, pool: Iterable[Recorded], common: Iterable[Edit]) -> None:
        """Drop the states that no plan with `common` among its edits can reach."""
        needed = frozenset(common)
        for each in pool:
            for position, gone in list(each.known):
                if not {edit for edit in needed if self._at(edit) < position} <= gone:
                    del each.known[position, gone]

    def holds(self, edited: Edited) -> bool:
        """Whether all edits of a plan lie in this chain."""
        return all(self.segment.position(path) is not None for path in edited.paths)

    def _gone(self, edited: Edited, position: int) -> Gone:
        """What is gone before `position`."""
        return frozenset(edit for edit in edited.edits if self._at(edit) < position)

    def _edits_at(self, gone: Gone, position: int) -> Gone:
        return frozenset(edit for edit in gone if self._at(edit) == position)

    def _at(self, edit: Edit) -> int:
        if edit.at not in self._positions:
            found = self.segment.position(edit.at)
            if found is None:
                raise NotReplayableError(f'"{edit.at}" lies outside the chain')
            self._positions[edit.at] = found
        return self._positions[edit.at]

    def _needed(self, each: Recorded, plans: Sequence[Edited]) -> list[list[Gone]]:
        """By position: the states to compute there, found from the end on; what is known needs nothing before it."""
        wanted: list[dict[Gone, None]] = [{} for _ in range(self.depth + 1)]
        for edited in plans:
            for position in range(self.depth, 0, -1):
                gone = self._gone(edited, position)
                if (position, gone) in each.known or gone in wanted[position]:
                    break
                wanted[position][gone] = None
        return [list(gone) for gone in wanted]

    def _advance(self, position: int, branches: list[_Branch], plans: Mapping[Plan, Edited]) -> int:
        """Compute the states behind layer `position`; returns their bytes."""
        link = self.segment.links[position]
        groups: dict[Gone, list[_Branch]] = {}
        for branch in branches:
            if branch.after or not branch.each.computed:
                groups.setdefault(branch.after - branch.before, []).append(branch)
            else:  # the full model's states were recorded
                self._note(position, branch, branch.each.steps[link.path].output)
        for here, group in groups.items():
            edited = next(each for each in plans.values() if here <= set(each.edits))
            replaced = any(edit.at == link.path and edit.op in REPLACING for edit in here)
            alone = replaced or any(edit.op not in REPLACING for edit in here)  # which takes values of other rows
            with edited.applied(here):
                self._compute(position, link, group, replaced, alone)
        return sum(
            bytes_of(branch.each.known[position + 1, branch.after])
            for branch in branches
            if branch.after or not branch.each.computed
        )

    def _compute(self, position: int, link: Link, rest: list[_Branch], replaced: bool, alone: bool) -> None:
        while rest:
            size = 1 if alone else self.chunks.size
            part, rest = rest[:size], rest[size:]
            for branch, state in zip(part, self._called(position, link, part, replaced), strict=True):
                self._note(position, branch, state)

    def _note(self, position: int, branch: _Branch, state: State) -> None:
        """Of a state, what the next layer takes is kept; of the last one all, for the tail."""
        if position + 1 < self.depth:
            read = set(self.segment.links[position + 1].carried.values())
            state = rebuilt(state, lambda path, leaf: leaf if path in read else None)
        branch.each.known[position + 1, branch.after] = state

    def _let_go(self, pool: Sequence[Recorded], position: int, keep: int) -> None:
        """What stands before `position` is used up; the full model's states lie in the recording anyway."""
        if keep > 0:
            return
        for each in pool:
            for key in [
                key
                for key in each.known
                if key[0] == position and (key[1] or position == self.depth or not each.computed)
            ]:
                del each.known[key]

    def _called(self, position: int, link: Link, part: list[_Branch], replaced: bool) -> list[State]:
        module = self._passes.model.get_submodule(link.path)
        members = [self._member(position, link, branch) for branch in part]
        step = part[0].each.steps[link.path]
        args, kwargs = joined(members, link.dims, copy=step.computed)
        if replaced:
            return [module.forward(*args, **kwargs)]  # its hooks stand outside of what was recorded
        output = self.chunks.timed(len(members), lambda: module.forward(*args, **kwargs))
        if link.path in self._passes.layers:
            self._passes.work.add(sum(branch.each.batch.examples for branch in part))
        return split(output, members, link.outs)

    def _member(self, position: int, link: Link, branch: _Branch) -> Member:
        step = branch.each.steps[link.path]
        stream: dict[Path, torch.Tensor] = {}
        if position and (branch.before or not branch.each.computed):
            state = branch.each.known[position, branch.before]
            for place, path in link.carried.items():
                value = at(state, path)
                if not isinstance(value, torch.Tensor):
                    raise NotReplayableError(f'"{link.path}" gets no tensor where the layer before is gone')
                stream[place] = value
        return Member(step.args, step.kwargs or {}, stream, branch.each.batch.examples)

    def _tail(self, each: Recorded, state: State) -> Any:
        """The model's output from the state behind the last layer: what comes after it is computed."""
        last = each.steps[self.segment.links[-1].path]
        given = rebuilt(state, _copied) if last.written else rebuilt(state, lambda _, leaf: leaf)
        run = self._passes.runner(each.batch, each.number)
        counted = self._passes.counting(each.batch.examples)
        modules = self._recorder.modules
        output = play(each.recording, modules, run, last.after, given={last.number: given}, counted=counted)
        if each.recording.damaged():
            raise DamagedError("the model writes into what was recorded")
        return output


def _copied(_: Path, leaf: Any) -> Any:
    return same_layout(leaf) if isinstance(leaf, torch.Tensor) else leaf
