"""A residual block refuses, naming both sizes and the fix, what plain torch would broadcast, cast or drop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Identity, PadShortcut, Residual
from nn.parts import Casts, Doubles, Widens, X, conv, image, mlp

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "wider": (
        lambda: Residual(nn.Sequential(nn.Linear(100, 200), nn.Linear(200, 400))),
        "Residual: the branch maps 100 to 400 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 40,400 parameters) or shortcut="pad".',
    ),
    "narrower": (
        lambda: Residual(conv(6, 4)),
        "Residual: the branch maps 6 to 4 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 32 parameters).',
    ),
    "narrower, padded": (
        lambda: Residual(conv(6, 4), "pad"),
        'PadShortcut: zeros cannot turn 6 features into 4. Use shortcut="project".',
    ),
    "strided": (
        lambda: Residual(conv(4, 4, stride=2)),
        "Residual: the branch strides by 2 but the shortcut is the identity. "
        'Use shortcut="project" (adds 24 parameters) or shortcut="pad".',
    ),
    "seen at the call": (
        lambda: Residual(Doubles(), Identity())(X) is None or Residual(Widens())(X),
        "Residual: the branch maps 8 to 16 features but the shortcut is the identity. "
        'Use shortcut="project" (adds 144 parameters) or shortcut="pad".',
    ),
    "smaller image": (
        lambda: Residual(nn.Conv2d(4, 4, 3))(image()),
        "Residual: from 2x4x7x7 the branch makes 2x4x5x5 and the shortcut 2x4x7x7; they cannot be added without "
        'broadcasting. Make the branch keep the size, or use shortcut="project" with in_features=, out_features= and '
        "stride=.",
    ),
    "broadcast 50 to 1": (
        lambda: Residual(nn.Linear(50, 50), nn.Linear(50, 1))(torch.randn(3, 50)),
        "Residual: from 3x50 the branch makes 3x50 and the shortcut 3x1; they cannot be added without broadcasting. "
        'Make the shortcut give what the branch gives, or let it be made: shortcut="project".',
    ),
    "broadcast gate": (
        lambda: Residual(nn.Linear(50, 50), nn.Linear(50, 1), merge="gate")(torch.randn(3, 50)),
        "Residual: from 3x50 the branch makes 3x50 and the shortcut 3x1; they cannot be added without broadcasting. "
        'Make the shortcut give what the branch gives, or let it be made: shortcut="project".',
    ),
    "concat of two image sizes": (
        lambda: Residual(nn.Conv2d(4, 4, 3), merge="concat")(image()),
        "Residual: from 2x4x7x7 the branch makes 2x4x5x5 and the shortcut 2x4x7x7; they cannot be joined along the "
        'features. Make the branch keep the size, or use shortcut="project" with in_features=, out_features= and '
        "stride=.",
    ),
    "wrong sizes given": (
        lambda: Residual(Widens(), "project", in_features=8, out_features=9)(X),
        "Residual: from 2x8 the branch makes 2x16 and the shortcut 2x9; they cannot be added without broadcasting. "
        "Give in_features=, out_features=, stride= and dims= as the branch has them.",
    ),
    "a tuple": (
        lambda: Residual(nn.LSTM(8, 8))(X),
        "Residual: the branch returned a tuple, not a tensor. Make it return the tensor to add: wrap it in a module "
        "whose "
        "forward picks it.",
    ),
    "another dtype": (
        lambda: Residual(Casts())(X),
        "Residual: the branch makes float64 and the shortcut float32; their sum would be cast. Cast the branch's "
        "output: "
        "out.to(x.dtype), or run the block under torch.autocast.",
    ),
    "sizes unknown": (
        lambda: Residual(Doubles(), "project"),
        'Residual: shortcut="project" needs sizes that cannot be read from the branch. Give in_features=, '
        "out_features=.",
    ),
    "gate unknown": (
        lambda: Residual(Doubles(), merge="gate"),
        'Residual: merge="gate" needs sizes that cannot be read from the branch. Give out_features=.',
    ),
    "contradiction": (
        lambda: Residual(nn.Linear(8, 16), "project", in_features=10),
        "Residual: in_features=10, and the branch says 8. Leave it out, or make the branch with 10.",
    ),
    "no size": (
        lambda: Residual(Doubles(), "project", in_features=0, out_features=4),
        "Residual: in_features=0 is no whole number from 1 on. Use in_features=1 or more.",
    ),
    "no module": (
        lambda: Residual(torch.relu),
        "Residual: the branch is a builtin_function_or_method, not a module. Wrap it in a class of nn.Module.",
    ),
    "an activation that is a function": (
        lambda: Residual(mlp(), activation=nn.functional.relu),
        "Residual: activation=relu makes no module (relu() missing 1 required positional argument: 'input'). "
        "Give a class of one, activation=nn.ReLU, or a function that returns one.",
    ),
    "an activation that is a word": (
        lambda: Residual(mlp(), activation="relu"),
        "Residual: activation='relu' is no module. Give a class of one: activation=nn.ReLU.",
    ),
    "a pair": (
        lambda: Residual(mlp())((X, X)),
        "Residual: called with a tuple, not a tensor. Give the stream first: block(x, ...).",
    ),
    "a shortcut that gives a pair": (
        lambda: Residual(mlp(), nn.GRU(8, 8))(X),
        "Residual: the shortcut returned a tuple, not a tensor. Make it return the tensor to add: wrap it in a module "
        "whose forward picks it.",
    ),
    "no such shortcut": (
        lambda: Residual(mlp(), "projection"),
        'Residual: no shortcut="projection". Did you mean "project"? Use one of "identity", "pad", "project", '
        '"project_all".',
    ),
    "no such merge": (
        lambda: Residual(mlp(), merge="sum"),
        'Residual: no merge="sum". Use one of "add", "concat", "gate".',
    ),
    "no such side": (
        lambda: Residual(mlp(), pad_side="left"),
        'Residual: no pad_side="left". Use one of "both", "front", "behind".',
    ),
    "a stride with nothing to stride over": (
        lambda: Residual(mlp(), "pad", stride=2),
        "Residual: stride=2 needs a spatial dimension to stride over. Say dims=1, 2 or 3.",
    ),
    "dims": (
        lambda: Residual(mlp(), dims=4),
        "Residual: dims=4; there are 0 (features last), 1, 2 or 3 spatial dimensions. Use dims=2 for images [N, C, H, "
        "W].",
    ),
    "pad called with other features": (
        lambda: PadShortcut(4, 6)(torch.ones(2, 5)),
        "PadShortcut: made for 4 features before 0 spatial dimensions, called with 2x5. Give in_features= and dims= as "
        "the "
        "input has them.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_both_sizes_and_the_fix(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(BlockError) as error:
        make()
    assert str(error.value) == message


def test_autocast_may_mix_dtypes() -> None:
    block = Residual(mlp())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block(X)
    torch.testing.assert_close(out, block(X), atol=0.05, rtol=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(BlockError, match="the branch makes float64"):
        Residual(Casts())(X)


def test_the_parameters_that_the_message_promises_are_added() -> None:
    for branch, promised in ((nn.Linear(100, 400), 40_400), (conv(6, 4), 32)):
        added = sum(parameter.numel() for parameter in Residual(branch, "project").shortcut.parameters())
        assert added == promised
