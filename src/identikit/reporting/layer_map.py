"""The model as a map: boxes in order of depth, and the data that lets a page take layers out and put them back."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from identikit.places import natural_key
from identikit.plan import Edit
from identikit.reporting import map_measured, numbers, repeat
from identikit.reporting.map_layers import MOST_LAYERS, Layer, layers_of, total_of
from identikit.results import Cost, Front, ScanResult

_SHADES = 5
_MANY = 60  # boxes from here on are small


@dataclass
class Box:
    """One layer as it is drawn: its short name in the box, its cost and the shade that this has."""

    number: int
    place: str
    short: str
    kind: str
    cost: str
    weight: str
    shade: int
    gone: bool
    can: bool
    parts: list[Box] = field(default_factory=list)


@dataclass(frozen=True)
class LayerMap:
    """What a page shows: groups of boxes under a common path, why some cannot be clicked, and the data as JSON."""

    groups: list[tuple[str, list[Box]]]
    shaded: str
    refusals: list[tuple[str, str]]
    left_out: list[str]
    data: str
    sets: dict[tuple[Edit, ...], str]
    chosen: bool
    many: bool


def layer_map(scan: ScanResult | None, front: Front | None) -> LayerMap | None:
    """The map of what these results know; None where there is no layer that could be clicked."""
    layers = layers_of(scan, front)
    if not any(layer.edit for layer in layers):
        return None
    found, unknown = map_measured.measured(scan, front)
    metrics = map_measured.metrics_of(scan, front, [layer.costs for layer in layers])
    shown = next((name for name in _names(scan, front) if any(name in layer.costs for layer in layers)), "")
    gone = set(front.choice.places) if front is not None else set()
    numbered = {layer.edit: number for number, layer in enumerate(layers) if layer.edit is not None}
    sets = {edits: [numbered[edit] for edit in edits] for edits in found if all(edit in numbered for edit in edits)}
    data = _data(scan, front, layers) | {"metrics": metrics}
    data |= {"sets": [{"at": sorted(at), "said": found[edits]} for edits, at in sets.items()]}
    return LayerMap(
        _groups(layers, shown, gone),
        numbers.clean(shown),
        _refusals(layers),
        _left_out(scan, front, unknown),
        _escaped(data),
        {edits: ",".join(map(str, sorted(at))) for edits, at in sets.items()},
        chosen=bool(gone),
        many=len(layers) > _MANY,
    )


def _names(scan: ScanResult | None, front: Front | None) -> list[str]:
    return [name for part in (front, scan) if part is not None for name in part.header.metrics]


def _groups(layers: Sequence[Layer], shown: str, gone: set[str]) -> list[tuple[str, list[Box]]]:
    """The outermost layers in runs under one path, each with its parts inside."""
    costs = [layer.costs.get(shown) for layer in layers]
    shades, usual = _shades(costs), [cost.value for cost in costs if cost is not None]
    decimals = max(0, numbers.decimals_of(usual, []) - 1)  # two digits: the table below has more
    groups: list[tuple[str, list[Box]]] = []
    boxes: list[Box] = []
    for number, layer in enumerate(layers):
        around = layer.place.rpartition(".")[0]
        above = layers[layer.outer].place if layer.outer is not None else around
        box = Box(
            number=number,
            place=layer.place,
            short=layer.place[len(above) + 1 :] if above else layer.place,
            kind=numbers.clean(layer.site.kind) if layer.site is not None else "",
            cost=_cost(costs[number], decimals),
            weight="" if layer.site is None else numbers.count(layer.site.parameters),
            shade=shades[number],
            gone=layer.place in gone,
            can=layer.edit is not None,
        )
        boxes.append(box)
        if layer.outer is not None:
            boxes[layer.outer].parts.append(box)
        elif groups and groups[-1][0] == around:
            groups[-1][1].append(box)
        else:
            groups.append((around, [box]))
    return groups


def _cost(cost: Cost | None, decimals: int) -> str:
    shown = numbers.decimals_here(cost.value, 0.0, decimals) if cost is not None else 0
    return numbers.fixed(cost.value, shown, sign=True) if cost is not None else ""


def _shades(costs: Sequence[Cost | None]) -> list[int]:
    """How dark each box is, 0 to 5, by the rank of its cost: one giant does not make the others alike."""
    values = sorted(cost.value for cost in costs if cost is not None and cost.value > 0.0 and not cost.tie)

    def shade(cost: Cost | None) -> int:
        if cost is None or cost.value <= 0.0 or cost.tie or not values:
            return 0
        return max(1, round(_SHADES * bisect_right(values, cost.value) / len(values)))

    return [shade(cost) for cost in costs]


def _refusals(layers: Sequence[Layer]) -> list[tuple[str, str]]:
    """The places that cannot be clicked, together where the reason is one."""
    reasons: dict[str, list[str]] = {}
    for layer in layers:
        if layer.why:
            reasons.setdefault(layer.why, []).append(layer.place)
    return [(numbers.grouped(places), why) for why, places in reasons.items()]


def _left_out(scan: ScanResult | None, front: Front | None, sets: int) -> list[str]:
    found = []
    if sets:
        known = f"which knows the {map_measured.MOST_SETS:,} cheapest"
        found.append(f"Not on this map, {known}: {numbers.plural(sets, 'measured set')}.")
    places = {place for part in (scan, front) if part is not None for place in part.header.sites}
    if len(places) > MOST_LAYERS:
        found.append(f"On this map: the first {MOST_LAYERS:,} of {len(places):,} layers.")
    return found


def _data(scan: ScanResult | None, front: Front | None, layers: Sequence[Layer]) -> dict[str, Any]:
    """What the page's script works with. Every text that it writes comes from here: it quotes nothing itself."""
    header = total_of(scan, front)
    ranks = {place: rank for rank, place in enumerate(sorted((each.place for each in layers), key=natural_key))}
    command, python = repeat.command_around(header), repeat.python_around(header)
    return {
        "total": header.total_parameters,
        "layers": [_layer(layer, ranks[layer.place]) for layer in layers],
        "command": [*command, repeat.BETWEEN_EDITS],
        "python": [*python, repeat.BETWEEN_PLACES, repeat.BETWEEN_PLANS],
        "plans": {op: repeat.plan_around(op) for op in repeat.PLAIN},
        "folded": front is not None and any(point.compensated is not None for point in front.points),
    }


def _layer(layer: Layer, rank: int) -> dict[str, Any]:
    told: dict[str, Any] = {"place": layer.place, "rank": rank, "outer": layer.outer}
    if layer.site is not None:
        told |= {"parameters": layer.site.parameters, "share": layer.site.share}
    if layer.edit is not None:
        told |= {"op": layer.edit.op, "edit": repeat.edit_text(layer.edit), "text": repeat.text_of(layer.edit.at)}
        told |= {"costs": {numbers.clean(name): cost.value for name, cost in layer.costs.items()}}
    return told


def _escaped(data: dict[str, Any]) -> str:
    """JSON that ends no element and starts none, whatever a name holds."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
