"""Front: the whole curve of a prune, from the full model to the smallest tried, and which point was chosen and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from identikit import strict_json
from identikit.errors import ResultError
from identikit.files import write_text
from identikit.plan import Plan
from identikit.results.fields import Fields, check_format, listed
from identikit.results.header import DataInfo, Header, read_data_info
from identikit.results.point import Point as Point

FORMAT = "identikit.front"
VERSION = 2  # 1, which is read too, knew no held-out examples, no interval of a latency and no memory
_MOST_POINTS = 100_000
_OWN = ("points", "chosen", "goal", "why", "size_before", "size_after", "chosen_on")


@dataclass(frozen=True)
class Front:
    """The curve of a prune. The first point is the full model; `points[chosen]` is the one that was taken.

    goal: what was asked ("keep at least 98 % of the full fidelity"), in terms of the header's first metric. why: what
    was dropped and why the search stopped, one sentence each. size_before, size_after: bytes on disk, once saved.
    chosen_on: the data that the search saw, where the header's, which the scores are of, were held out from it; None:
    nothing was held out, and the scores are those by which the layers were chosen.
    """

    header: Header
    points: tuple[Point, ...]
    chosen: int
    goal: str = ""
    why: tuple[str, ...] = ()
    size_before: int | None = None
    size_after: int | None = None
    chosen_on: DataInfo | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))
        object.__setattr__(self, "why", tuple(self.why))
        if not self.points:
            raise ResultError("a front needs at least one point: the full model.")
        if not 0 <= self.chosen < len(self.points):
            raise ResultError(f'"chosen" is {self.chosen}, but there are {len(self.points)} points (the first is 0).')
        known = listed(self.header.metrics)
        for number, point in enumerate(self.points):
            if set(point.scores) != set(self.header.metrics):
                raise ResultError(f"point {number} must have a score for each of the header's metrics: {known}.")
            if set(point.selection) != (set(self.header.metrics) if self.chosen_on is not None else set()):
                raise ResultError(
                    f"point {number} must have the scores of the search too where examples were held out, and only "
                    f'there: "selection" with a score for each of {known}.'
                )

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

    @property
    def said(self) -> tuple[str, ...]:
        """`why`, and what was done to make up for the layers of the chosen model."""
        made_up = self.choice.compensated
        return self.why if made_up is None else (*self.why, *made_up.sentences())

    def plan(self, dropped: int | None = None) -> Plan:
        """What is gone at the point with so many layers dropped: apply it, or remove by it; nothing is measured again.

        None: at the chosen point. Of several points with so many (a layer may go after a part of it did) it is the
        last, which is the smallest. The layers are dropped, not made up for: that takes the data.
        Raises ResultError where there is no such point.
        """
        for point in [self.choice] if dropped is None else reversed(self.points):
            if dropped in (None, point.dropped):
                if point.plan is not None:
                    return Plan.from_json(point.plan)
                return Plan.of(point.places, fingerprint=self.header.fingerprint, model=self.header.model)
        sizes = ", ".join(str(point.dropped) for point in self.points)
        raise ResultError(f"no point of this front has {dropped} layers dropped; there are {sizes}.")

    def to_json(self) -> dict[str, Any]:
        """The front as JSON values, in a fixed order."""
        own = {"goal": self.goal, "why": list(self.why), "chosen": self.chosen}
        own |= {"size_before": self.size_before, "size_after": self.size_after}
        own["chosen_on"] = None if self.chosen_on is None else asdict(self.chosen_on)
        points = [point.to_json() for point in self.points]
        return {"format": FORMAT, "version": VERSION} | self.header.to_json() | own | {"points": points}

    @classmethod
    def from_json(cls, value: Any, *, what: str = "this front") -> Front:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        value = check_format(value, FORMAT, VERSION, what, oldest=1)
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
                None if value.get("chosen_on") is None else read_data_info(value["chosen_on"], f'{what}, "chosen_on"'),
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

    def plot(self, *, ax: Any = None) -> Any:
        """Matplotlib axes: quality against layers dropped. On `ax` where given, else on those of a new figure."""
        from identikit.reporting.plots import plot_front

        return plot_front(self, ax=ax)

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
