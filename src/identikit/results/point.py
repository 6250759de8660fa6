"""One model on the curve of a prune: what is gone, what it scores, how large and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from identikit.errors import ResultError
from identikit.places import natural_key
from identikit.results.fields import Fields
from identikit.results.row import Score, read_plan

_KEYS = ("places", "dropped", "scores", "selection", "kept", "parameters", "latency", "plan")


@dataclass(frozen=True)
class Point:
    """One model on the curve.

    places: what is gone, in natural order. scores: metric to Score, of the held-out examples where there are some.
    selection: the scores that the search went by; empty where nothing was held out, as they are the same then.
    parameters: how many are left. kept: the share of the full score kept (0 to 1 and beyond), or None. latency: seconds
    of one forward pass, or None. plan: the plan's JSON, where it is not plain identity edits.
    """

    places: tuple[str, ...]
    scores: Mapping[str, Score]
    parameters: int = 0
    kept: float | None = None
    latency: float | None = None
    plan: dict[str, Any] | None = field(default=None)
    selection: Mapping[str, Score] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(sorted(self.places, key=natural_key)))
        object.__setattr__(self, "scores", dict(self.scores))
        object.__setattr__(self, "selection", dict(self.selection))

    @property
    def dropped(self) -> int:
        """How many layers are gone."""
        return len(self.places)

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values."""
        value: dict[str, Any] = {"places": list(self.places), "dropped": self.dropped}
        value["scores"] = {name: score.to_json() for name, score in self.scores.items()}
        value["selection"] = {name: score.to_json() for name, score in self.selection.items()} or None
        value |= {"kept": self.kept, "parameters": self.parameters, "latency": self.latency}
        return value if self.plan is None else value | {"plan": self.plan}

    @classmethod
    def from_json(cls, value: Any, what: str = "this point") -> Point:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_KEYS, needed=("places", "dropped", "scores", "parameters"))
        point = cls(
            places=fields.places("places"),
            scores=_scores(fields, "scores"),
            selection=_scores(fields, "selection"),
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


def _scores(fields: Fields, key: str) -> dict[str, Score]:
    """A score by metric; none where the key is absent or null."""
    if fields.value.get(key) is None:
        return {}
    what = fields.what if key == "scores" else f"{fields.what}, {key}"
    return {name: Score.from_json(item, f'{what}, "{name}"') for name, item in fields.object(key, 1_000).items()}
