"""Sentences on how well the cheap rankings of a scan agree with the exact one."""

from __future__ import annotations

from identikit.reporting import numbers
from identikit.results import ScanResult
from identikit.results.agreement import CHEAP


def agreements(result: ScanResult) -> list[str]:
    """One for each cheap metric that can be compared; none where the scan has only one kind."""
    found = [result.agreement(name) for name in result.header.metrics if name in CHEAP]
    return [numbers.clean(str(each)) for each in found if each is not None]
