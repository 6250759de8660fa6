"""A plan from a stranger: it names layers and nothing else, however large or odd the file is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import identikit as ik
import small_net
from identikit.errors import PlaceError, PlanError
from identikit.plan import Plan
from security.traps import refused

#: Processor time that reading any file of the sizes below may take; what grows with the square takes minutes.
SECONDS = 20.0
ATTRIBUTES = [
    "__class__",
    "__dict__",
    "forward",
    "__init__.__globals__",
    "layers.0.__class__",
    "layers.0.forward",
    "layers._modules.0",
    "_modules",
    "head.weight",
    "layers.0.branch.__len__",
    "layers.-1",
    "layers.0x1",
    "layers.１",
    "training",
]


def plan(**changes: Any) -> dict[str, Any]:
    return Plan.of(["layers.1"]).to_json() | changes


@pytest.mark.parametrize("at", ATTRIBUTES)
def test_an_attribute_is_no_place(at: str, net: Any) -> None:
    before = {name: dict(vars(module)) for name, module in net.named_modules()}
    read = Plan.from_json(plan(edits=[{"op": "identity", "at": at, "options": {}}]))
    batch = small_net.batches()[0][0]
    assert f'no layer "{at}"' in refused(lambda: ik.apply(net, read, inputs=batch), PlaceError)
    assert f'no layer "{at}"' in refused(lambda: ik.remove(net, read, inputs=batch), PlaceError)
    assert f'no layer "{at}"' in refused(lambda: ik.bypass(net, at, inputs=batch), PlaceError)
    assert {name: dict(vars(module)) for name, module in net.named_modules()} == before


@pytest.fixture
def net() -> Any:
    return small_net.made()


def test_a_plan_of_many_edits_is_read_in_time(tmp_path: Path) -> None:
    edits = [{"op": "identity", "at": f"layers.{number}", "options": {}} for number in range(30_000)]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan(edits=edits)))
    started = time.process_time()
    assert len(Plan.read(path)) == 30_000
    assert time.process_time() - started < SECONDS


def test_a_plan_of_many_keys_is_refused_in_time(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    keys = ", ".join(f'"{number}": 0' for number in range(30_000))
    path.write_text(f'{{{keys}, "29999": 1}}')
    started = time.process_time()
    assert refused(lambda: Plan.read(path), PlanError).endswith('has the key "29999" twice.')
    assert time.process_time() - started < SECONDS


def test_a_long_key_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"x" * 10**6: 0})[:-1] + f', "{"x" * 10**6}": 1}}')
    assert len(refused(lambda: Plan.read(path), PlanError)) < 300 + len(str(path))


@pytest.mark.parametrize("options", [{"x\n# y": 1}, {"x": "\x1b]0;owned\x07"}, {"x": "a\n\n<script>"}])
def test_options_that_cannot_be_shown_are_refused(options: Any) -> None:
    edits = [{"op": "identity", "at": "layers.1", "options": options}]
    refused(lambda: Plan.from_json(plan(edits=edits)), PlanError)
