"""What a result is about: the model, the data, the metrics, the sites and the run. Two runs compare by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from identikit.errors import ResultError
from identikit.results.fields import Fields, check_name, check_number, check_text, listed, said

Interval = Literal["paired", "bootstrap", "none"]
INTERVALS: tuple[Interval, ...] = ("paired", "bootstrap", "none")
_NEEDED = ("model", "data", "metrics", "seed", "dtype")
_FULL_AGREES = 1e-3  # relative: another machine's rounding stays below it, another metric does not


@dataclass(frozen=True)
class DataInfo:
    """The data a result was measured on: what the user called it, its hash, how many examples."""

    name: str
    fingerprint: str
    examples: int


@dataclass(frozen=True)
class MetricInfo:
    """A metric: its direction, the full model's score, how its interval is made and at which confidence (0 to 1)."""

    higher_is_better: bool
    full: float
    interval: Interval = "none"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        full = self.full.item() if hasattr(self.full, "item") else self.full
        object.__setattr__(self, "full", check_number(full, "the full model's score"))


@dataclass(frozen=True)
class SiteInfo:
    """A layer: class, role, parameters, verdict ("ok" or why not), and what it costs in one pass over the first batch.

    share: of the pass's time, 0 to 1. seconds: the median of a few passes, within seconds_low and seconds_high with
    95 %. flops: as torch's FlopCounterMode counts. memory: bytes of activations at most, without gradients. None where
    it is not known.
    """

    kind: str
    role: str = "block"
    parameters: int = 0
    share: float | None = None
    verdict: str = "ok"
    flops: int | None = None
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    memory: int | None = None


def together(sites: Sequence[SiteInfo]) -> SiteInfo:
    """What several layers cost together: sums, of the memory the most; None where it is not known of one of them."""

    def joined(name: str, join: Callable[[list[Any]], Any] = sum) -> Any:
        values = [getattr(site, name) for site in sites]
        return None if None in values or not values else join(values)

    alone = len(sites) == 1  # an interval of a sum is none of the intervals' sums
    return SiteInfo(
        kind=" + ".join(dict.fromkeys(site.kind for site in sites)),
        parameters=sum(site.parameters for site in sites),
        share=joined("share"),
        flops=joined("flops"),
        seconds=joined("seconds"),
        seconds_low=sites[0].seconds_low if alone else None,
        seconds_high=sites[0].seconds_high if alone else None,
        memory=joined("memory", max),
    )


@dataclass(frozen=True)
class Header:
    """What a result is about.

    model: class name. name: what the user called it. fingerprint: of the structure; weights: a hash of them.
    sites: path to SiteInfo. versions: library to version. command: the line that made it, where one did.
    """

    model: str
    name: str
    fingerprint: str
    weights: str
    data: DataInfo
    metrics: Mapping[str, MetricInfo]
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    sites: Mapping[str, SiteInfo] = field(default_factory=dict)
    total_parameters: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    command: str = ""

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ResultError("a result needs at least one metric, such as fidelity.")
        for name in self.metrics:
            check_name(name, "the name of a metric")
        object.__setattr__(self, "metrics", dict(self.metrics))
        object.__setattr__(self, "sites", dict(self.sites))
        object.__setattr__(self, "versions", dict(self.versions))
        object.__setattr__(self, "notes", tuple(self.notes))

    def differences(self, other: Header) -> list[str]:
        """What makes `other` another measurement, each as `name: mine, other's`; empty where the rows may be united."""
        found = []
        for name in ("model", "fingerprint", "weights", "seed", "dtype"):
            mine, yours = getattr(self, name), getattr(other, name)
            if mine != yours:
                found.append(f"{name}: {said(mine)} and {said(yours)}")
        if self.data.fingerprint != other.data.fingerprint:
            mine, yours = (f"{said(one.name)} ({said(one.fingerprint)})" for one in (self.data, other.data))
            found.append(f"data: {mine} and {yours}")
        if set(self.metrics) != set(other.metrics):
            found.append(f"metrics: {listed(self.metrics)} and {listed(other.metrics)}")
            return found
        for name, mine in self.metrics.items():
            found.extend(_differences(name, mine, other.metrics[name]))
        return found

    def united(self, other: Header) -> Header:
        """This header with the sites, notes and versions of both; for two that show no differences."""
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        sites, versions = {**other.sites, **self.sites}, {**other.versions, **self.versions}
        total = max(self.total_parameters, other.total_parameters)
        command = self.command if self.command == other.command else ""
        return replace(self, sites=sites, versions=versions, notes=notes, total_parameters=total, command=command)

    def to_json(self) -> dict[str, Any]:
        """The header as JSON values, in a fixed order; the file's format and version are not in it."""
        return asdict(self) | {"notes": list(self.notes)}

    @classmethod
    def from_json(cls, value: Any, what: str = "this header") -> Header:
        """Read what `to_json` wrote. Raises ResultError on anything else."""
        fields = Fields(value, what, known=cls.__dataclass_fields__, needed=_NEEDED)
        texts = ("model", "name", "fingerprint", "weights", "dtype", "device", "command")
        versions = fields.object("versions", 1_000)
        return cls(
            **{name: fields.text(name) for name in texts},
            data=read_data_info(value["data"], f'{what}, "data"'),
            metrics={
                name: _read_metric(item, f'{what}, metric "{name}"')
                for name, item in fields.object("metrics", 1_000).items()
            },
            seed=fields.count("seed"),
            sites={path: _read_site(item, f'{what}, site "{path}"') for path, item in fields.object("sites").items()},
            total_parameters=fields.count("total_parameters", 0),
            versions={name: check_text(item, f'{what}: version of "{name}"') for name, item in versions.items()},
            notes=fields.texts("notes"),
        )


def _differences(name: str, mine: MetricInfo, yours: MetricInfo) -> list[str]:
    found = []
    for key in ("higher_is_better", "interval", "confidence"):
        if getattr(mine, key) != getattr(yours, key):
            found.append(f"{key} of {name}: {getattr(mine, key)} and {getattr(yours, key)}")
    if abs(mine.full - yours.full) > _FULL_AGREES * max(1.0, abs(mine.full)):
        found.append(f"{name} of the full model: {mine.full:.6g} and {yours.full:.6g}")
    return found


def read_data_info(value: Any, what: str) -> DataInfo:
    """Which data, as a file says it. Raises ResultError on anything else."""
    fields = Fields(value, what, known=DataInfo.__dataclass_fields__, needed=("fingerprint", "examples"))
    return DataInfo(fields.text("name"), fields.text("fingerprint"), fields.count("examples"))


def _read_metric(value: Any, what: str) -> MetricInfo:
    fields = Fields(value, what, known=MetricInfo.__dataclass_fields__, needed=MetricInfo.__dataclass_fields__)
    interval, confidence = fields.text("interval"), fields.number("confidence")
    if interval not in INTERVALS:
        raise ResultError(f'{what}: "interval" must be one of {", ".join(INTERVALS)}.')
    if not 0.0 < confidence < 1.0:
        raise ResultError(f'{what}: "confidence" must lie between 0 and 1, such as 0.95.')
    return MetricInfo(fields.flag("higher_is_better"), fields.number("full"), interval, confidence)


def _read_site(value: Any, what: str) -> SiteInfo:
    fields = Fields(value, what, known=SiteInfo.__dataclass_fields__, needed=("kind",))
    share = fields.maybe("share")
    if share is not None and not 0.0 <= share <= 1.0:
        raise ResultError(f'{what}: "share" must lie between 0 and 1, or be null.')
    return SiteInfo(
        kind=fields.text("kind"),
        role=fields.text("role", "block"),
        parameters=fields.count("parameters", 0),
        share=share,
        verdict=fields.text("verdict", "ok"),
        flops=fields.maybe_count("flops"),
        memory=fields.maybe_count("memory"),
        **_read_seconds(fields, what),
    )


def _read_seconds(fields: Fields, what: str) -> dict[str, float | None]:
    found = {key: fields.maybe(key) for key in ("seconds", "seconds_low", "seconds_high")}
    if len({value is None for value in found.values()}) > 1:
        raise ResultError(f'{what}: "seconds", "seconds_low" and "seconds_high" are all there, or none.')
    middle, low, high = (value or 0.0 for value in found.values())
    if not 0.0 <= low <= middle <= high:
        raise ResultError(f'{what}: "seconds" must lie between "seconds_low" and "seconds_high", none below 0.')
    return found
