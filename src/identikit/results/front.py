"""Front: the whole curve of a prune, from the full model to the smallest tried, and which point was chosen and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from identikit import strict_json
from identikit.errors import ResultError
from identikit.files import write_text
from identikit.places import natural_key
from identikit.plan import Plan
from identikit.results.fields import Fields, check_format
from identikit.results.header import Header
from identikit.results.row import Score, read_plan

FORMAT = "identikit.front"
VERSION = 1
_MOST_POINTS = 100_000
_OWN = ("points", "chosen", "goal", "why", "size_before", "size_after")
_POINT = ("places", "dropped", "scores", "kept", "parameters", "latency", "plan")


@dataclass(frozen=True)
class Point:
    """One model on the curve.

    places: what is gone, in natural order. scores: metric to Score. parameters: how many are left. kept: the share of
    the full score kept (0 to 1 and beyond), or None. latency: seconds of one forward pass, or None. plan: the plan's
    JSON, where it is not plain identity edits.
    """

    places: tuple[str, ...]
    scores: Mapping[str, Score]
    parameters: int = 0
    kept: float | None = None
    latency: float | None = None
    plan: dict[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(sorted(self.places, key=natural_key)))
        object.__setattr__(self, "scores", dict(self.scores))

    @property
    def dropped(self) -> int:
        """How many layers are gone."""
        return len(self.places)

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values."""
        value: dict[str, Any] = {"places": list(self.places), "dropped": self.dropped}
        value["scores"] = {name: score.to_json() for name, score in self.scores.items()}
        value |= {"kept": self.kept, "parameters": self.parameters, "latency": self.latency}
        return value if self.plan is None else value | {"plan": self.plan}

    @classmethod
    def from_json(cls, value: Any, what: str = "this point") -> Point:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_POINT, needed=("places", "dropped", "scores", "parameters"))
        scores = fields.object("scores", 1_000)
        point = cls(
            places=fields.places("places"),
            scores={name: Score.from_json(item, f'{what}, "{name}"') for name, item in scores.items()},
            parameters=fields.count("parameters"),
            kept=fields.maybe("kept"),
            latency=fields.maybe("latency"),
            plan=read_plan(value.get("plan"), what),
        )
        if fields.count("dropped") != point.dropped or len(set(point.places)) != point.dropped:
            raise ResultError(f'{what}: "dropped" is not the number of different "places".')
        if point.latency is not None and point.latency < 0:
            raise ResultError(f'{what}: "latency" must not be negative.')
        return point


@dataclass(frozen=True)
class Front:
    """The curve of a prune. The first point is the full model; `points[chosen]` is the one that was taken.

    goal: what was asked ("keep at least 98 % of the full fidelity"), in terms of the header's first metric. why: what
    was dropped and why the search stopped, one sentence each. size_before, size_after: bytes on disk, once saved.
    """

    header: Header
    points: tuple[Point, ...]
    chosen: int
    goal: str = ""
    why: tuple[str, ...] = ()
    size_before: int | None = None
    size_after: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))
        object.__setattr__(self, "why", tuple(self.why))
        if not self.points:
            raise ResultError("a front needs at least one point: the full model.")
        if not 0 <= self.chosen < len(self.points):
            raise ResultError(f'"chosen" is {self.chosen}, but there are {len(self.points)} points (the first is 0).')
        for number, point in enumerate(self.points):
            if set(point.scores) != set(self.header.metrics):
                known = ", ".join(self.header.metrics)
                raise ResultError(f"point {number} must have a score for each of the header's metrics: {known}.")

    @property
    def metric(self) -> str:
        """The metric that the goal is about."""
        return next(iter(self.header.metrics))

    @property
    def full(self) -> Point:
        """The full model."""
        return self.points[0]

    @property
    def choice(self) -> Point:
        """The chosen model."""
        return self.points[self.chosen]

    def plan(self, dropped: int) -> Plan:
        """What is gone at the point with so many layers dropped: apply it, or remove by it; nothing is measured again.

        Raises ResultError where there is no such point.
        """
        for point in self.points:
            if point.dropped == dropped:
                if point.plan is not None:
                    return Plan.from_json(point.plan)
                return Plan.of(point.places, fingerprint=self.header.fingerprint, model=self.header.model)
        sizes = ", ".join(str(point.dropped) for point in self.points)
        raise ResultError(f"no point of this front has {dropped} layers dropped; there are {sizes}.")

    def to_json(self) -> dict[str, Any]:
        """The front as JSON values, in a fixed order."""
        own = {"goal": self.goal, "why": list(self.why), "chosen": self.chosen}
        own |= {"size_before": self.size_before, "size_after": self.size_after}
        points = [point.to_json() for point in self.points]
        return {"format": FORMAT, "version": VERSION} | self.header.to_json() | own | {"points": points}

    @classmethod
    def from_json(cls, value: Any, *, what: str = "this front") -> Front:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        value = check_format(value, FORMAT, VERSION, what)
        own = Fields({key: value[key] for key in _OWN if key in value}, what, known=_OWN, needed=("points", "chosen"))
        points = own.list("points", _MOST_POINTS)
        header = {key: item for key, item in value.items() if key not in _OWN}
        try:
            return cls(
                Header.from_json(header, what),
                tuple(Point.from_json(item, f"{what}, point {number}") for number, item in enumerate(points)),
                own.count("chosen"),
                own.text("goal"),
                own.texts("why"),
                own.maybe_count("size_before"),
                own.maybe_count("size_after"),
            )
        except ResultError as cause:
            raise ResultError(str(cause) if what in str(cause) else f"{what}: {cause}") from cause

    @classmethod
    def read(cls, path: str | Path) -> Front:
        """Read a front file. Raises ResultError where it is damaged or no front."""
        return cls.from_json(strict_json.read(Path(path), "front file", ResultError), what=f"front file {path}")

    def write(self, path: str | Path) -> None:
        """Write the front as JSON, replacing `path` only when the new file is whole. Raises SaveError."""
        write_text(path, json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def plot(self) -> Any:
        """A matplotlib Figure: quality against layers dropped."""
        from identikit.reporting.plots import plot_front

        return plot_front(self)

    def report(self, to: str | Path = "report.html") -> Path:
        """Write one self-contained HTML page and return its path."""
        from identikit.reporting.html import report

        return report(self, to)

    def to_markdown(self) -> str:
        """The table of the points in Markdown."""
        from identikit.reporting.markdown import front_markdown

        return front_markdown(self)

    def __repr__(self) -> str:
        from identikit.reporting.text import front_repr

        return front_repr(self)

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import front_fragment

        return front_fragment(self)
