"""One line of a result: what one plan did to one metric, and what that means for a reader."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from identikit.errors import PlaceError, PlanError, ResultError
from identikit.places import check_path, natural_key
from identikit.plan import Plan
from identikit.results.fields import Fields, check_number

_SCORE_KEYS = ("full", "edited", "effect", "low", "high")
_KEYS = ("places", "metric", *_SCORE_KEYS, "examples", "engine", "seconds", "plan", "error", "ties", "rank")
_WHERE_SET = ("plan", "error", "ties", "rank")  # left out of the file where there is nothing to say
_NEEDED = ("places", "metric", "full", "edited", "effect", "examples")


class Cost(NamedTuple):
    """What the absence of a layer costs, positive where the model is worse without it; the interval or None."""

    value: float
    low: float | None
    high: float | None

    @property
    def tie(self) -> bool | None:
        """Whether the interval includes zero: no difference was shown. None where there is no interval."""
        return None if self.low is None or self.high is None else self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Score:
    """A metric of the full and of the edited model; `effect` is edited - full, `low` to `high` its interval or None."""

    full: float
    edited: float
    effect: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        _settle(self, "this score")

    def cost(self, *, higher_is_better: bool) -> Cost:
        """The effect turned so that positive is worse."""
        return _cost(self.effect, self.low, self.high, higher_is_better)

    def to_json(self) -> dict[str, Any]:
        """The score as JSON values."""
        return {key: getattr(self, key) for key in _SCORE_KEYS}

    @classmethod
    def from_json(cls, value: Any, what: str) -> Score:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_SCORE_KEYS, needed=_SCORE_KEYS[:3])
        low, high = fields.maybe("low"), fields.maybe("high")
        score = cls(fields.number("full"), fields.number("edited"), fields.number("effect"), low, high)
        _check_sum(score, what)
        return score


@dataclass(frozen=True)
class Row:
    """What one plan did to one metric.

    places: the paths out of action. metric: its name. full, edited: the score of the full and the edited model.
    effect: edited - full; low to high: its interval, both None where there is none. examples: how many were judged.
    engine: what ran it. seconds: how long it took. plan: the plan's JSON, where it is not plain identity edits.
    error: the standard error of the effect, where there is one. ties: the other rows of this metric, by `place`, that
    the data does not tell apart from this one in the ranking. rank: in a race, from 1 for the least costly: its rows
    are of different examples, so their effects do not rank each other.
    """

    places: tuple[str, ...]
    metric: str
    full: float
    edited: float
    effect: float
    low: float | None = None
    high: float | None = None
    examples: int = 0
    engine: str = "loop"
    seconds: float = 0.0
    plan: dict[str, Any] | None = field(default=None, hash=False)
    error: float | None = None
    ties: tuple[str, ...] = ()
    rank: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", tuple(sorted(self.places, key=natural_key)))
        object.__setattr__(self, "ties", tuple(self.ties))
        _settle(self, f"the {self.metric} without {' + '.join(self.places) or 'nothing'}")

    @property
    def place(self) -> str:
        """The places as one text."""
        return " + ".join(self.places)

    @property
    def key(self) -> tuple[tuple[str, ...], str, str]:
        """What the row is about: two rows of one result never share it."""
        edits = "" if self.plan is None else json.dumps(self.plan.get("edits"), sort_keys=True)
        return self.places, edits, self.metric

    def cost(self, *, higher_is_better: bool) -> Cost:
        """The effect turned so that positive is worse."""
        return _cost(self.effect, self.low, self.high, higher_is_better)

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values, in a fixed order."""
        value = {key: getattr(self, key) for key in _KEYS}
        value |= {"places": list(self.places), "ties": list(self.ties) or None}
        return {key: item for key, item in value.items() if key not in _WHERE_SET or item is not None}

    @classmethod
    def from_json(cls, value: Any, what: str = "this row") -> Row:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_KEYS, needed=_NEEDED)
        row = cls(
            places=fields.places("places"),
            metric=fields.name("metric"),
            **{key: fields.number(key) for key in ("full", "edited", "effect")},
            low=fields.maybe("low"),
            high=fields.maybe("high"),
            examples=fields.count("examples"),
            engine=fields.text("engine", "loop"),
            seconds=fields.maybe("seconds") or 0.0,
            plan=read_plan(value.get("plan"), what),
            error=fields.maybe("error"),
            ties=_read_ties(fields, what),
            rank=fields.maybe_count("rank"),
        )
        if row.error is not None and row.error < 0:
            raise ResultError(f'{what}: "error" must not be negative.')
        if len(set(row.places)) != len(row.places):
            raise ResultError(f'{what}: "places" names a layer twice.')
        _check_sum(row, what)
        if row.seconds < 0:
            raise ResultError(f'{what}: "seconds" must not be negative.')
        return row


def _cost(effect: float, low: float | None, high: float | None, higher_is_better: bool) -> Cost:
    if not higher_is_better:
        return Cost(effect, low, high)
    return Cost(0.0 - effect, None if high is None else 0.0 - high, None if low is None else 0.0 - low)


def _settle(score: Score | Row, what: str) -> None:
    """Make the numbers floats (numpy's come from metrics); refuse what is none and half an interval."""
    for key in (*_SCORE_KEYS, "error"):
        value: Any = getattr(score, key, None)
        if value is not None or key in _SCORE_KEYS[:3]:
            plain = value.item() if hasattr(value, "item") else value
            object.__setattr__(score, key, check_number(plain, f'{what}: "{key}"'))
    if (score.low is None) != (score.high is None):
        raise ResultError(f'{what}: an interval has both "low" and "high", or neither.')
    if score.low is not None and score.high is not None and score.low > score.high:
        raise ResultError(f'{what}: "low" {score.low} is above "high" {score.high}.')


def _check_sum(score: Score | Row, what: str) -> None:
    """A mean of differences and a difference of means agree up to rounding; more than that is damage."""
    room = 1e-6 * max(1.0, abs(score.full), abs(score.edited))
    if abs(score.edited - score.full - score.effect) > room:
        raise ResultError(f'{what}: "effect" {score.effect} is not edited - full, {score.edited - score.full}.')


def _read_ties(fields: Fields, what: str) -> tuple[str, ...]:
    """Places as `Row.place` writes them: paths with " + " between."""
    found = fields.texts("ties", 100_000)
    for text in found:
        try:
            for path in text.split(" + "):
                check_path(path)
        except PlaceError as cause:
            raise ResultError(f'{what}: "ties": {cause}') from cause
    if len(set(found)) != len(found):
        raise ResultError(f'{what}: "ties" names a row twice.')
    return found


def read_plan(value: Any, what: str) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        return Plan.from_json(value, what=f'{what}, "plan"').to_json()
    except PlanError as cause:
        raise ResultError(str(cause)) from cause
