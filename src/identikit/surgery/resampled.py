"""Resample ablation: the layer runs, and what it contributes is that of another example of the same batch.

Each example takes the values of the one before it in the batch, the first those of the last: nobody keeps its own,
and no random numbers are drawn. Chan et al. 2022 (causal scrubbing); Zhang and Nanda 2024 (arXiv:2309.16042): the
layer's output stays in distribution, where zeros and means do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from identikit.errors import IdentikitError, InputsError, PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import RESAMPLE, Edit, Option
from identikit.replacing.options import CONTRIBUTION, OUTPUT, Options, check_options, read_dims
from identikit.sources.readings import Data
from identikit.structure.roles import BLOCK, never_ran
from identikit.structure.streams import Flow
from identikit.structure.trees import Path, rebuilt, shape_of
from identikit.structure.watch import Call, Location
from identikit.surgery.donors import ONE_EXAMPLE, donor_dims
from identikit.surgery.forwards import EditedForward, RunAndFill, Taken, own_forward
from identikit.surgery.reader import Tensors
from identikit.surgery.substitute import Substitute


@dataclass(frozen=True)
class Shift:
    """How one output is shifted along its batch dimension; where a stream is given, only what the layer adds to it."""

    dim: int
    rows: int
    stream: Location | None


class RunAndResample(RunAndFill):
    """Runs the layer and gives each example what the one before it in the batch would have got."""

    runs = True

    def __init__(self, run: Callable[..., Any], place: str, shifts: Mapping[Path, Shift]) -> None:
        super().__init__(run, 0.0)
        self.place = place
        self.shifts = dict(shifts)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        streams = {
            path: Taken(shift.stream).of(args, kwargs).clone()  # before the layer, which may write into its input
            for path, shift in self.shifts.items()
            if shift.stream is not None
        }
        shifted: list[Path] = []

        def leaf(path: Path, part: Any) -> Any:
            if path not in self.shifts or not isinstance(part, torch.Tensor):
                return part
            shifted.append(path)
            return self._shifted(self.shifts[path], part, streams.get(path))

        output = rebuilt(self.run(*args, **kwargs), leaf)
        if len(shifted) < len(self.shifts):
            raise RoleError(f'"{self.place}" returns other tensors than when it was resampled first. Resample it anew.')
        return output

    def _shifted(self, shift: Shift, part: torch.Tensor, stream: torch.Tensor | None) -> torch.Tensor:
        size = part.shape[shift.dim] if shape_of(part) is not None and part.ndim > shift.dim else 0
        if size == shift.rows:
            raise InputsError(f'"{self.place}": {ONE_EXAMPLE}')
        if size < shift.rows or size % shift.rows:
            raise InputsError(
                f'"{self.place}" returns {size} rows in dimension {shift.dim}, which are no examples of {shift.rows} '
                "each. Resample it anew, on an example called like this one."
            )
        if stream is None:
            return part.roll(shift.rows, shift.dim)
        return stream + (part - stream).roll(shift.rows, shift.dim)


class AsResample(Substitute):
    """The layer runs; what is shifted is noted, and along which dimension of each output.

    Of a block its contribution is (what it adds to its stream), of every other layer its output; the option `of` may
    say so.
    """

    name = RESAMPLE
    options = Options({"of": (CONTRIBUTION, OUTPUT)}, lies=("dims", "rows"))

    def requested(
        self, anatomy: Anatomy, paths: list[str], data: Data | None, options: Mapping[str, Option]
    ) -> tuple[list[Edit], Tensors]:
        """Raises RoleError where the examples in a layer's output are not known, InputsError where there is but one."""
        for path in paths:
            check_options(Edit(self.name, path, tuple(options.items())), self.options)
        of = {path: options.get("of") or _meant(anatomy, path) for path in paths}
        wanted = {path: _read(anatomy, path, of[path])[0] for path in paths}
        found = donor_dims(anatomy, {path: list(places) for path, places in wanted.items()})
        edits = []
        for path, dims in found.items():
            known = {each[1] for each in dims.values() if each is not None}
            if len(known) > 1:
                raise RoleError(
                    f'"{path}" returns tensors that hold examples in different ways. Resample a layer in it.'
                )
            text = ",".join("-" if each is None else str(each[0]) for each in dims.values())
            said = {"of": of[path], "dims": text, "rows": known.pop(), **options}
            edits.append(Edit(self.name, path, tuple(said.items())))
            self.check(anatomy, edits[-1])
        return edits, {}

    def check(self, anatomy: Anatomy, edit: Edit) -> None:
        """Its options, and that the layer's outputs are those that it was made for."""
        check_options(edit, self.options)
        _shifts(anatomy, edit)

    def forward(self, anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
        """Runs the layer and shifts what it made."""
        call = anatomy.watched.by_path[edit.at][0]
        return RunAndResample(own_forward(call.module), edit.at, _shifts(anatomy, edit))


def refuse_for_good(edits: Iterable[Edit], done: str, error: type[IdentikitError] = RoleError) -> None:
    """Raise `error` where one of `edits` resamples: such a layer needs other examples, and its own weights."""
    for edit in edits:
        if edit.op == RESAMPLE:
            raise error(
                f'"{edit.at}" is resampled: it takes the values of another example of the batch, so it cannot be '
                f'{done}. Keep the edit as a plan (handle.plan.write(path)), or replace the layer: as_="mean".'
            )


def _shifts(anatomy: Anatomy, edit: Edit) -> dict[Path, Shift]:
    options = dict(edit.options)
    dims, of = read_dims(edit), options.get("of", OUTPUT)
    outputs, flow = _read(anatomy, edit.at, of)
    if len(dims) != len(outputs):
        raise PlanError(
            f"{edit} is for {len(dims)} outputs; the layer here has {len(outputs)}. Load the model that the plan was "
            "made for, with inputs called as there."
        )
    streams = flow.streams if of == CONTRIBUTION else {}
    if of == CONTRIBUTION and not any(path in streams for path in outputs):
        raise RoleError(f'"{edit.at}" has no stream, so it contributes to none. Use options={{"of": "output"}}.')
    rows, found = int(options.get("rows") or 1), {}
    for (path, output), dim in zip(outputs.items(), dims, strict=True):
        if dim is not None:
            if dim >= output.ndim:
                raise PlanError(
                    f'{edit.op} at "{edit.at}": dims="{options["dims"]}", and the output of the layer here has '
                    f"{output.ndim} dimensions."
                )
            found[path] = Shift(dim, rows, streams.get(path))
    return found


def _meant(anatomy: Anatomy, path: str) -> str:
    """A block adds to its stream, which stays each example's own; of all else the output is what it contributes."""
    return CONTRIBUTION if anatomy.verdict(path).role == BLOCK else OUTPUT


def _read(anatomy: Anatomy, path: str, of: Option) -> tuple[dict[Path, torch.Tensor], Flow]:
    """The floating outputs that something reads later (all where nothing does, but those only handed through)."""
    calls: list[Call] = anatomy.watched.by_path.get(path, [])
    verdict = anatomy.verdict(path, prove=of == CONTRIBUTION)  # a proof may find the stream among several inputs
    if not calls or verdict.flow is None:
        raise RoleError(verdict.why if calls else never_ran(path))
    flow, call = verdict.flow, calls[0]
    floating = {place: value for place, value in call.tensors_out() if value.is_floating_point()}
    read = {place: value for place, value in floating.items() if place in flow.streams or place in flow.needed}
    chosen = read or {place: value for place, value in floating.items() if place not in flow.passed}
    if not chosen:
        raise RoleError(f'"{path}" returns no floating numbers of its own: no other example has any to give. Keep it.')
    if any(value.is_meta for value in chosen.values()):
        raise InputsError(f'"{path}" is on the meta device and computes nothing. Load the weights first.')
    return chosen, flow
