"""Over the zoo: a filled gap is nearer to the full model on batches not fitted to, and nothing else has changed."""

from __future__ import annotations

import copy

import pytest
import torch

from compensating.drawn import like, shared
from identikit.compensating.compensate import compensated
from identikit.families.anatomy import anatomy_of
from identikit.surgery.choose import plan_for
from identikit.surgery.remove import remove
from zoo import ZOO, Case

PRODUCT = "no product of its own goes straight into its last sum"
#: Where the layer before has nothing to fold into, and what is said of it.
NOT_FOLDED = {
    "gemma3": PRODUCT,  # a norm stands between the projection and the sum
    "mixtral": PRODUCT,  # several experts, each for some tokens
    "tied": "is used elsewhere too",
    "shared": "it is called 2 times",
}
CASES = [case for case in ZOO if len(case.blocks()) > 1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fold(case: Case) -> None:
    model = case.build()
    before = copy.deepcopy(model.state_dict())
    anatomy = anatomy_of(model, case.inputs(model))
    plan = plan_for(anatomy, [case.blocks()[1]])
    smaller, same, found = compensated(anatomy, plan, *shared(like(anatomy.batch)), "fold")
    (gap,) = found.gaps
    plain = remove(copy.deepcopy(model), plan, inputs=anatomy.batch).state_dict()
    folded = smaller.state_dict()
    assert same == plan
    assert {name: value.shape for name, value in folded.items()} == {name: value.shape for name, value in plain.items()}
    changed = {name for name, value in folded.items() if not torch.equal(value, plain[name])}
    if case.name in NOT_FOLDED:
        assert NOT_FOLDED[case.name] in gap.why
        assert 'Use compensate="adapter".' in gap.why
        assert not changed
    else:
        assert not gap.why
        assert gap.after is not None
        assert gap.before is not None
        assert gap.after < gap.before
        assert changed
        assert all(name.startswith(f"{gap.into}.") for name in changed)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_adapter(case: Case) -> None:
    model = case.build()
    anatomy = anatomy_of(model, case.inputs(model))
    gone = case.blocks()[1]
    smaller, plan, found = compensated(anatomy, plan_for(anatomy, [gone]), *shared(like(anatomy.batch)), "adapter")
    (gap,) = found.gaps
    assert not gap.why
    assert gap.into == gone
    assert gap.after is not None
    assert gap.before is not None
    assert gap.after < gap.before
    again = remove(copy.deepcopy(model), plan, inputs=anatomy.batch)
    own, other = smaller.state_dict(), again.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in own.items())
