"""Each published mistake that lives in a user's own model is found, and the whole finding is as written here."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from auditing import naive
from identikit import Finding, audit
from identikit.errors import InputsError

VECTORS = torch.randn(4, 50)
PICTURES = torch.randn(2, 4, 6, 6)


def mistake(kind: str, module: str, message: str, fix: str) -> Finding:
    return Finding(kind, module, "mistake", message, fix)


def note(kind: str, module: str, message: str, fix: str) -> Finding:
    return Finding(kind, module, "note", message, fix)


def broadcast(module: str, name: str, shapes: str, features: int) -> Finding:
    return mistake(
        "broadcast",
        module,
        f"{name} adds shape {shapes}: the one feature of the first is added to all {features} of the second.",
        f"Give both {features} features (a skip needs a projection); if it is meant, say so with expand_as.",
    )


def cut(module: str, how: str, take: str) -> Finding:
    return mistake(
        "no gradient",
        module,
        f'"first.weight" and "first.bias" take part in the output but get no gradient: {how}.',
        f"Take {take}, or say that they are frozen: requires_grad_(False).",
    )


COPY = "Return a copy, x.clone() or identikit.nn.Identity(copy=True)(x), if the caller may edit it."

CASES: dict[str, tuple[nn.Module, Any, Finding]] = {
    "in-place ReLU before +=": (
        nn.Sequential(nn.Conv2d(4, 4, 1), naive.ReluThenAdd()),
        PICTURES,
        mistake(
            "overwritten",
            "1",
            '"1" changes in place (+=) a value that the backward of "1.relu" needs: backward raises an error.',
            'In "1" write y = y + x, which makes a new value, instead of y += x.',
        ),
    ),
    "x += residual of identities": (
        nn.Sequential(naive.IdentityBlock(), nn.Linear(50, 2)),
        VECTORS,
        mistake(
            "edited input",
            "0",
            '"0" writes in place (+=) into a tensor that Sequential was given: the caller\'s data is changed.',
            'In "0" write y = y + x, which makes a new value, instead of y += x.',
        ),
    ),
    "in-place ReLU first in a model": (
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(50, 2)),
        VECTORS,
        mistake(
            "edited input",
            "0",
            '"0" writes in place (relu_) into a tensor that Sequential was given: the caller\'s data is changed.',
            'Use ReLU(inplace=False) for "0".',
        ),
    ),
    "in-place ReLU first in a branch": (
        nn.Sequential(nn.Conv2d(4, 4, 1), naive.ReluFirst()),
        PICTURES,
        mistake(
            "edited skip",
            "1.branch.0",
            '"1.branch.0" writes in place (relu_) into the input of "1.branch", which "1" reads again afterwards (add)'
            ": the skip carries the changed value.",
            'Use ReLU(inplace=False) for "1.branch.0".',
        ),
    ),
    "in-place ReLU before a convolution, by hand": (
        nn.Sequential(nn.Conv2d(4, 4, 1), naive.ReluFirstByHand()),
        PICTURES,
        note(
            "edited skip",
            "1.relu",
            '"1.relu" writes in place (relu_) into the input of "1", which adds that input afterwards: the skip '
            "carries the changed value.",
            'Use ReLU(inplace=False) for "1.relu". Nothing, if the changed value is meant.',
        ),
    ),
    "a projection from 50 to 1": (
        nn.Sequential(nn.Linear(50, 50), naive.OneFeature()),
        VECTORS,
        broadcast("1", '"1"', "(4, 1) to (4, 50)", 50),
    ),
    "a projection from 50 to 1, of tokens": (
        naive.OneFeature(),
        torch.randn(2, 7, 50),
        broadcast("", "OneFeature", "(2, 7, 1) to (2, 7, 50)", 50),
    ),
    "a projection from 50 to 1, of one example": (
        naive.OneFeature(),
        torch.randn(1, 50),
        broadcast("", "OneFeature", "(1, 1) to (1, 50)", 50),
    ),
    "a shortcut from 50 to 1": (
        nn.Sequential(naive.OneFeatureShortcut(), nn.Linear(50, 2)),
        VECTORS,
        broadcast("0", '"0"', "(4, 1) to (4, 50)", 50),
    ),
    "two heads of 50 and of 1, summed at the end": (
        naive.OneFeatureShortcut(),
        VECTORS,
        note(
            "broadcast",
            "",
            "OneFeatureShortcut adds shapes (4, 1) and (4, 50): the one feature of the first is repeated for all 50 of "
            "the second.",
            "Give both 50 features; nothing, if it is meant (expand_as says so).",
        ),
    ),
    "an identity shortcut from 1 to 8": (
        naive.GreyPicture(),
        torch.randn(2, 1, 6, 6),
        broadcast("", "GreyPicture", "(2, 1, 6, 6) to (2, 8, 6, 6)", 8),
    ),
    "a column plus a row": (
        naive.Crossed(),
        VECTORS,
        mistake(
            "broadcast",
            "",
            "Crossed adds shapes (4, 1) and (4,): the sum has shape (4, 4).",
            "Bring both to one shape first: squeeze(-1) or unsqueeze(-1).",
        ),
    ),
    "an overwritten convolution": (
        naive.Overwriting(),
        PICTURES,
        mistake(
            "dead branch",
            "conv1",
            '"conv1" runs, but what it returns reaches no output of Overwriting, so it learns nothing.',
            'Use what "conv1" returns (a later line may overwrite it), or delete the layer.',
        ),
    ),
    "one of two outputs edited": (
        naive.EditingOne(),
        VECTORS,
        mistake(
            "alias",
            "probe",
            '"probe" returns the same memory twice, and EditingOne writes into it afterwards (+=): both change.',
            'Return a copy from "probe": x.clone(), or identikit.nn.Identity(copy=True)(x).',
        ),
    ),
    "one tensor handed out twice": (
        nn.Sequential(nn.Linear(50, 50), naive.Probe()),
        VECTORS,
        note("alias", "1", 'output 0 and output 1 of Sequential are the same memory (from "1").', COPY),
    ),
    "the input handed out": (
        nn.Sequential(nn.Identity()),
        VECTORS,
        note("alias", "0", 'the output of Sequential is the memory of a tensor it was given (from "0").', COPY),
    ),
    "an activation never applied": (
        naive.Unapplied(nn.GELU()),
        VECTORS,
        note(
            "never called",
            "activation",
            '"activation" (GELU) is never called.',
            "Call it in forward, or delete it; nothing, if other inputs reach it.",
        ),
    ),
    "detach": (naive.Cut("detach"), VECTORS, cut("", "detach in Cut cuts it off", "detach() or .data out of Cut")),
    "data": (naive.Cut("data"), VECTORS, cut("", "detach in Cut cuts it off", "detach() or .data out of Cut")),
    "no_grad": (
        naive.Cut("no_grad"),
        VECTORS,
        cut(
            "first",
            'addmm in "first" runs without',
            'torch.no_grad() away from around "first" (give a checkpoint use_reentrant=False)',
        ),
    ),
    "argmax": (
        naive.Chosen(),
        VECTORS,
        note(
            "no gradient",
            "",
            '"router.weight" and "router.bias" take part in the output but get no gradient: argmax in Chosen has none.',
            "Nothing, if the choice itself is not learned.",
        ),
    ),
    "a bias before a batch norm": (
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        PICTURES,
        note(
            "bias before norm",
            "0",
            '"0" adds a bias that "1" (BatchNorm2d) takes away again.',
            'Build "0" with bias=False.',
        ),
    ),
}


@pytest.mark.parametrize(("model", "inputs", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_found(model: nn.Module, inputs: torch.Tensor, expected: Finding, training: bool) -> None:
    assert list(audit(model.train(training), inputs)) == [expected]


def test_a_block_that_is_the_model_edits_and_hands_out_its_input() -> None:
    assert list(audit(naive.IdentityBlock(), VECTORS)) == [
        mistake(
            "edited input",
            "",
            "IdentityBlock writes in place (+=) into a tensor that it was given: the caller's data is changed.",
            "In IdentityBlock write y = y + x, which makes a new value, instead of y += x.",
        ),
        note(
            "alias",
            "shortcut",
            'the output of IdentityBlock is the memory of a tensor it was given (from "shortcut").',
            COPY,
        ),
    ]


STOPPED: dict[str, tuple[nn.Module, Any, str]] = {
    "a skip around 100 to 400": (
        nn.Sequential(nn.Linear(50, 100), naive.Around()),
        VECTORS,
        'Sequential does not run on these inputs: "1" adds shape (4, 100) to (4, 400). A skip has the shape of its '
        'branch: identikit.nn.Residual(branch, shortcut="project") sees to it.',
    ),
    "a projection chosen by width alone": (
        nn.Sequential(naive.ByWidthAlone(4, 4, stride=2)),
        PICTURES,
        'Sequential does not run on these inputs: "0" adds shape (2, 4, 3, 3) to (2, 4, 6, 6). A skip has the shape of '
        'its branch: identikit.nn.Residual(branch, shortcut="project") sees to it.',
    ),
    "an identity called with a mask": (
        naive.Attending(),
        (VECTORS, torch.ones(4)),
        'Attending does not run on these inputs: "attention" raises TypeError: Identity.forward() takes 2 positional '
        "arguments but 3 were given. identikit.nn.Identity takes any call, and Identity.like(layer, example) returns "
        "alike.",
    ),
    "a layer that its neighbours do not fit": (
        nn.Sequential(nn.Linear(50, 10), nn.Linear(10, 6), nn.Linear(10, 10)),
        VECTORS,
        'Sequential does not run on these inputs: "2" raises RuntimeError: mat1 and mat2 shapes cannot be multiplied '
        "(4x6 and 10x10). Pass inputs=... that it takes, or mend that layer.",
    ),
}


@pytest.mark.parametrize(("model", "inputs", "says"), STOPPED.values(), ids=STOPPED)
def test_a_forward_that_fails_is_one_line_that_names_the_layer(model: nn.Module, inputs: Any, says: str) -> None:
    with pytest.raises(InputsError) as caught:
        audit(model, inputs)
    assert str(caught.value) == says
