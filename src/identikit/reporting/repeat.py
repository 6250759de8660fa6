"""How to do it again: the exact command, and the Python lines."""

from __future__ import annotations

import json
import shlex
from typing import Any

from identikit.plan import Plan
from identikit.reporting import numbers
from identikit.results import Front, Header, ScanResult


def scan_command(result: ScanResult) -> str:
    """The command line that made the scan, or one that measures the same."""
    header = result.header
    if header.command:
        return numbers.clean(header.command)
    metrics = [word for name in header.metrics for word in ("--metric", name)]
    words = ["identikit", "scan", header.name or "MODEL", "--data", header.data.name or "FILE", *metrics]
    return numbers.clean(shlex.join([*words, "--seed", str(header.seed), "--to", "scan.jsonl"]))


def scan_python(result: ScanResult) -> str:
    """The lines that measure the same on a model and data at hand."""
    header = result.header
    lines = ["import identikit as ik", "", *_model_and_data(header)]
    lines += [f"result = ik.scan(model, data, metrics={_metrics(header)}, seed={header.seed})", "print(result)"]
    best = next((row.places[0] for row in result.ranked() if len(row.places) == 1 and row.plan is None), None)
    if best is not None:
        lines += [
            "",
            "# the same model without the layer that is missed least",
            f"handle = ik.bypass(model, {_text(best)})",
        ]
    return _safe(lines)


def front_command(front: Front) -> str:
    """The command line that pruned the model, or one that drops the same layers from it."""
    header = front.header
    if header.command:
        return numbers.clean(header.command)
    words = ["identikit", "apply", header.name or "MODEL", "plan.json", "--to", "smaller"]
    return numbers.clean(shlex.join(words))


def front_python(front: Front) -> str:
    """The lines that drop the same layers from a model at hand, and save it."""
    plain = f"ik.Plan.of([{', '.join(map(_text, front.choice.places))}])"
    plan = plain if front.choice.plan is None else 'ik.Plan.read("plan.json")'
    lines = ["import identikit as ik", "", *_model_and_data(front.header)[:1]]
    lines += [f"model = ik.remove(model, {plan})", 'ik.save(model, "smaller")']
    return _safe(lines)


def plan_json(front: Front) -> dict[str, Any]:
    """The chosen plan as JSON values."""
    if front.choice.plan is not None:
        return front.choice.plan
    header = front.header
    names = {"fingerprint": header.fingerprint, "weights": header.weights, "model": header.model}
    return Plan.of(front.choice.places, **names).to_json()


def _safe(lines: list[str]) -> str:
    """Each line made safe to show."""
    return "\n".join(numbers.clean(line) for line in lines)


def _model_and_data(header: Header) -> list[str]:
    name = header.name or header.model
    return [
        f"model = ...  # {name}, in eval mode",
        f"data = ...  # {header.data.name or 'the data'}: {numbers.plural(header.data.examples, 'example')}",
    ]


def _metrics(header: Header) -> str:
    names = list(map(_text, header.metrics))
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _text(name: str) -> str:
    """`name` as a text of Python, whatever quotes it holds: these lines are pasted and run."""
    return json.dumps(numbers.clean(name), ensure_ascii=False)
