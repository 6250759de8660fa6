"""Plans are values: they unite as sets do, say the same after a file as before it, and a spoiled file is refused."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identikit.errors import PlanError
from identikit.plan import GROWING, OPS, REPLACING, Edit, Option, Plan
from properties import strategies as draw
from properties.outcome import read_or_refused


def meaning(edits: list[Edit]) -> set[Edit] | None:
    """What edits mean together, from the definition: None where two of them contradict each other."""
    for one in edits:
        for other in edits:
            if one != other and one.at == other.at and (one.op in GROWING) == (other.op in GROWING):
                return None
    replaced = [edit.at for edit in edits if edit.op in REPLACING]
    return {edit for edit in edits if not any(edit.at.startswith(place + ".") for place in replaced)}


def text(plan: Plan) -> str:
    return json.dumps(plan.to_json())


@given(draw.meeting(), st.randoms())
def test_a_plan_is_what_its_edits_mean_in_any_order(edits: list[Edit], chance: random.Random) -> None:
    wanted = meaning(edits)
    chance.shuffle(edits)
    if wanted is None:
        with pytest.raises(PlanError, match=r"two different edits at"):
            Plan(frozenset(edits))
        return
    plan = Plan(frozenset(edits))
    assert plan.edits == wanted
    again = Plan(frozenset(reversed(edits)))
    assert again == plan
    assert hash(again) == hash(plan)
    assert text(again) == text(plan)


@given(draw.PLACES, draw.ALIKE, draw.ALIKE)
def test_equal_is_what_has_equal_text(at: str, value: Option, other: Option) -> None:
    one, two = (Plan(frozenset([Edit("insert", at, (("count", each),))])) for each in (value, other))
    assert (one == two) == (text(one) == text(two))


@given(draw.plans(), draw.plans())
def test_a_union_is_the_plan_of_all_the_edits(one: Plan, other: Plan) -> None:
    wanted = meaning([*one, *other])
    models = {plan.fingerprint for plan in (one, other)} - {""}
    if wanted is None or len(models) > 1:
        for both in ((one, other), (other, one)):
            with pytest.raises(PlanError):
                both[0] | both[1]
        return
    union = one | other
    assert union.edits == wanted
    assert union == other | one
    assert text(union) == text(other | one)
    assert union | one == union | other == union | union == union
    assert Plan() | union == union


@given(draw.meeting(5), st.randoms())
def test_edits_that_agree_unite_in_any_grouping(edits: list[Edit], chance: random.Random) -> None:
    wanted = meaning(edits)
    parts = [Plan(frozenset([edit])) for edit in edits]
    while len(parts) > 1 and wanted is not None:  # a union may be undefined only where the edits contradict
        chance.shuffle(parts)
        parts.append(parts.pop() | parts.pop())
    assert wanted is None or not parts or parts[0].edits == wanted


@given(draw.PLACES, draw.PLACES, st.sampled_from(REPLACING), draw.edits())
def test_what_replaces_a_layer_absorbs_what_lies_under_it(at: str, under: str, op: str, other: Edit) -> None:
    inner = Plan(frozenset([Edit(other.op, f"{at}.{under}", other.options)]))
    outer = Plan.of([at], op)
    assert inner | outer == outer | inner == outer


@given(draw.PLACES, st.sampled_from([op for op in OPS if op not in REPLACING]), draw.edits())
def test_nothing_else_absorbs(at: str, op: str, other: Edit) -> None:
    inner = Plan(frozenset([Edit(other.op, f"{at}.b", other.options)]))
    assert len(inner | Plan.of([at], op)) == 2


@given(draw.PLACES, st.data())
def test_different_edits_at_one_place_are_both_named(at: str, data: st.DataObject) -> None:
    kinds = data.draw(st.sampled_from([GROWING, tuple(op for op in OPS if op not in GROWING)]))
    here = draw.edits(st.just(at)).filter(lambda edit: edit.op in kinds)
    one, other = data.draw(st.lists(here, min_size=2, max_size=2, unique=True))
    beside = data.draw(st.lists(draw.edits(st.just("beside")), max_size=1))
    with pytest.raises(PlanError) as caught:
        Plan(frozenset([one])) | Plan(frozenset([other, *beside]))
    said = str(caught.value)
    assert said.startswith(f'two different edits at "{at}": ')
    assert str(one) in said
    assert str(other) in said
    assert said.isprintable()


@given(draw.plans())
@settings(max_examples=50)
def test_a_file_holds_the_same_plan(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.write(path)
    again = Plan.read(path)
    assert again == plan
    assert hash(again) == hash(plan)
    assert text(again) == text(plan)
    assert again.places == plan.places


def check(plan: Plan | None) -> None:
    """What was read is the same after JSON, and can stand in a message of one line and in every file."""
    if plan is not None:
        assert Plan.from_json(json.loads(text(plan))) == plan
        assert " ".join([plan.model, plan.fingerprint, plan.weights, *map(str, plan)]).isprintable()


@given(draw.plans().filter(len), st.data())
def test_a_plan_with_one_value_spoiled_is_read_or_refused(plan: Plan, data: st.DataObject) -> None:
    value = data.draw(draw.spoiled(plan.to_json()))
    check(read_or_refused(lambda: Plan.from_json(value), PlanError))


@given(draw.plans(), st.data())
@settings(max_examples=120)
def test_a_file_with_one_byte_spoiled_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, plan: Plan, data: st.DataObject
) -> None:
    content = bytearray(json.dumps(plan.to_json(), indent=2, ensure_ascii=False).encode())
    where = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["replace", "take out", "put in", "cut"]))
    byte = data.draw(st.sampled_from(b'"{}[],:\\0\n\x1b') | st.integers(0, 255))
    end = len(content) if how == "cut" else where + (how != "put in")
    content[where:end] = [byte] if how in ("replace", "put in") else []
    path = tmp_path_factory.mktemp("spoiled") / "plan.json"
    path.write_bytes(content)
    check(read_or_refused(lambda: Plan.read(path), PlanError))
