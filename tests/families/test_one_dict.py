"""A model that takes one dict in one piece: the message says how to hand it over, and that way works."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import InputsError

BATCH = {"x": torch.ones(4, 8)}


class TakesOneDict(nn.Module):
    """As a SentenceTransformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(8, 8) for _ in range(3)))

    def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        output: torch.Tensor = self.layers(features["x"])
        return output


class TakesTwo(nn.Module):
    """Where an argument is missing, no other way to hand over the dict helps."""

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return one + other


HINT = "; one dict in one piece is inputs=(batch,), and ((batch,), None) in a list of batches."


def test_the_message_says_how() -> None:
    net = TakesOneDict()
    with pytest.raises(InputsError) as raised:
        ik.sites(net, BATCH)
    assert str(raised.value).startswith("TakesOneDict does not run on the inputs given: TypeError: ")
    assert str(raised.value).endswith(f"Pass inputs=... that it takes{HINT}")
    with pytest.raises(InputsError) as raised:
        ik.scan(net, [BATCH], progress=False)
    assert str(raised.value).endswith(HINT)


def test_that_way_works() -> None:
    net = TakesOneDict()
    assert [site.path for site in ik.sites(net, (BATCH,))] == ["layers.0", "layers.1", "layers.2"]
    assert len(ik.scan(net, [((BATCH,), None)], costs=False, progress=False)) == 3


def test_elsewhere_it_is_not_said() -> None:
    for net, inputs in ((TakesTwo(), {"one": torch.ones(2)}), (nn.Linear(3, 3), torch.ones(4, 8))):
        with pytest.raises(InputsError) as raised:
            ik.sites(net, inputs)
        assert str(raised.value).endswith("Pass inputs=... that it takes.")
