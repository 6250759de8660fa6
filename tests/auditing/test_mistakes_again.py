"""Each published mistake is found in a second writing too: by its level, rule, module and message."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from auditing import naive_again as naive
from identikit import audit
from identikit.errors import InputsError

VECTORS = torch.randn(4, 50)
PICTURES = torch.randn(2, 4, 6, 6)
EMPTY = "is never called; it is empty, so its truth is False."
SKIPPED = 'which "1" reads again afterwards (add): the skip carries the changed value.'

CASES: dict[str, tuple[nn.Module, Any, tuple[str, str, str, str]]] = {
    "in-place ReLU before +=": (
        naive.ReluThenAdd(),
        PICTURES,
        ("mistake", "overwritten", "", "ReluThenAdd changes in place (+=) a value that its own backward needs: "
         "backward raises an error."),
    ),
    "one identity twice": (
        nn.Sequential(naive.IdentityBlock(), nn.Linear(50, 2)),
        VECTORS,
        ("mistake", "edited input", "0", '"0" writes in place (+=) into a tensor that Sequential was given: the '
         "caller's data is changed."),
    ),
    "a recurrent branch of 50 and a shortcut of 1": (
        naive.OneFeature(),
        torch.randn(2, 3, 50),
        ("mistake", "broadcast", "", "OneFeature adds shape (2, 3, 1) to (2, 3, 50): the one feature of the first is "
         "added to all 50 of the second."),
    ),
    "a product overwritten": (
        naive.Overwriting(),
        VECTORS,
        ("mistake", "no gradient", "", '"w1" gets no gradient: what Overwriting makes of it reaches no output.'),
    ),
    "an identity kept and its input edited": (
        naive.Kept(),
        VECTORS,
        ("note", "alias", "identity", 'Kept writes in place (-=) into what "identity" returned, which Kept hands out: '
         "the caller gets the changed value."),
    ),
    "an activation whose result is dropped": (
        naive.Dropped(),
        VECTORS,
        ("note", "dead branch", "activation", '"activation" runs, but nothing reads what it returns.'),
    ),
    "a truth that is False": (
        naive.Asking(nn.Sequential()),
        VECTORS,
        ("note", "never called", "pass_layer", f'"pass_layer" (Sequential) {EMPTY}'),
    ),
    "a truth that is False, inline": (
        naive.AskingInline(nn.Sequential()),
        VECTORS,
        ("note", "never called", "pass_layer", f'"pass_layer" (Sequential) {EMPTY}'),
    ),
    "a branch that fills its input": (
        nn.Sequential(nn.Linear(50, 50), naive.Skip(naive.NotNumbers())),
        VECTORS,
        ("note", "edited skip", "1.branch", f'"1.branch" writes in place (=) into its own input, {SKIPPED}'),
    ),
    "a stride beside an identity, at the smallest size": (
        nn.Sequential(nn.Conv1d(4, 4, 1), naive.ByWidthAlone(2)),
        torch.randn(2, 4, 2),
        ("note", "broadcast", "1", '"1" adds shape (2, 4, 1) to (2, 4, 2), of which one is computed from the other: '
         "the first is repeated."),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "inputs", "expected"), CASES.values(), ids=CASES)
def test_found(model: nn.Module, inputs: Any, expected: tuple[str, str, str, str]) -> None:
    found = [(each.level, each.kind, each.module, each.message) for each in audit(model, inputs)]
    assert found == [expected]


ADDS = 'A skip has the shape of its branch: identikit.nn.Residual(branch, shortcut="project") sees to it.'
STOPPED: dict[str, tuple[nn.Module, Any, str]] = {
    "100 and 400": (naive.Around(), torch.randn(2, 100), f"Around adds shape (2, 400) to (2, 100). {ADDS}"),
    "a stride": (
        naive.ByWidthAlone(2),
        torch.randn(2, 4, 6),
        f"ByWidthAlone adds shape (2, 4, 3) to (2, 4, 6). {ADDS}",
    ),
    "an identity called by keyword": (
        naive.Attending(),
        torch.randn(2, 5, 8),
        "\"attention\" raises TypeError: Identity.forward() got an unexpected keyword argument 'need_weights'. "
        "identikit.nn.Identity takes any call, and Identity.like(layer, example) returns alike.",
    ),
}


@pytest.mark.parametrize(("model", "inputs", "says"), STOPPED.values(), ids=STOPPED)
def test_a_forward_that_fails(model: nn.Module, inputs: Any, says: str) -> None:
    with pytest.raises(InputsError) as caught:
        audit(model, inputs)
    assert str(caught.value) == f"{type(model).__name__} does not run on these inputs: {says}"
