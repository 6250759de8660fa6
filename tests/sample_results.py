"""Results as a real run leaves them (all-MiniLM-L6-v2 on pairs of sentences), for tests of results and reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from identikit.results import DataInfo, Front, Header, MetricInfo, Point, Row, ScanResult, Score, SiteInfo

LAYER = 1_774_464
TOTAL = 22_713_216
EFFECTS = [-0.0517, -0.0292, -0.0178, -0.0225, -0.0386, -0.1839]


def header(**changes: Any) -> Header:
    """The header of a scan of six BERT layers by fidelity."""
    shares = [0.1631, 0.1588, 0.1592, 0.1601, 0.1597, 0.1612]
    values: dict[str, Any] = {
        "model": "BertModel",
        "name": "models/all-MiniLM-L6-v2",
        "fingerprint": "3f1c9a7e42d0b586",
        "weights": "b7e2d84410ffac39",
        "data": DataInfo("pairs.csv", "91d3aa02c4e87f15", 200),
        "metrics": {"fidelity": MetricInfo(True, 1.0, "paired", 0.95)},
        "seed": 0,
        "dtype": "float32",
        "device": "cpu",
        "sites": {f"encoder.layer.{n}": _site(shares[n]) for n in range(6)},
        "total_parameters": TOTAL,
        "versions": {"identikit": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
    }
    return Header(**(values | changes))


def _site(share: float) -> SiteInfo:
    """A BERT layer in a pass of 13 ms over 32 sentences of 16 tokens."""
    median = 0.013 * share
    times = {"seconds": median, "seconds_low": 0.97 * median, "seconds_high": 1.06 * median}
    return SiteInfo("BertLayer", "block", LAYER, share, flops=1_837_105_152, memory=6_291_456, **times)


def row(number: int, metric: str = "fidelity", **changes: Any) -> Row:
    """The row of one layer."""
    effect = EFFECTS[number]
    values: dict[str, Any] = {
        "places": (f"encoder.layer.{number}",),
        "metric": metric,
        "full": 1.0,
        "edited": 1.0 + effect,
        "effect": effect,
        "low": effect * 1.06 - 0.0004,
        "high": effect * 0.94 + 0.0004,
        "examples": 200,
        "engine": "loop",
        "seconds": 0.3125,
    }
    return Row(**(values | changes))


def scan(**changes: Any) -> ScanResult:
    """A whole scan."""
    return ScanResult(header(**changes), [row(number) for number in range(6)])


def mixed_scan() -> ScanResult:
    """Two metrics of both directions, ties, costs below zero, a pair, a zeroed part, a row without interval."""
    metrics = {"perplexity": MetricInfo(False, 4.3812, "bootstrap", 0.9), "accuracy": MetricInfo(True, 0.861, "none")}
    kinds = ["LlamaDecoderLayer", "LlamaAttention"]
    sites = {
        f"model.layers.{n}{part}": SiteInfo(kinds[bool(part)], "branch" if part else "block", 12_400 * (n + 1), None)
        for n in range(3)
        for part in ("", ".self_attn")
    }
    zero = {"op": "zero", "at": "model.layers.1.self_attn", "options": {}}
    plan = {"format": "identikit.plan", "version": 1, "model": "", "fingerprint": "", "weights": "", "edits": [zero]}
    alike = "model.layers.1.self_attn"
    rows = [
        Row(("model.layers.0",), "perplexity", 4.3812, 1204.6, 1200.2188, 1100.5, 1311.25, 64),
        Row(("model.layers.1",), "perplexity", 4.3812, 4.3705, -0.0107, -0.051, 0.0312, 64, error=0.02, ties=(alike,)),
        Row(("model.layers.2",), "perplexity", 4.3812, 4.2, -0.1812, -0.25, -0.1, 64),
        Row((alike,), "perplexity", 4.3812, 4.41, 0.0288, 0.01, 0.05, 64, plan=plan, ties=("model.layers.1",)),
        Row(("model.layers.1", "model.layers.2"), "perplexity", 4.3812, 6.9, 2.5188, 2.25, 2.75, 64),
        Row(("model.layers.1",), "accuracy", 0.861, 0.8585, -0.0025, None, None, 64),
    ]
    return ScanResult(header(metrics=metrics, model="LlamaForCausalLM", name="", sites=sites, total_parameters=0), rows)


def front(**changes: Any) -> Front:
    """A prune that went three layers far and took two."""
    points = []
    steps = [((), 0.0, 0.0211), ((2,), -0.0178, 0.0178), ((1, 2), -0.0466, 0.0147), ((1, 2, 3), -0.0981, 0.0113)]
    for gone, effect, latency in steps:
        bounds = (effect * 1.06, effect * 0.94) if gone else (None, None)
        score = Score(1.0, 1.0 + effect, effect, *bounds)
        places = tuple(f"encoder.layer.{number}" for number in gone)
        left = TOTAL - LAYER * len(gone)
        times = {"latency": latency, "latency_low": 0.98 * latency, "latency_high": 1.03 * latency}
        memory = 4 * left + 12_582_912
        points.append(Point(places, {"fidelity": score}, left, 1.0 + effect, memory=memory, **times))
    values: dict[str, Any] = {
        "header": header(notes=("A layer of a post-norm model is proved by replay.",)),
        "points": tuple(points),
        "chosen": 2,
        "goal": "keep at least 95 % of the full fidelity",
        "why": (
            "Dropped encoder.layer.2, then encoder.layer.1: each time the layer whose loss cost least.",
            "Stopped there: the best third drop (encoder.layer.3) would keep 90.2 %, below 95 %.",
        ),
        "size_before": 90_868_376,
        "size_after": 76_672_664,
    }
    return Front(**(values | changes))


def held_front() -> Front:
    """The same prune, judged on 50 examples that its search did not see."""
    whole, points = front(), []
    for point in whole.points:
        seen = point.scores["fidelity"]
        effect = 1.08 * seen.effect
        bounds = (effect * 1.12, effect * 0.88) if point.places else (None, None)
        score = Score(0.9982, 0.9982 + effect, effect, *bounds)
        kept = (0.9982 + effect) / 0.9982
        points.append(replace(point, scores={"fidelity": score}, selection={"fidelity": seen}, kept=kept))
    data = DataInfo("pairs.csv", "5d0c2b7a9e41f386", 50)
    top = replace(whole.header, data=data, metrics={"fidelity": MetricInfo(True, 0.9982, "paired", 0.95)})
    search = DataInfo("pairs.csv", "91d3aa02c4e87f15", 150)
    return replace(whole, header=top, points=tuple(points), chosen_on=search)
