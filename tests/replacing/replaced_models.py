"""What the tests of replacing edits share: networks that change resolution, and what their layers see."""

from __future__ import annotations

import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from zoo import case

DOWN = ("layer2.0", "layer3.0")  # the ResNet's blocks that halve the picture and change the width


def pictures(count: int = 4, size: int = 16, *, seed: int = 0) -> torch.Tensor:
    """Pictures [count, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batches(count: int = 3) -> list[torch.Tensor]:
    """Batches of pictures of unequal length."""
    return [pictures(2 + number, seed=number) for number in range(count)]


def resnet() -> nn.Module:
    """The ResNet of the zoo: layer2.0 takes [N, 8, 16, 16] and returns [N, 12, 8, 8]."""
    return case("resnet").build()


def run(model: nn.Module, batch: object) -> list[torch.Tensor]:
    """The model's output tensors, without a gradient."""
    with torch.no_grad():
        return tensors_of(batch.copied().call(model) if isinstance(batch, Batch) else model(batch))


def seen(model: nn.Module, path: str, batch: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What the layer at `path` takes first and returns first, call by call."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, object], output: object) -> None:
        found.append((tensors_of((args, kwargs))[0].clone(), tensors_of(output)[0].clone()))

    hook = model.get_submodule(path).register_forward_hook(note, with_kwargs=True)
    run(model, batch)
    hook.remove()
    return found


class Merging(nn.Module):
    """Four neighbouring patches become one of twice the width: features last, [N, H, W, C] to [N, H/2, W/2, 2C]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.reduction(torch.cat(corners, dim=-1))


class Linear2(nn.Module):
    """A block that halves a picture and is linear all the same: what an adapter can be exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.down2 = nn.Conv2d(6, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down2(self.norm(self.down(x)))
