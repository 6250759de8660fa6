"""What the tests of exporting share: a look at a folder, and networks whose features may not have another size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


class Layered(nn.Module):
    """Blocks in a list, a padding mask, a head: small enough to export in a second."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.layers = nn.ModuleList(Mixing() for _ in range(depth))
        self.head = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x)


class Mixing(nn.Module):
    """Attention over what the mask lets through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scores = (x @ x.mT).masked_fill(mask[:, None, :] == 0, -1e9)
        return x + torch.tanh(self.inner(scores.softmax(-1) @ x))


def layered(depth: int = 3) -> nn.Module:
    """A Layered network in eval mode."""
    return Layered(depth).eval()


def ids_and_mask(rows: int = 2, length: int = 6) -> dict[str, torch.Tensor]:
    """Ids and a mask; the last row ends in padding."""
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[-1, length - 2 :] = 0
    return {"ids": torch.randint(20, (rows, length)), "mask": mask}


@pytest.fixture
def seen(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Every file below the temporary folder, hidden ones too, with its content."""
    return lambda: {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    }
