"""A small detector and the pictures it is for, drawn here: filled and hollow squares on noise.

The model is a plain nn.Module: a stem, four residual blocks, and a head that says for each of 8 x 8 cells whether an
object's centre lies in it, its box, and its class. `net` trains it, from one seed, in a few seconds.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SIDE, CELLS, CLASSES = 32, 8, 2
STRIDE = SIDE // CELLS
Boxes = list[tuple[torch.Tensor, torch.Tensor]]  # of each picture: boxes [objects, 4] in pixels, classes [objects]


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Detector(nn.Module):
    """[pictures, 1, 32, 32] to [pictures, 5 + classes, 8, 8]: objectness, centre, size, classes."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, stride=2, padding=1)
        )
        self.blocks = nn.ModuleList(Block(width) for _ in range(4))
        self.head = nn.Conv2d(width, 5 + CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(torch.relu(x))


def pictures(count: int, seed: int) -> tuple[torch.Tensor, Boxes]:
    """Pictures [count, 1, 32, 32] with one square in the left half and mostly one in the right, and what is in them."""
    draw = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.rand(count, 1, SIDE, SIDE, generator=draw)
    found: Boxes = []
    for image in images:
        boxes, classes = [], []
        for left in (0, SIDE // 2):
            size, x, y, kind, there = (int(torch.randint(high, (), generator=draw)) for high in (6, 7, 20, CLASSES, 4))
            if left and not there:
                continue
            size, x, y = 6 + size, left + min(x, SIDE // 2 - 6 - size), min(y, SIDE - 6 - size)
            image[0, y : y + size, x : x + size] = 1.0
            if kind:  # hollow
                image[0, y + 2 : y + size - 2, x + 2 : x + size - 2] = 0.0
            boxes.append([x, y, x + size, y + size])
            classes.append(kind)
        found.append((torch.tensor(boxes, dtype=torch.float32), torch.tensor(classes)))
    return images, found


def decoded(output: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Of each picture, for all of its cells: boxes [64, 4] in pixels, scores [64], classes [64]."""
    cells = torch.arange(CELLS, dtype=output.dtype)
    x = (cells[None, None, :] + output[:, 1].sigmoid()) * STRIDE
    y = (cells[None, :, None] + output[:, 2].sigmoid()) * STRIDE
    half = output[:, 3:5].sigmoid() * SIDE / 4
    boxes = torch.stack([x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]], dim=-1)
    best, classes = output[:, 5:].softmax(1).max(1)
    scores = output[:, 0].sigmoid() * best
    return [(b.flatten(0, 1), s.flatten(), c.flatten()) for b, s, c in zip(boxes, scores, classes, strict=True)]


def loss(output: torch.Tensor, truth: Boxes) -> torch.Tensor:
    """Objectness everywhere; box and class in the cells that hold a centre."""
    there = torch.zeros_like(output[:, 0])
    parts = []
    for number, (boxes, classes) in enumerate(truth):
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        column, row = (centre // STRIDE).long().clamp(max=CELLS - 1).unbind(1)
        there[number, row, column] = 1.0
        said = output[number, :, row, column]
        wanted = torch.cat([centre / STRIDE - centre // STRIDE, (boxes[:, 2:] - boxes[:, :2]) / (SIDE / 2)], dim=1)
        apart = functional.mse_loss(said[1:5].sigmoid(), wanted.T)
        parts.append(10 * apart + functional.cross_entropy(said[5:].T, classes))
    rare = torch.tensor(8.0)  # most cells are empty
    cells = functional.binary_cross_entropy_with_logits(output[:, 0], there, pos_weight=rare)
    return cells + torch.stack(parts).mean()


def net(steps: int = 120) -> Detector:
    """The detector, trained from one seed."""
    torch.manual_seed(0)
    model = Detector()
    images, truth = pictures(160, seed=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(steps):
        chosen = [(16 * step + each) % len(images) for each in range(16)]
        optimiser.zero_grad()
        loss(model(images[chosen]), [truth[each] for each in chosen]).backward()
        optimiser.step()
    return model.eval()


def batches() -> list[torch.Tensor]:
    """Two pictures: what the model takes."""
    return [pictures(2, seed=3)[0]]
