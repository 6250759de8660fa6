"""What was done to make up for dropped layers, gap by gap, and what that is worth: pure data. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from identikit.errors import ResultError
from identikit.results.fields import Fields
from identikit.results.row import Score

FORMS = {"fold": "folded", "adapter": "with adapters"}  # what there is, and in a word
_MOST_GAPS = 100_000
_KEYS = ("form", "gaps", "scores", "kept", "helps", "statistics", "parameters")
_GAP = ("gone", "into", "before", "after", "why")


@dataclass(frozen=True)
class Filled:
    """One gap. gone: the dropped layers. into: the layer that took their effect up, None where none could.

    before, after: the squared distance of the stream behind the gap from the full model's, over its spread (0: equal),
    on batches that the fit did not see. why: the reason where the gap was left as it is, else empty.
    """

    gone: tuple[str, ...]
    into: str | None
    before: float | None = None
    after: float | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """The gap as JSON values."""
        return {key: getattr(self, key) for key in _GAP} | {"gone": list(self.gone)}

    @classmethod
    def from_json(cls, value: Any, what: str) -> Filled:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_GAP, needed=("gone",))
        into = fields.text("into") if value.get("into") is not None else None
        return cls(fields.places("gone"), into, fields.maybe("before"), fields.maybe("after"), fields.text("why"))


@dataclass(frozen=True)
class Compensated:
    """What making up for one set of dropped layers came to.

    form: "fold" or "adapter". gaps: each, in the order of the model. scores: metric to Score of the model made up for,
    on the examples that the point's own scores are of. helps: whether it was better than the layers dropped alone, by
    the first metric, on examples that the fit did not see; where not, nothing was kept of it. statistics: whether the
    running statistics of batch norms were moved too. parameters: how many the adapters have. kept: the share of
    the full score that is kept, or None.
    """

    form: str
    gaps: tuple[Filled, ...]
    scores: Mapping[str, Score] = field(default_factory=dict)
    helps: bool = True
    statistics: bool = False
    parameters: int = 0
    kept: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaps", tuple(self.gaps))
        object.__setattr__(self, "scores", dict(self.scores))

    @property
    def filled(self) -> int:
        """How many gaps were filled."""
        return sum(not each.why for each in self.gaps)

    def sentences(self) -> tuple[str, ...]:
        """What was done with each gap, for people."""
        if not self.helps and any(gap.after is not None for gap in self.gaps):
            return (f"Compensating ({self.form}) was tried and left: on other examples it does not help.",)
        said = tuple(_said(self.form, gap) for gap in self.gaps)
        moved = ("The running statistics of batch norms were moved by what the removal changed.",)
        return said + moved if self.statistics else said

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        value: dict[str, Any] = {"form": self.form, "gaps": [gap.to_json() for gap in self.gaps]}
        value["scores"] = {name: score.to_json() for name, score in self.scores.items()}
        return value | {key: getattr(self, key) for key in _KEYS[3:]}

    @classmethod
    def from_json(cls, value: Any, what: str) -> Compensated:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=_KEYS, needed=_KEYS)
        form = fields.text("form")
        if form not in FORMS:
            raise ResultError(f'{what}: "form" is "{form}"; there are {", ".join(FORMS)}.')
        scores = fields.object("scores", 1_000)
        return cls(
            form,
            tuple(Filled.from_json(item, f"{what}, a gap") for item in fields.list("gaps", _MOST_GAPS)),
            {name: Score.from_json(item, f'{what}, "{name}"') for name, item in scores.items()},
            fields.flag("helps"),
            fields.flag("statistics"),
            fields.count("parameters"),
            fields.maybe("kept"),
        )


def _said(form: str, gap: Filled) -> str:
    gone = " and ".join(f'"{path}"' for path in gap.gone)
    if gap.why:
        return f"{gone}: not made up for, as {gap.why.rstrip('.')}."
    what = f'folded into "{gap.into}"' if form == "fold" else "made up for by a linear adapter"
    spread = "" if gap.before is None or gap.after is None else _left(gap.before, gap.after)
    return f"{gone}: {what}{spread}."


def _left(before: float, after: float) -> str:
    return f" (of the stream's spread {100 * after:.1f} % differ, {100 * before:.1f} % before)"
