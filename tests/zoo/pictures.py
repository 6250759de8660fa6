"""The convolutional part of the zoo: a ResNet as torchvision writes it, a U-Net, and a net that works in place."""

from __future__ import annotations

import torch
from torch import nn

from .plain import Entry, images


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut; with a stride, a projection on the shortcut."""

    def __init__(self, planes_in: int, planes: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample: nn.Module | None = None
        if stride != 1 or planes_in != planes:
            projection = nn.Conv2d(planes_in, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(planes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """layer1 to layer4, three blocks each; the first block of the last three halves the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._stage(8, 8, stride=1)
        self.layer2 = self._stage(8, 12, stride=2)
        self.layer3 = self._stage(12, 16, stride=2)
        self.layer4 = self._stage(16, 20, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(20, 5)

    def _stage(self, planes_in: int, planes: int, *, stride: int) -> nn.Sequential:
        first = BasicBlock(planes_in, planes, stride=stride)
        return nn.Sequential(first, BasicBlock(planes, planes), BasicBlock(planes, planes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Convolution(nn.Module):
    """x + f(x) on pictures."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, planes)
        self.conv = nn.Conv2d(planes, planes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(torch.relu(self.norm(x)))


class Up(nn.Module):
    """Double the picture and join what was kept on the way down."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * planes, planes, 2, 2)
        self.join = nn.Conv2d(2 * planes, planes, 3, padding=1)

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.join(torch.cat([self.up(x), kept], dim=1)))


class UNet(nn.Module):
    """Skips across the middle; only the middle's blocks keep their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)])
        self.middle = nn.Sequential(Convolution(16), Convolution(16), Convolution(16))
        self.up = nn.ModuleList([Up(8), Up(4)])
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        kept = []
        for down in self.down:
            kept.append(x)
            x = torch.relu(down(x))
        x = self.middle(x)
        for up in self.up:
            x = up(x, kept.pop())
        return self.head(x)


class Overwriting(nn.Module):
    """A block that writes into its own input before it reads it again."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(planes, planes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(self.relu(x))
        out += x
        return out


class InPlace(nn.Module):
    """Four blocks that overwrite their input, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.layers = nn.Sequential(*(Overwriting(8) for _ in range(4)))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.stem(x)).mean((2, 3)))


PICTURES: tuple[Entry, ...] = (
    ("resnet", ResNet, images, ("layer1", "layer2", "layer3", "layer4"), ("layer2.0", "layer3.0", "layer4.0")),
    ("unet", UNet, images, ("middle",), ("down.0", "down.1", "up.0", "up.1")),
    ("in_place", InPlace, images, ("layers",), ()),
)
"""Name, builder, inputs, stacks, blocks that must be refused because their output has another shape."""
