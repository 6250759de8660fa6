"""A row of a result as a flat record: what a DataFrame holds."""

from __future__ import annotations

from typing import Any

from identikit.results.header import Header, together
from identikit.results.row import Cost, Row


def record(header: Header, row: Row, found: Cost) -> dict[str, Any]:
    """The row, its cost, and what its layers cost in a pass (None where that is not known)."""
    sites = [header.sites[place] for place in row.places if place in header.sites]
    known, cost = len(sites) == len(row.places), together(sites)
    value = {key: item for key, item in row.to_json().items() if key not in ("places", "plan", "ties")}
    value |= {"error": row.error, "ties": ", ".join(row.ties)}
    costs = {
        "parameters": cost.parameters,
        "share": cost.share,
        "layer_seconds": cost.seconds,  # "seconds" is how long the row took
        "layer_seconds_low": cost.seconds_low,
        "layer_seconds_high": cost.seconds_high,
        "flops": cost.flops,
        "memory": cost.memory,
    }
    return {
        "place": row.place,
        **value,
        "cost": found.value,
        "kind": cost.kind,
        **(costs if known else dict.fromkeys(costs)),
    }
