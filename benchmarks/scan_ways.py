"""The ways that identikit ranks layers, each as a user would call it, and what the engine did (benchmarks/scan.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scan_cases import Case

import identikit as ik
from identikit.replaying.engine import Engine

Way = Callable[[Case], ik.ScanResult]
EXACT = ("suffix", "chain", "auto")
CHEAP = ("influence", "taylor")


def exact(engine: str) -> Way:
    """Leave-one-out by an engine; "auto" chooses."""
    return lambda case: scanned(case, engine=engine)


def cheap(method: str) -> Way:
    """One of the cheap scores, or "auto": cheap first, exact for the candidates that matter."""
    return lambda case: scanned(case, method=method)


def scanned(case: Case, **how: Any) -> ik.ScanResult:
    """`ik.scan` of the case's layers; what each layer costs is left out, the check of the engine is in."""
    return ik.scan(
        case.model, list(case.batches), at=list(case.layers), metrics=case.metric, costs=False, progress=False, **how
    )


@dataclass
class Seen:
    """The engines that were made, in order."""

    engines: list[Engine] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """What the last one did: its name, rows x layers of the scan and of the check."""
        engine = self.engines[-1]
        return {"engine": engine.name, "rows_x_layers": engine.passes.work.done, "check": engine.passes.work.check}


@contextmanager
def engines() -> Iterator[Seen]:
    """Look on while engines are made inside."""
    seen, init = Seen(), Engine.__init__

    def noted(self: Engine, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        seen.engines.append(self)

    Engine.__init__ = noted  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Engine.__init__ = init  # type: ignore[method-assign]
