"""Which engine runs the plans of a scan, decided by proof and by measurement; what cannot be replayed runs plainly."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.replaying.budget import budget_on
from identikit.replaying.edited import Edited
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.forms import Form, Forms
from identikit.replaying.pair import pair_of
from identikit.replaying.passes import Passes
from identikit.replaying.plain import Numbered, Plain
from identikit.replaying.proof import Proof, sampled
from identikit.replaying.proving import Proving
from identikit.replaying.recording import Recorder
from identikit.replaying.stacked import Stacked
from identikit.replaying.suffix import Suffix
from identikit.replaying.ways import beside, ways_to
from identikit.surgery.choose import check_plans

ENGINES = ("auto", "suffix", "chain", "loop")
_WORTH = 40  # plans x examples: below, proving an engine costs more than it saves


class Engine:
    """Runs plans on groups of batches. `prepare` chooses how; `notes` say where a model could not be replayed."""

    def __init__(
        self, anatomy: Anatomy, sites: Collection[str], *, seed: int = 0, asked: str = "auto",
        memory: int | None = None, keep: bool = False,
    ) -> None:  # fmt: skip
        """`sites`: every layer that any plan edits. `keep`: sweeps follow that build on each other (a search)."""
        if asked not in ENGINES:
            raise MetricError(f'engine="{asked}" is not known; there are {", ".join(ENGINES)}.')
        layers = anatomy.blocks() or sorted(sites)
        self.passes = Passes(anatomy, seed, layers)
        self.notes: list[str] = []
        self._anatomy = anatomy
        self._asked = asked
        self._keep = keep
        self._memory = budget_on(self.passes.device, memory)
        self._layers = beside(anatomy, layers)
        wrapped = [*sites, *self._layers]
        self._recorder = Recorder(ways_to(anatomy, wrapped), wrapped, self._layers)
        self._suffix = Suffix(self.passes, self._recorder, self._common)
        self._chosen: Plain | Suffix | Stacked = Plain(self.passes)
        self._edited: dict[Plan, Edited] = {}

    @property
    def name(self) -> str:
        """The engine in use."""
        return self._chosen.name

    def group_size(self) -> int:
        """How many batches the next group should hold."""
        return self._chosen.group_size()

    def outputs(
        self, group: Sequence[Numbered], plans: Sequence[Plan], *, full: bool
    ) -> Iterator[tuple[Plan | None, int, Any]]:
        """(plan or None for the full model, the batch's place in the group, the model's output), in any order."""
        with self.passes.session():
            for edited, place, output in self._chosen.outputs(group, self._ready(plans), full=full):
                yield (edited.plan if edited is not None else None), place, output

    def prepare(self, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> None:
        """Choose an engine for `plans` on batches like `first`; `examples`: how many there are, where that is known."""
        few = len(plans) < 2 or (examples is not None and len(plans) * examples < _WORTH)
        if self._asked == "loop" or not plans or (self._asked == "auto" and few):
            return
        ready = self._ready(plans)
        with self.passes.session(), self.passes.work.checking():
            proving = self._proving(first, second, ready)
            form = None if self._asked == "suffix" else self._form(proving, first, ready)
            if form is None:
                self._suffixed(proving)
                return
            learn = functools.partial(self._learned, plans=ready)
            forms, right = Forms(learn, [form]), proving.suffix_is_right
            kept: dict[str, Any] = {"notes": self.notes, "memory": self._memory, "keep": self._keep}
            self._chosen = Stacked(forms, self._suffix, self._of(Plan()), right, **kept)

    def _proving(self, first: Batch, second: Batch | None, plans: Sequence[Edited]) -> Proving:
        pair = pair_of(first, second)
        proof = Proof(self.passes, pair, sampled(plans, self._anatomy.watched))
        return Proving(self.passes, self._recorder, self._suffix, self._of(Plan()), pair, proof)

    def _form(self, proving: Proving, first: Batch, plans: Sequence[Edited], which: str = "") -> Form | None:
        """The chains for batches like `first`, where they are right and pay. `which` batches, for the note."""
        try:
            found = proving.chains(self._anatomy.watched, self._layers, plans, self._memory)
            wanted = self._asked == "chain" or self._keep
            gains = [proving.pays(chain, first.examples) for chain in found]  # each also learns the size of its calls
            if not any(gains) and not wanted:
                return None
            skeleton = proving.skeleton(found[0]) if len(found) == 1 else None
            if not proving.exact:
                skeleton = None  # the full model at least is then run as it is
            for chain in found if skeleton is None else ():
                proving.chain(chain)
        except NotReplayableError as cause:
            if self._asked == "chain":
                self.notes.append(f"no chain{which}: {cause}; scanned by suffix replay.")
            return None
        exact = proving.exact or self._asked == "chain"  # small products are summed in another order when stacked
        return Form(found, skeleton) if exact else None

    def _learned(self, batch: Batch, plans: Sequence[Edited]) -> Form | None:
        """The chains for batches that are called in another form than those before."""
        with self.passes.work.checking():
            which = " for batches whose layers are called in another form"
            return self._form(self._proving(batch, None, plans), batch, plans, which)

    def _suffixed(self, proving: Proving) -> None:
        """Take the suffix replay, where it is right."""
        try:
            proving.suffix()
        except NotReplayableError as cause:
            self.notes.append(f"not replayable: {cause}; scanned by the plain loop.")
            return
        self._chosen = self._suffix

    def _common(self, plans: Sequence[Edited]) -> Edited:
        """What all plans have in common, as a plan of its own."""
        edits = frozenset.intersection(*(frozenset(edited.plan) for edited in plans)) if len(plans) > 1 else frozenset()
        return self._of(replace(plans[0].plan, edits=edits) if edits else Plan())

    def _of(self, plan: Plan) -> Edited:
        return self._ready([plan])[0]

    def _ready(self, plans: Sequence[Plan]) -> list[Edited]:
        """`plans` made ready, each once. Raises what `check_plan` does."""
        new = [plan for plan in plans if plan not in self._edited]
        for plan, edits in zip(new, check_plans(self._anatomy, new), strict=True):
            self._edited[plan] = Edited(self._anatomy, plan, edits)
        return [self._edited[plan] for plan in plans]
