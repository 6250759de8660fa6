"""What fuzzing starts from: the sample results as files, and the words that stand in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import sample_results as sample
from fuzz.targets import RUN
from identikit.plan import OPS, Edit, Plan
from identikit.results import Front, ScanResult
from identikit.results.compensated import Compensated, Filled
from identikit.results.header import DataInfo
from identikit.results.journal import lines_of
from identikit.results.provenance import Figure, Provenance, Step

FINDINGS = Path(__file__).parent / "findings"
"""Inputs that broke a reader once: a folder a target. Each stays, and is replayed by every test run."""


def seeds() -> dict[str, list[bytes]]:
    """Sound inputs for each target."""
    return {
        "plan": [_json(each.to_json()) for each in _plans()],
        "scan": [_scan(each) for each in (sample.scan(), sample.mixed_scan(), ScanResult(sample.header(sites={})))],
        "front": [_json(each.to_json()) for each in _fronts()],
        "provenance": [_json(_history().to_json()), _json(Provenance().to_json())],
        "part": _parts(),
        "places": [text.encode() for text in _PLACES],
    }


def findings() -> dict[str, list[Path]]:
    """The files of what was found, by target."""
    return {folder.name: sorted(folder.iterdir()) for folder in sorted(FINDINGS.iterdir()) if folder.is_dir()}


def dictionary() -> str:
    """Every word of the seeds, and numbers and texts that readers stumble over, as libFuzzer reads them."""
    words = {word for inputs in seeds().values() for text in inputs for word in re.findall(rb'"[^"\\]{1,40}"', text)}
    words |= {word.encode() for word in _ODD}
    return "".join(f'"{_escaped(word)}"\n' for word in sorted(words))


_PLACES = [
    "encoder.layer.2",
    "encoder.layer.[1:4]",
    "encoder.layer.[-1,2].mlp",
    "encoder.*.[::]",
    "encodr.layer.12",
    "*.*",
    "a.[1-3,5]\na\na.1\na.3\na.01\na.b",
    "layers.\u0663\nlayers\nlayers.3\nlayers.\u0663",
]
_ODD = [
    *("NaN", "Infinity", "-0.0", "1e999", "1e308", "-1", "0.5", "true", "false", "null", "9" * 30),
    *("[]", "{}", "[[", "\\ud800", "\\u0000", "\\u202e", "\u0663", "[1:2]", "[-1]", "[1,2]", "[:]", "*", ".", ".."),
    *(" + ", "sha256:", "\n", "\r\n", "\u2028"),
]


def _plans() -> list[Plan]:
    every = [Edit(op, f"layers.{number}", (("count", 2), ("of", "a"))) for number, op in enumerate(OPS)]
    held = Edit("mean", "layers.1", (("value", "first"), ("scale", 0.5), ("flag", None)))
    header = {"fingerprint": "0123456789abcdef", "weights": "several", "model": "BertModel"}
    return [Plan(), Plan(frozenset(every), **header), Plan(frozenset([held]))]  # type: ignore[arg-type]


def _fronts() -> list[Front]:
    from dataclasses import replace

    front = sample.front()
    score = front.points[1].scores
    filled = Filled(("encoder.layer.2",), "encoder.layer.1", 0.5, 0.25)
    made_up = Compensated("fold", (filled, Filled(("encoder.layer.1",), None, why="no product")), score, parameters=9)
    plan = Plan.of(["encoder.layer.2"], "zero").to_json()
    points = (front.points[0], replace(front.points[1], compensated=made_up, plan=plan))
    return [front, sample.held_front(), replace(front, points=points, chosen=1)]


def _history() -> Provenance:
    figure = Figure("fidelity", 0.9, 1.0, 0.8, -0.2, -0.05, 0.95, data=DataInfo("pairs.csv", "91d3", 200))
    return Provenance(
        (Step("prune", ("Dropped a.1.",), "keep", (figure,), "m", "x", {"torch": "2"}, "s"), Step("heal"))
    )


def _scan(result: ScanResult) -> bytes:
    return lines_of(result.header, result.rows)


def _parts() -> list[bytes]:
    top = {"format": "identikit.part", "version": 1, "run": RUN}
    values = {
        "batch": 0,
        "data": "91d3",
        "plan": "layers.1",
        "values": {"kl": [0.5, 1.0], "loss": [[2.0, 3.0], [1.0, 1.0]]},
    }
    score = {"score": "harness", "value": 0.5}
    whole = b"".join(_json(each, indent=None) + b"\n" for each in (top, values, {**values, "batch": 1}, score))
    return [whole, whole[:-20], _json(top, indent=None) + b"\n"]


def _json(value: Any, indent: int | None = 1) -> bytes:
    return json.dumps(value, indent=indent).encode()


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)
