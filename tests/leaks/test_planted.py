"""The laws on leaks can fail: what is planted is found, also by the measurement that forgives what happens once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from leaks.test_cycles import nothing_stays

PLANTED: dict[str, Callable[[nn.Module, list[Any]], Any]] = {
    "an object that is kept": lambda net, kept: kept.append([kept]),
    "a tensor that is kept": lambda net, kept: kept.append(torch.ones(3)),
    "a hook": lambda net, kept: net.register_forward_hook(lambda *given: None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_leak_is_found(name: str) -> None:
    net, kept = nn.Linear(2, 2), list[Any]()
    with pytest.raises(AssertionError):
        nothing_stays(net, lambda: PLANTED[name](net, kept))


def test_what_happens_once_is_no_leak() -> None:
    net, kept = nn.Linear(2, 2), list[Any]()
    nothing_stays(net, lambda: kept.append([kept]) if len(kept) < 5 else None)
    assert len(kept) == 5
