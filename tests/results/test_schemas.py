"""The schemas that ship with the package, and the page that describes the formats: both say what the code does."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import sample_results as sample
from identikit.errors import IdentikitError
from identikit.plan import OPS, Edit, Plan
from identikit.results import Front, Header, Row, ScanResult
from identikit.results.compensated import Compensated, Filled

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def schema(name: str) -> Draft202012Validator:
    value = json.loads(files("identikit").joinpath("schemas", f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(value)
    return Draft202012Validator(value)


def plan() -> Plan:
    edits = [
        Edit("identity", "encoder.layer.1"),
        Edit("zero", "encoder.layer.2.output", (("scale", 0.5), ("on", None))),
    ]
    return Plan(frozenset(edits), "3f1c9a7e42d0b586", "b7e2d84410ffac39", "BertModel")


@pytest.mark.parametrize("scan", [sample.scan(), sample.mixed_scan()], ids=["scan", "mixed"])
def test_scans_fit(tmp_path: Path, scan: ScanResult) -> None:
    scan.write(tmp_path / "scan.jsonl")
    validator = schema("scan")
    top, *rows = [json.loads(line) for line in (tmp_path / "scan.jsonl").read_text().splitlines()]
    assert len(rows) == len(scan)
    for line, part in [(top, "header"), *((row, "row") for row in rows)]:
        validator.validate(line)
        validator.evolve(schema={"$ref": f"#/$defs/{part}", "$defs": validator.schema["$defs"]}).validate(line)


def test_fronts_and_plans_fit() -> None:
    for front in (sample.front(), sample.held_front()):
        schema("front").validate(front.to_json())
    schema("plan").validate(plan().to_json())
    schema("plan").validate(Plan.of(["a.b"]).to_json())


def test_the_schema_knows_every_op_and_key() -> None:
    defs = schema("scan").schema["$defs"]
    assert tuple(schema("plan").schema["$defs"]["edit"]["properties"]["op"]["enum"]) == OPS
    assert set(defs["header"]["properties"]) == {"format", "version", *Header.__dataclass_fields__}
    assert set(defs["row"]["properties"]) == set(Row.__dataclass_fields__)
    assert set(schema("front").schema["properties"]) == set(sample.front().to_json())
    assert set(schema("front").schema["$defs"]["point"]["properties"]) == {
        *sample.front().full.to_json(),
        "compensated",
        "plan",
    }
    assert set(schema("front").schema["$defs"]["compensated"]["properties"]) == set(Compensated.__dataclass_fields__)
    assert set(schema("front").schema["$defs"]["gap"]["properties"]) == set(Filled.__dataclass_fields__)


REFUSED_PLANS: list[dict[str, Any]] = [
    {"version": 2},
    {"version": True},
    {"format": "identikit.scan"},
    {"extra": 1},
    {"edits": {}},
    {"edits": [{"op": "delete", "at": "a"}]},
    {"edits": [{"op": "identity"}]},
    {"edits": [{"op": "identity", "at": "a/b"}]},
    {"edits": [{"op": "identity", "at": "../a"}]},
    {"edits": [{"op": "identity", "at": ""}]},
    {"edits": [{"op": "identity", "at": "a", "file": "x"}]},
    {"edits": [{"op": "mean", "at": "a", "options": {"from": "../../etc"}}]},
    {"edits": [{"op": "mean", "at": "a", "options": {"x": [1]}}]},
    {"fingerprint": 3},
    {"model": "x" * 201},
]


@pytest.mark.parametrize("change", REFUSED_PLANS, ids=str)
def test_schema_and_reader_refuse_the_same_plans(change: dict[str, Any]) -> None:
    value = plan().to_json() | change
    assert not schema("plan").is_valid(value)
    with pytest.raises(IdentikitError):
        Plan.from_json(value)


REFUSED_ROWS: list[dict[str, Any]] = [
    {"places": "a"},
    {"places": ["a", "a"]},
    {"places": ["a b"]},
    {"edited": "1"},
    {"examples": -1},
    {"examples": 1.5},
    {"seconds": -1},
    {"error": -0.5},
    {"error": "0.5"},
    {"ties": "a"},
    {"ties": ["a", "a"]},
    {"ties": ["a + "]},
    {"ties": ["a b"]},
    {"ties": [1]},
    {"extra": 0},
    {"plan": {"format": "identikit.plan"}},
]


@pytest.mark.parametrize("change", REFUSED_ROWS, ids=str)
def test_schema_and_reader_refuse_the_same_rows(change: dict[str, Any]) -> None:
    value = sample.row(0).to_json() | change
    assert not schema("scan").is_valid(value)
    with pytest.raises(IdentikitError):
        Row.from_json(value)


def test_the_examples_of_the_page_are_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```json\n(.*?)```", FORMATS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "plan.json").write_text(blocks[0])
    assert Plan.read(tmp_path / "plan.json").places == ("encoder.layer.1", "encoder.layer.2")
    (tmp_path / "scan.jsonl").write_text(blocks[1])
    scan = ScanResult.read(tmp_path / "scan.jsonl")
    assert scan.best().place == "encoder.layer.0"
    for line in blocks[1].splitlines():
        schema("scan").validate(json.loads(line))


def test_the_page_names_every_key() -> None:
    page = FORMATS.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.\[\]]+)`", page))
    keys = {*Header.__dataclass_fields__, *Row.__dataclass_fields__}
    keys |= set(sample.front().to_json()) | {f"points[].{key}" for key in sample.front().points[0].to_json()}
    missing = keys - named - {"plan"}
    assert not missing
    assert isinstance(Front.from_json(sample.front().to_json()), Front)
