"""How a model came to be, as pure data: what was done to it, and what was measured on what. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from identikit import strict_json
from identikit.errors import ResultError
from identikit.results.fields import Fields, check_format, check_number, check_text
from identikit.results.header import DataInfo, read_data_info

FORMAT = "identikit.provenance"
VERSION = 1
_MOST_STEPS = 10_000
_MOST_FIGURES = 1_000


@dataclass(frozen=True)
class Figure:
    """What one metric says of a model that a step made.

    edited: its score. full: the full model's on the same examples; before: the same model's before the step (None
    where they were not measured). low to high: the interval of edited - full, at `confidence` (0 to 1); None where
    there is none. data: what it was measured on. chosen_on: whether these examples also decided what was done; such a
    figure flatters, one of examples that were held out does not.
    """

    metric: str
    edited: float
    full: float | None = None
    before: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    higher_is_better: bool = True
    data: DataInfo | None = None
    chosen_on: bool = True

    def __post_init__(self) -> None:
        for name in ("edited", "full", "before", "low", "high", "confidence"):
            value = getattr(self, name)
            if value is not None or name == "edited":
                number = value.item() if hasattr(value, "item") else value
                object.__setattr__(self, name, check_number(number, f"the {name} of {self.metric}"))
        if (self.low is None) != (self.high is None):
            raise ResultError(f"{self.metric}: an interval has both ends, or none.")

    @classmethod
    def from_json(cls, value: Any, what: str) -> Figure:
        """Read what `to_json` of a Provenance wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=cls.__dataclass_fields__, needed=("metric", "edited"))
        data = fields.object("data") if value.get("data") is not None else None
        return cls(
            fields.name("metric"),
            fields.number("edited"),
            **{name: fields.maybe(name) for name in ("full", "before", "low", "high", "confidence")},
            higher_is_better=fields.flag("higher_is_better") if "higher_is_better" in value else True,
            data=read_data_info(data, f'{what}, "data"') if data is not None else None,
            chosen_on=fields.flag("chosen_on") if "chosen_on" in value else True,
        )


@dataclass(frozen=True)
class Step:
    """One thing that was done to a model.

    verb: which verb of identikit did it. said: how, and why it ended, in sentences. goal: what was asked. figures:
    what was measured of the model that came out. name: what the user called the model. command: the line that was
    typed, where one was. versions: library to version. state: of the model that came out (its structure and weights):
    the figures are that model's and no other's; empty where nothing was measured.
    """

    verb: str
    said: tuple[str, ...] = ()
    goal: str = ""
    figures: tuple[Figure, ...] = ()
    name: str = ""
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    state: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "said", tuple(self.said))
        object.__setattr__(self, "figures", tuple(self.figures))
        object.__setattr__(self, "versions", dict(self.versions))

    @classmethod
    def from_json(cls, value: Any, what: str) -> Step:
        """Read what `to_json` of a Provenance wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=cls.__dataclass_fields__, needed=("verb",))
        figures = fields.list("figures", _MOST_FIGURES)
        versions = fields.object("versions", 1_000)
        return cls(
            **{name: fields.text(name) for name in ("verb", "goal", "name", "command", "state")},
            said=fields.texts("said"),
            figures=tuple(
                Figure.from_json(item, f"{what}, figure {number}") for number, item in enumerate(figures, start=1)
            ),
            versions={name: check_text(item, f'{what}: version of "{name}"') for name, item in versions.items()},
        )


@dataclass(frozen=True)
class Provenance:
    """Everything that was done to a model, the first step first."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))

    def then(self, step: Step) -> Provenance:
        """This and one step more."""
        return Provenance((*self.steps, step))

    @property
    def name(self) -> str:
        """What the user called the model that the first step began with; empty where nobody said."""
        return next((step.name for step in self.steps if step.name), "")

    def to_json(self) -> dict[str, Any]:
        """The provenance as JSON values, in a fixed order."""
        return {"format": FORMAT, "version": VERSION, "steps": [_plain(asdict(step)) for step in self.steps]}

    @classmethod
    def from_json(cls, value: Any, *, what: str = "this provenance") -> Provenance:
        """Read what `to_json` wrote; what a saved folder says beside it ("saved") is left alone. Raises ResultError."""
        own = check_format(value, FORMAT, VERSION, what)
        fields = Fields(own, what, known=("steps", "saved"), needed=("steps",))
        steps = fields.list("steps", _MOST_STEPS)
        return cls(tuple(Step.from_json(item, f"{what}, step {number}") for number, item in enumerate(steps, start=1)))

    @classmethod
    def read(cls, path: str | Path) -> Provenance:
        """Read a file of it. Raises ResultError where it is damaged or none."""
        return cls.from_json(strict_json.read(Path(path), "provenance", ResultError), what=f"provenance {path}")


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them: what is written equals what is read."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
