"""One model on the curve of a prune: what is gone, what it scores, how large and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from identikit.errors import ResultError
from identikit.places import natural_key
from identikit.results.compensated import Compensated
from identikit.results.fields import Fields
from identikit.results.row import Score, read_plan

_TIMES = ("latency", "latency_low", "latency_high")
_KEYS = ("places", "dropped", "scores", "selection", "kept", "parameters", *_TIMES, "memory", "compensated", "plan")


@dataclass(frozen=True)
class Point:
    """One model on the curve.

    places: what is gone, in natural order. scores: metric to Score, of the held-out examples where there are some.
    selection: the scores that the search went by; empty where nothing was held out, as they are the same then.
    parameters: how many are left. kept: the share of the full score kept (0 to 1 and beyond), or None. latency: seconds
    of one forward pass over the first batch, the median, within latency_low and latency_high with 95 %, or None.
    memory: bytes that such a pass needs at most, with the weights, or None. compensated: what making up for these
    layers came to, where it was tried; all other values are of the layers dropped and nothing else. plan: the plan's
    JSON, where it is not plain identity edits.
    """

    places: tuple[str, ...]
    scores: Mapping[str, Score]
    parameters: int = 0
    kept: float | None = None
    latency: float | None = None
    plan: dict[str, Any] | None = field(default=None)
    selection: Mapping[str, Score] = field(default_factory=dict)
    latency_low: float | None = None
    latency_high: float | None = None
    memory: int | None = None
    compensated: Compensated | None = None

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
        value |= {key: getattr(self, key) for key in ("kept", "parameters", *_TIMES, "memory")}
        value |= {} if self.compensated is None else {"compensated": self.compensated.to_json()}
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
            memory=fields.maybe_count("memory"),
            plan=read_plan(value.get("plan"), what),
            compensated=_compensated(value.get("compensated"), what),
            **{key: fields.maybe(key) for key in _TIMES},
        )
        if fields.count("dropped") != point.dropped or len(set(point.places)) != point.dropped:
            raise ResultError(f'{what}: "dropped" is not the number of different "places".')
        for key in ("latency", "latency_low"):
            if (getattr(point, key) or 0.0) < 0:
                raise ResultError(f'{what}: "{key}" must not be negative.')
        bounds = (point.latency_low, point.latency, point.latency_high)
        known = [bound for bound in bounds if bound is not None]
        if (bounds[0] is None) != (bounds[2] is None) or known != sorted(known) or (known and bounds[1] is None):
            raise ResultError(f'{what}: "latency" must lie between "latency_low" and "latency_high", both or neither.')
        return point


def _scores(fields: Fields, key: str) -> dict[str, Score]:
    """A score by metric; none where the key is absent or null."""
    if fields.value.get(key) is None:
        return {}
    what = fields.what if key == "scores" else f"{fields.what}, {key}"
    return {name: Score.from_json(item, f'{what}, "{name}"') for name, item in fields.object(key, 1_000).items()}


def _compensated(value: Any, what: str) -> Compensated | None:
    return None if value is None else Compensated.from_json(value, f'{what}, "compensated"')
