"""The models of published mistakes, as people write them: each runs, and each does something else than it says."""

from __future__ import annotations

import torch
from torch import nn


class ReluThenAdd(nn.Module):
    """In-place ReLU before `+=`: forward runs, backward raises."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.conv(x))
        out += x
        return out


class IdentityBlock(nn.Module):
    """`blocks = shortcut = Identity` with `x += residual`: doubles the caller's tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Identity()
        self.shortcut = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = self.shortcut(x)
        x = self.blocks(x)
        x += residual
        return x


class ReluFirst(nn.Module):
    """A branch that begins with an in-place ReLU: the skip carries relu(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class ReluFirstByHand(nn.Module):
    """The same without a container: the operations of a block that rectifies its skip on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(self.relu(x))


class OneFeature(nn.Module):
    """A projection of 50 features to 1, added to the 50."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(50, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.proj(x))


class OneFeatureShortcut(nn.Module):
    """A shortcut of 1 feature beside a branch of 50."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(50, 50), nn.LayerNorm(50))
        self.shortcut = nn.Linear(50, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.branch(x) + self.shortcut(x)


class GreyPicture(nn.Module):
    """An identity shortcut around a convolution from 1 channel to 8."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


class Crossed(nn.Module):
    """(N, 1) plus (N,): every row is added to every other."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(50, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) + x.mean(dim=1)


class Overwriting(nn.Module):
    """A CNN whose second line reads `x` where it means `out`: conv1 gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.pass_layer = nn.Identity()
        self.fc = nn.Linear(4 * 6 * 6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv1(x)
        out = self.pass_layer(x)
        return self.fc(torch.flatten(out, 1))


class Probe(nn.Module):
    """`return x, identity(x)`: one tensor twice."""

    def __init__(self) -> None:
        super().__init__()
        self.identity = nn.Identity()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, self.identity(x)


class EditingOne(nn.Module):
    """Keeps one of the two and edits the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(50, 50)
        self.probe = Probe()
        self.head = nn.Linear(50, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept, x = self.probe(self.stem(x))
        x += 1
        return self.head(x), kept


class Unapplied(nn.Module):
    """Takes an `activation` and never applies it."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.fc = nn.Linear(50, 50)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fc(x)


class Cut(nn.Module):
    """Two layers with something between them that stops gradients, said by `how`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first = nn.Linear(50, 50)
        self.second = nn.Linear(50, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "detach":
            return self.second(self.first(x).detach())
        if self.how == "data":
            return self.second(self.first(x).data)
        with torch.no_grad():
            x = self.first(x)
        return self.second(x)


class Chosen(nn.Module):
    """A choice by argmax: what chooses learns nothing from what is chosen, as in every hard routing."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(50, 3)
        self.experts = nn.Embedding(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.experts(self.router(x).argmax(dim=-1))


class Around(nn.Module):
    """A residual around Linear(100, 200) and Linear(200, 400), added to its 100-wide input."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(100, 200), nn.Linear(200, 400))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class ByWidthAlone(nn.Module):
    """A block whose shortcut is a projection only where the widths differ; its stride is 2."""

    def __init__(self, planes_in: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(planes_in, planes, 3, stride, 1)
        self.shortcut = nn.Conv2d(planes_in, planes, 1, stride) if planes_in != planes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.shortcut(x)


class Attending(nn.Module):
    """A block that calls its attention with a mask; here an identity stands in the attention's place."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Identity()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x + self.attention(x, mask)
