"""How to do it again: the exact command, and the Python lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from identikit.errors import PlanError
from identikit.places import natural_key
from identikit.plan import Edit, Plan
from identikit.reporting import numbers
from identikit.results import Front, Header, ScanResult
from identikit.results.agreement import CHEAP

#: What a plan of these lines may do at a place: what needs no tensor beside it and leaves nothing of a layer.
PLAIN = ("identity", "zero", "one")
BETWEEN_EDITS, BETWEEN_PLACES, BETWEEN_PLANS = ",\n", ", ", " | "
_LONGEST_NAME = 200  # characters that a plan holds of a name


def scan_command(result: ScanResult) -> str:
    """The command line that made the scan, or one that measures the same."""
    header = result.header
    if header.command:
        return numbers.clean(header.command)
    exact, method = _asked(header)
    words = ["--data", header.data.name or "FILE", *(word for name in exact for word in ("--metric", name))]
    words += [*(("--method", method) if method else ()), "--seed", str(header.seed), "--to", "scan.jsonl"]
    return _command("scan", [_model(header)], words)


def scan_python(result: ScanResult) -> str:
    """The lines that measure the same on a model and data at hand."""
    header = result.header
    lines = ["import identikit as ik", "", *_model_and_data(header)]
    exact, method = _asked(header)
    names = list(map(text_of, exact))
    asked = [f"metrics={names[0] if len(names) == 1 else '[' + ', '.join(names) + ']'}"] if names else []
    asked += [f"method={text_of(method)}"] if method else []
    lines += [f"result = ik.scan(model, data, {', '.join(asked)}, seed={header.seed})", "print(result)"]
    best = next((row.places[0] for row in result.ranked() if len(row.places) == 1 and row.plan is None), None)
    if best is not None:
        lines += [
            "",
            "# the same model without the layer that is missed least",
            f"handle = ik.bypass(model, {text_of(best)})",
        ]
    return _safe(lines)


def front_command(front: Front) -> str:
    """The command line that pruned the model, or one that drops the same layers from it."""
    if front.header.command:
        return numbers.clean(front.header.command)
    return _apply(front.header)


def front_python(front: Front) -> str:
    """The lines that drop the same layers from a model at hand, and save it."""
    plain = plain_edits(front.choice.places, front.choice.plan)
    if plain is not None:
        return plan_python(front.header, plain)
    before, after = python_around(front.header)
    return before + 'ik.Plan.read("plan.json")' + after


def plan_json(front: Front) -> dict[str, Any]:
    """The chosen plan as JSON values."""
    if front.choice.plan is not None:
        return front.choice.plan
    header = front.header
    names = {"fingerprint": header.fingerprint, "weights": header.weights, "model": header.model}
    return Plan.of(front.choice.places, **names).to_json()


def plain_edits(places: Iterable[str], plan: dict[str, Any] | None) -> tuple[Edit, ...] | None:
    """The edits of a row or a point, in the order of a plan; None where lines on a page cannot carry them."""
    try:
        edits = Plan.of(places) if plan is None else Plan.from_json(plan)
    except PlanError:  # a result that was made by hand may hold a place that is no path
        return None
    return tuple(edits) if all(edit.op in PLAIN and not edit.options for edit in edits) else None


def plan_command(header: Header, edits: Iterable[Edit]) -> str:
    """The lines of a shell that write the plan with these edits, take it out of the model and save the rest."""
    before, after = command_around(header)
    return before + BETWEEN_EDITS.join(map(edit_text, _ordered(edits))) + after


def plan_python(header: Header, edits: Iterable[Edit]) -> str:
    """The lines of Python that do the same to a model at hand."""
    before, after = python_around(header)
    places: dict[str, list[str]] = {op: [] for op in PLAIN}
    for edit in _ordered(edits):
        places[edit.op].append(text_of(edit.at))
    plans = [f"{plan_around(op)[0]}{BETWEEN_PLACES.join(at)}{plan_around(op)[1]}" for op, at in places.items() if at]
    return before + (BETWEEN_PLANS.join(plans) or "ik.Plan()") + after


def command_around(header: Header) -> tuple[str, str]:
    """What stands before and behind the edits in `plan_command`, one edit a line."""
    named = (("model", header.model), ("fingerprint", header.fingerprint), ("weights", header.weights))
    names = {key: name if len(name) <= _LONGEST_NAME and name.isprintable() else "" for key, name in named}
    head = json.dumps({key: names.get(key, value) for key, value in Plan().to_json().items() if key != "edits"})
    before = f"cat > plan.json <<'PLAN'\n{head[:-1]}, \"edits\": [\n"
    return before, f"\n]}}\nPLAN\n{_apply(header)}"


def python_around(header: Header) -> tuple[str, str]:
    """What stands before and behind the plan in `plan_python`."""
    lines = ["import identikit as ik", "", *_model_and_data(header)[:1], "model = ik.remove(model, "]
    return _safe(lines), ')\nik.save(model, "smaller")'


def plan_around(op: str) -> tuple[str, str]:
    """What stands before and behind the places of the plan that does `op` at each."""
    return "ik.Plan.of([", "])" if op == "identity" else f"], {text_of(op)})"


def edit_text(edit: Edit) -> str:
    """One edit as a line of the plan's JSON."""
    return json.dumps({"op": edit.op, "at": edit.at, "options": dict(edit.options)}, ensure_ascii=False)


def text_of(name: str) -> str:
    """`name` as a text of Python, whatever quotes it holds: these lines are pasted and run."""
    return json.dumps(numbers.clean(name), ensure_ascii=False)


def _ordered(edits: Iterable[Edit]) -> list[Edit]:
    return sorted(edits, key=lambda edit: natural_key(edit.at))


def _apply(header: Header) -> str:
    return _command("apply", [_model(header), "plan.json"], ["--to", "smaller"])


def _model(header: Header) -> str:
    """What the command line calls the model; a result of Python's may know its class alone, which is no model."""
    return header.name if header.name not in ("", header.model) else "MODEL"


def _command(verb: str, given: list[str], options: list[str]) -> str:
    """One line for a shell; a name that starts with a dash is no option."""
    words = [*options, "--", *given] if any(word.startswith("-") for word in given) else [*given, *options]
    return numbers.clean(shlex.join(["identikit", verb, *words]))


def _safe(lines: list[str]) -> str:
    """Each line made safe to show."""
    return "\n".join(numbers.clean(line) for line in lines)


def _model_and_data(header: Header) -> list[str]:
    name = header.name or header.model
    return [
        f"model = ...  # {name}, in eval mode",
        f"data = ...  # {header.data.name or 'the data'}: {numbers.plural(header.data.examples, 'example')}",
    ]


def _asked(header: Header) -> tuple[list[str], str]:
    """The metrics to ask a scan for, and the method where it is not the exact one: a cheap score is no metric of it."""
    exact = [name for name in header.metrics if name not in CHEAP]
    cheap = [name for name in header.metrics if name in CHEAP]
    return exact, "" if not cheap else "auto" if exact else cheap[0]
