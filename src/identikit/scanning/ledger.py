"""The ledger of a scan or prune: each plan is measured once, written down at once, and read back after a restart."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from identikit.errors import MetricError, SaveError
from identikit.families.anatomy import Anatomy
from identikit.files import check_writable, explained
from identikit.metrics import Metric
from identikit.plan import Plan
from identikit.progress import Board
from identikit.results import DataInfo, Header, MetricInfo, Row, ScanResult, SiteInfo
from identikit.results.header import Interval
from identikit.scanning.cost import parameters_of, time_shares
from identikit.scanning.loop import ENGINE, Loop
from identikit.scanning.score import Score
from identikit.scanning.statistics import effect
from identikit.sources.readings import Data
from identikit.structure.fingerprints import identity_of
from identikit.surgery.apply import install
from identikit.surgery.carried import first_paths

_LIBRARIES = ("torch", "transformers", "sentence_transformers", "timm")


class Ledger:
    """Measures plans with the plain loop (or a whole-model score) and keeps the rows in `result`."""

    def __init__(
        self,
        anatomy: Anatomy,
        data: Data | None,
        metrics: Sequence[Metric],
        score: Score | None,
        *,
        seed: int = 0,
        confidence: float = 0.95,
    ) -> None:
        self.anatomy = anatomy
        self.result: ScanResult
        self._metrics = metrics
        self._data = data
        self._score = score
        self._seed = seed
        self._confidence = confidence
        self._loop = Loop(anatomy, data, metrics, seed) if data is not None else None
        self.scores: dict[str, float] = {}
        self._file: Path | None = None
        self._growing: Path | None = None

    def open(
        self,
        paths: Sequence[str],
        board: Board,
        *,
        to: Path | None,
        resume: bool,
        overwrite: bool,
        name: str,
        command: str,
    ) -> None:
        """Measure the full model and start (or go on with) the result. Raises ResultError for another run's file."""
        if to is not None:
            _check_file(to, resume=resume, overwrite=overwrite)
        if self._score is not None:
            self.scores[self._score.name] = self._score(self.anatomy.model, self._seed)
        if self._loop is not None and self._data is not None:
            for _ in board.track(self._loop.run_full(), "full model", _length(self._data)):
                pass
            self.scores |= {metric.name: metric.aggregate(self._loop.full[metric.name]) for metric in self._metrics}
        header = self._header(paths, name, command)
        if to is None:
            self.result = ScanResult(header)
            return
        # A file that is replaced stays until the new one is whole: rows go to a file beside it first.
        beside = to.with_name(to.name + ".new")
        self._file, self._growing = to, beside if to.exists() and (not resume or beside.exists()) else to
        if resume:
            self.result = ScanResult.resume(self._growing, header)
        else:
            self.result = ScanResult.create(self._growing, header, overwrite=overwrite)

    def close(self) -> None:
        """Close the file; without a single row it was not worth keeping."""
        self.result.close()
        if self._growing is not None and not len(self.result):
            self._growing.unlink(missing_ok=True)

    def finish(self) -> None:
        """Close the file, and let it take the place of the one that it replaces."""
        self.close()
        if self._growing is not None and self._file is not None and self._growing != self._file:
            with explained(self._file):
                self._growing.replace(self._file)

    def measure(self, plan: Plan) -> dict[str, Row]:
        """The rows of `plan` by metric: from the result where they stand there, else measured and written down."""
        plain = all(edit.op == "identity" and not edit.options for edit in plan)
        blank = {"full": 0.0, "edited": 0.0, "effect": 0.0, "plan": None if plain else plan.to_json()}
        keys = {name: Row(plan.places, name, **blank).key for name in self.scores}  # type: ignore[arg-type]
        known = {row.metric: row for row in self.result if row.key in keys.values()}
        if set(known) != set(self.scores):
            try:
                rows = self._measured(plan, plain)
            except MetricError as error:
                raise MetricError(f"without {' + '.join(plan.places)}: {error}") from error
            for row in rows:
                if row.metric not in known:
                    self.result.append(row)
                    known[row.metric] = row
        return {name: known[name] for name in self.scores}

    def _measured(self, plan: Plan, plain: bool) -> list[Row]:
        began = time.perf_counter()
        shared: dict[str, Any] = {"plan": None if plain else plan.to_json()}
        rows: list[Row] = []
        if self._loop is not None:
            edited = self._loop.run(plan)
            for metric in self._metrics:
                full = self._loop.full[metric.name]
                found = effect(metric, full, edited[metric.name], confidence=self._confidence, seed=self._seed)
                numbers = (found.full, found.edited, found.effect, found.low, found.high)
                seconds = time.perf_counter() - began
                rows.append(Row(plan.places, metric.name, *numbers, len(full), ENGINE, seconds, **shared))
        if self._score is not None:
            with install(self.anatomy, plan):  # a score may let the model generate
                value = self._score(self.anatomy.model, self._seed)
            full_score = self.scores[self._score.name]
            seconds = time.perf_counter() - began
            numbers = (full_score, value, value - full_score, None, None)
            rows.append(Row(plan.places, self._score.name, *numbers, 0, "score", seconds, **shared))
        return rows

    def _header(self, paths: Sequence[str], name: str, command: str) -> Header:
        model = self.anatomy.model
        identity = identity_of(model)
        parameter = next(model.parameters(), torch.zeros(0))
        shares, first = time_shares(self.anatomy, list(paths)), first_paths(model, list(paths))
        notes = () if self._score is None else (f"{self._score.name} scores a whole model: no error bar.",)
        return Header(
            model=identity.model,
            name=name or identity.model,
            fingerprint=identity.structure,
            weights=identity.weights,
            data=self._data_info(),
            metrics=self._metric_infos(),
            seed=self._seed,
            dtype=str(parameter.dtype).removeprefix("torch."),
            device=str(parameter.device),
            sites={first: self._site(path, shares[path]) for path, first in zip(paths, first, strict=True)},
            total_parameters=parameters_of(model),
            versions=_versions(),
            notes=notes,
            command=command,
        )

    def _data_info(self) -> DataInfo:
        if self._data is None:
            return DataInfo("the score's own data", "", 0)
        return DataInfo(self._data.name, self._data.fingerprint, self._data.examples)

    def _metric_infos(self) -> dict[str, MetricInfo]:
        infos: dict[str, MetricInfo] = {}
        if self._score is not None:
            infos[self._score.name] = MetricInfo(self._score.higher_is_better, self.scores[self._score.name])
        for metric in self._metrics if self._loop is not None else ():
            rows = self._loop.full[metric.name] if self._loop is not None else None
            paired = rows is not None and metric.column(rows) is not None
            kind: Interval = "none" if rows is None or len(rows) < 2 else "paired" if paired else "bootstrap"
            infos[metric.name] = MetricInfo(metric.higher_is_better, self.scores[metric.name], kind, self._confidence)
        return infos

    def _site(self, path: str, share: float) -> SiteInfo:
        site = self.anatomy.site(path)
        return SiteInfo(site.kind, site.role, site.parameters, min(1.0, share), site.verdict)


def _check_file(to: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a file that cannot take the rows before anything is measured. Raises SaveError."""
    check_writable(to)
    if to.exists() and not (resume or overwrite):
        raise SaveError(f"{to} exists. Go on with it by --resume, replace it by --overwrite, or choose another name.")


def _versions() -> dict[str, str]:
    loaded = {name: str(getattr(sys.modules[name], "__version__", "")) for name in _LIBRARIES if name in sys.modules}
    return {"identikit": metadata.version("identikit"), "python": platform.python_version(), **loaded}


def _length(data: Data) -> int | None:
    try:
        return len(data)
    except TypeError:
        return None
