"""Plans: what unites, what contradicts, and what a damaged or hostile file is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from identikit import strict_json
from identikit.errors import PlanError
from identikit.plan import Edit, Plan


def refused(make: Any) -> str:
    with pytest.raises(PlanError) as error:
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_outer_identity_absorbs_what_lies_under_it() -> None:
    inner = Plan(frozenset([Edit("zero", "layers.1.mlp"), Edit("identity", "layers.10")]))
    assert (inner | Plan.of(["layers.1"])).places == ("layers.1", "layers.10")
    assert (inner | Plan.of(["layers.1"], "zero")).places == ("layers.1", "layers.10")


def test_an_insertion_absorbs_nothing() -> None:
    assert len(Plan.of(["layers.1.mlp"]) | Plan(frozenset([Edit("insert", "layers.1", (("count", 2),))]))) == 2


def test_two_edits_at_one_place_are_named() -> None:
    message = refused(lambda: Plan.of(["mlp"]) | Plan.of(["mlp"], "zero"))
    assert message == 'two different edits at "mlp": identity at mlp and zero at mlp. Keep one of them.'


def test_two_edits_at_one_place_are_found_beside_a_place_that_differs_by_a_zero() -> None:
    edits = [Edit("identity", "a.1"), Edit("mean", "a.01"), Edit("zero", "a.1")]
    assert refused(lambda: Plan(frozenset(edits))).startswith('two different edits at "a.1"')


def test_an_option_of_1_is_not_one_of_true() -> None:
    one, true = Edit("insert", "a", (("count", 1),)), Edit("insert", "a", (("count", True),))
    assert one != true
    assert len({one, true, Edit("insert", "a", {"count": 1})}) == 2  # type: ignore[arg-type]
    assert "count=1 and insert at a count=True" in refused(lambda: Plan(frozenset([one])) | Plan(frozenset([true])))


def test_an_option_has_one_value() -> None:
    assert refused(lambda: Edit("mean", "a", (("x", 1), ("x", "b")))) == 'the mean at "a" has the option "x" twice.'


def test_plans_for_different_models_do_not_unite() -> None:
    one, other = Plan(fingerprint="a", model="Llama"), Plan(fingerprint="b", model="Bert")
    assert refused(lambda: one | other) == "these plans were made for different models (Llama and Bert)."


def test_weights_of_several_models_are_said_to_be_several() -> None:
    one, other = Plan(weights="a"), Plan(weights="b")
    assert (one | other).weights == "several"
    assert (one | other | one).weights == "several"


def test_an_edit_has_one_place() -> None:
    assert refused(lambda: Plan.of(["layers.*"])) == (
        'an edit has one place; "layers.*" may mean several. Write one edit for each of them.'
    )
    assert "several" in refused(lambda: Edit("identity", "layers.[0:2].mlp"))


def test_an_unknown_edit() -> None:
    assert refused(lambda: Edit("delete", "a")).startswith("no edit is called 'delete'; there are identity, zero, one")


GOOD = Plan.of(["layers.1"], fingerprint="0123456789abcdef", model="Model").to_json()


def changed(**values: Any) -> dict[str, Any]:
    return {**GOOD, **values}


def edit(**values: Any) -> dict[str, Any]:
    return changed(edits=[{"op": "identity", "at": "layers.1", "options": {}, **values}])


ATTACKS: dict[str, tuple[Any, str]] = {
    "a list": ([], 'this plan is no plan: it lacks "format": "identikit.plan".'),
    "another format": (changed(format="x"), "is no plan"),
    "another version": (
        changed(version=2),
        "has version 2; this identikit reads version 1. Update identikit, or make the plan anew with this one.",
    ),
    "version as text": (changed(version="1"), "has version '1'"),
    "version true": (changed(version=True), "has version True"),
    "an unknown key": (changed(code="import os"), "has the unknown key 'code'."),
    "model a number": (changed(model=3), '"model" must be a short text.'),
    "a long fingerprint": (changed(fingerprint="a" * 201), '"fingerprint" must be a short text.'),
    "edits an object": (changed(edits={}), '"edits" must be a list'),
    "no edits": ({key: value for key, value in GOOD.items() if key != "edits"}, '"edits" must be a list'),
    "too many edits": (changed(edits=[GOOD["edits"][0]] * 100_001), "at most 100,000 edits"),
    "edit a text": (changed(edits=["identity"]), "edit 1: an edit has"),
    "edit with another key": (edit(eval="1"), "edit 1: an edit has"),
    "edit without a place": (changed(edits=[{"op": "identity"}]), "edit 1: an edit has"),
    "op a number": (edit(op=1), '"op" and "at" must be texts'),
    "at a list": (edit(at=["a"]), '"op" and "at" must be texts'),
    "options a list": (edit(options=[]), "must be texts and"),
    "op unknown": (edit(op="exec"), "no edit is called 'exec'"),
    "a path out of the folder": (edit(at="../../etc/passwd"), "a place is a dotted path"),
    "an absolute path": (edit(at="/etc/passwd"), "a place is a dotted path"),
    "a backslash": (edit(at="..\\x"), "a place is a dotted path"),
    "an empty place": (edit(at=""), "a place is a dotted path"),
    "empty components": (edit(at="a..b"), "a place is a dotted path"),
    "a place with a line break": (edit(at="a\nb"), "a place is a dotted path"),
    "a place with a zero byte": (edit(at="a\0b"), "a place is a dotted path"),
    "half a character in a place": (edit(at="a\ud800"), "a place is a dotted path"),
    "half a character in an option": (edit(options={"a": "\ud800"}), "must be a short plain value"),
    "a line break in an option": (edit(options={"a": "b\nc"}), "must be a short plain value"),
    "a line break in an option's name": (edit(options={"a\n": 1}), "an option must have a short name"),
    "a line break in the model's name": (changed(model="a\nb"), '"model" must be a short text.'),
    "a very long place": (edit(at="a" * 1001), "a place is a dotted path"),
    "wildcards": (edit(at="layers.*"), "an edit has one place"),
    "a path as an option": (edit(options={"tensor": "../x.safetensors"}), 'the option "tensor"'),
    "an object as an option": (edit(options={"a": {"b": 1}}), "must be a short plain value"),
    "a long option": (edit(options={"a": "b" * 201}), "must be a short plain value"),
    "infinity as an option": (edit(options={"a": float("inf")}), "must be a short plain value"),
    "a long option name": (edit(options={"a" * 201: 1}), "an option must have a short name"),
    "two edits at one place": (
        changed(edits=[{"op": "identity", "at": "a"}, {"op": "zero", "at": "a"}]),
        'two different edits at "a"',
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_wrong_plan_is_refused(name: str) -> None:
    value, expected = ATTACKS[name]
    assert expected in refused(lambda: Plan.from_json(value))


FILES: dict[str, tuple[bytes, str]] = {
    "truncated": (json.dumps(GOOD).encode()[:-20], "is damaged"),
    "empty": (b"", "is damaged: Expecting value at line 1, column 1."),
    "a line in a text": (b'{"model": "a\n"}', "is damaged: Invalid control character at line 1, column 13."),
    "not UTF-8": (b"\xff\xfe{", "it is not UTF-8 text"),
    "NaN": (b'{"format": NaN}', "holds NaN, which is not a JSON number."),
    "Infinity": (b'{"format": -Infinity}', "holds -Infinity, which is not a JSON number."),
    "1e999": (b'{"format": 1e999}', "holds a number that is too large."),
    "a key twice": (b'{"format": "identikit.plan", "format": "x"}', 'has the key "format" twice.'),
    "deep nesting": (b"[" * 200_000, "is nested too deeply."),
    "a huge integer": (b'{"version": ' + b"9" * 10_000 + b"}", "holds a number that is too large."),
    "a pickle": (b"\x80\x04\x95", "it is not UTF-8 text"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    message = refused(lambda: Plan.read(path))
    assert str(path) in message
    assert expected in message


def test_a_file_of_absurd_size_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(strict_json.LARGEST_FILE + 1)
    assert "67,108,865 bytes, more than the 67,108,864" in refused(lambda: Plan.read(path))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert refused(lambda: Plan.read(tmp_path / "none.json")).endswith("none.json: No such file or directory.")
    assert refused(lambda: Plan.read(tmp_path)).startswith(f"cannot read the plan file {tmp_path}")


def test_a_plan_is_read_without_torch(tmp_path: Path) -> None:
    Plan.of(["a"]).write(tmp_path / "plan.json")
    read = f"from identikit.plan import Plan; Plan.read({str(tmp_path / 'plan.json')!r})"
    code = f"import sys; {read}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
