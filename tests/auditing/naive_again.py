"""The published mistakes once more, as other people write them: operations by hand, other layers, other containers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ReluThenAdd(nn.Module):
    """In-place ReLU of the functional form before `+=`."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.norm(x), inplace=True)
        out += x
        return out


class IdentityBlock(nn.Module):
    """One identity for both, and `add_`."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = self.shortcut = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(x).add_(self.shortcut(x))


class OneFeature(nn.Module):
    """A recurrent branch of 50 features beside a shortcut of 1, and a head that takes the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.GRU(50, 50, batch_first=True)
        self.shortcut = nn.Linear(50, 1)
        self.head = nn.Linear(50, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.branch(x)
        return self.head(out + self.shortcut(x))


class Overwriting(nn.Module):
    """Products by hand: that of `w1` is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(50, 50))
        self.w2 = nn.Parameter(torch.randn(50, 50))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x @ self.w1
        out = x @ self.w2
        return out  # noqa: RET504


class Kept(nn.Module):
    """Keeps `identity(x)` for the caller and edits x."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(50, 50)
        self.identity = nn.Identity()
        self.head = nn.Linear(50, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(x)
        feats = self.identity(x)
        x -= x.mean()
        return self.head(x), feats


class Dropped(nn.Module):
    """Calls its activation and drops what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(50, 50)
        self.activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        self.activation(y)
        return y + x


class Asking(nn.Module):
    """`if self.pass_layer:` where an empty Sequential is meant to count."""

    def __init__(self, pass_layer: nn.Module) -> None:
        super().__init__()
        self.pass_layer = pass_layer
        self.fc = nn.Linear(50, 50)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pass_layer:
            return self.pass_layer(x)
        return self.fc(x)


class AskingInline(Asking):
    """The same as an expression."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) + (self.pass_layer(x) if self.pass_layer else 0)


class NotNumbers(nn.Module):
    """A branch that puts zeros in place of what is negative, in the tensor that the skip carries."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(50, 50)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x[x < 0] = 0
        return self.fc(x)


class Skip(nn.Module):
    """`x + branch(x)`."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.branch(x)
        return out + x


class Around(nn.Module):
    """100 features and 400, added with `+=` in a loop over layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(100, 200), nn.Linear(200, 400)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for layer in self.layers:
            out = torch.relu(layer(out))
        out += x
        return out


class ByWidthAlone(nn.Module):
    """A projection chosen by width alone, in one dimension; at two positions nothing fails."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, stride, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(self.conv(x), x)


class Attending(nn.Module):
    """Attention called by keywords, with an identity in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.attention(x, x, x, need_weights=False)[0]
