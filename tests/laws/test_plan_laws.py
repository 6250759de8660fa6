"""Law 4: a plan written and read is the same value; union is commutative, associative and idempotent where defined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from identikit.errors import PlanError
from identikit.plan import OPS, Edit, Plan

names = st.sampled_from(["encoder", "layer", "0", "1", "10", "attn", "mlp", "_orig_mod", "schicht-ü"])
places = st.lists(names, min_size=1, max_size=4).map(".".join)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-10**6, 10**6), st.floats(allow_nan=False, allow_infinity=False),
    st.text("abc ü", max_size=8),
)  # fmt: skip
options = st.dictionaries(st.text("abcdef", min_size=1, max_size=5), values, max_size=2)
edits = st.builds(lambda op, at, more: Edit(op, at, tuple(more.items())), st.sampled_from(OPS), places, options)
hashes = st.sampled_from(["", "", "0123456789abcdef", "fedcba9876543210"])


def _plan(made: frozenset[Edit], fingerprint: str, weights: str) -> Plan | None:
    try:
        return Plan(made, fingerprint, weights, "Model" if fingerprint else "")
    except PlanError:
        return None


plans = st.builds(_plan, st.frozensets(edits, max_size=6), hashes, hashes).filter(lambda plan: plan is not None)


def union(*parts: Any) -> Plan | None:
    """The union from the left, or None where it is a contradiction."""
    result = parts[0]
    for part in parts[1:]:
        if result is None or part is None:
            return None
        try:
            result = result | part
        except PlanError:
            return None
    return result


@given(plans)
def test_written_and_read_is_the_same_value(plan: Plan) -> None:
    text = json.dumps(plan.to_json())
    again = Plan.from_json(json.loads(text))
    assert again == plan
    assert hash(again) == hash(plan)
    assert json.dumps(again.to_json()) == text


@given(plans, plans)
def test_union_is_commutative(a: Plan, b: Plan) -> None:
    assert union(a, b) == union(b, a)


@given(plans, plans, plans)
def test_union_is_associative_where_both_ways_are_defined(a: Plan, b: Plan, c: Plan) -> None:
    left, right = union(union(a, b), c), union(a, union(b, c))
    if left is not None and right is not None:
        assert left == right


@given(plans)
def test_union_is_idempotent_and_the_empty_plan_is_neutral(plan: Plan) -> None:
    assert plan | plan == plan
    assert plan | Plan() == plan == Plan() | plan


@given(st.permutations(["encoder.layer.0", "encoder.layer.1", "decoder.0", "mlp"]))
def test_a_plan_has_no_order(order: list[str]) -> None:
    assert Plan.of(order) == Plan.of(sorted(order))
    assert Plan.of(order).places == ("decoder.0", "encoder.layer.0", "encoder.layer.1", "mlp")


def test_a_file_holds_the_same_value(tmp_path: Path) -> None:
    plan = Plan.of(["model.layers.3", "model.layers.10"], fingerprint="0123456789abcdef", model="LlamaForCausalLM")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert Plan.read(str(tmp_path / "plan.json")).places == ("model.layers.3", "model.layers.10")
