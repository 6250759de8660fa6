"""Models that a careless replay gets wrong: each hides something between its layers, its passes or its examples."""

from __future__ import annotations

import torch
from torch import nn

from identikit.batches import Batch
from replaying import odd_batches, odd_states, odd_ways
from replaying.odd_net import DEPTH, TOKENS, WIDTH, Block, Net, T
from zoo import weigh

__all__ = ["DEPTH", "ODD", "TOKENS", "WIDTH", "Block", "Net", "T", "batches", "built"]

ODD: tuple[type[Net], ...] = (Net, *odd_ways.ODD, *odd_batches.ODD, *odd_states.ODD)


def built(kind: type[Net]) -> nn.Module:
    """The model with weights under which every layer matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (kind() if kind is odd_ways.Scripted else weigh(kind())).eval()


def batches() -> list[Batch]:
    """Three of three examples, one of another length, one of one example."""
    draw = torch.Generator().manual_seed(7)
    sizes = [(3, TOKENS), (3, TOKENS), (2, TOKENS), (1, TOKENS)]
    return [Batch(args=(torch.randn(*size, WIDTH, generator=draw),), examples=size[0]) for size in sizes]
