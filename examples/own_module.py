"""One's own nn.Module, which no library knows: read, audited, scanned, pruned, saved and loaded again.

    python examples/own_module.py [--to FOLDER] [--quick]

Needs torch and identikit, nothing else: the network is written here, and so is the data (noisy waves of three shapes).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

import identikit as ik

SHAPES = ("sine", "square", "sawtooth")
LENGTH, WIDTH, BLOCKS = 64, 16, 6


class Block(nn.Module):
    """x + f(x) where there is signal; takes the signal and its mask, and hands both on.

    Two arguments, two results: `nn.Identity` in its place is a TypeError. identikit finds out what to hand on.
    """

    inplace = False

    def __init__(self) -> None:
        super().__init__()
        one, other = (nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(2))
        self.branch = nn.Sequential(nn.ReLU(inplace=self.inplace), one, nn.ReLU(), other)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + mask * self.branch(x), mask


class Careless(Block):
    """The same, to save memory: its first ReLU overwrites x, which the skip reads afterwards."""

    inplace = True


class Net(nn.Module):
    """[rows, 1, length] to a score for each shape. What is 0 throughout the end of a row is padding."""

    def __init__(self, block: type[Block] = Block) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, WIDTH, 5, padding=2)
        self.trunk = nn.ModuleList(block() for _ in range(BLOCKS))
        self.leave = nn.Linear(WIDTH, len(SHAPES))

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        mask = (waves != 0).to(waves.dtype)
        x = self.enter(waves)
        for block in self.trunk:
            x, mask = block(x, mask)
        return self.leave((x * mask).sum(2) / mask.sum(2))


def waves(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Waves of any pitch, phase and length under noise, and which shape each of them has."""
    draw = torch.Generator().manual_seed(seed)
    pitch, phase, length = (torch.rand(rows, 1, generator=draw) for _ in range(3))
    turn = (pitch * 0.1 + 0.05) * torch.arange(LENGTH) + phase
    shapes = torch.stack([torch.sin(2 * torch.pi * turn), torch.sign(turn % 1 - 0.5), 2 * (turn % 1) - 1])
    which = torch.randint(len(SHAPES), (rows,), generator=draw)
    signal = shapes[which, torch.arange(rows)] + 0.4 * torch.randn(rows, LENGTH, generator=draw)
    return (signal * (torch.arange(LENGTH) < LENGTH / 2 + length * LENGTH / 2))[:, None], which


def trained(model: nn.Module, steps: int) -> nn.Module:
    """The training loop that everybody has; always new waves."""
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(steps):
        x, y = waves(64, seed=1000 + step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("smaller-net"), help="the folder for the smaller network")
    parser.add_argument("--quick", action="store_true", help="train for a second or two")
    options = parser.parse_args()
    torch.manual_seed(0)
    model, example = Net(), waves(8, seed=1)[0]

    print("1. Read: one watched pass shows what can be taken out\n")
    print(ik.sites(model, example))

    print("\n2. Audited: first the variant that wanted to save memory, then the one that is trained\n")
    print(ik.audit(Net(Careless), example))
    print(f"\nwith Block in place of Careless: {len(ik.audit(model, example).mistakes)} mistakes")

    print("\n3. Scanned: each block left out in turn, on waves that were not trained on\n")
    trained(model, steps=160 if options.quick else 400)
    unseen = [waves(256, seed) for seed in range(2, 14)]
    print(ik.scan(model, unseen, metrics="accuracy", costs=False, progress=False))

    # The floor holds at the worse end of the score's interval, on a quarter of the waves that the search does not see.
    print("\n4. Pruned: as many blocks as can go while 95 % of the accuracy is sure to stay\n")
    pruned = ik.prune(model, unseen, metrics="accuracy", keep=0.95, progress=False)
    for point in pruned.front.points:
        mark = "  <- chosen" if point is pruned.front.choice else ""
        right, gone = point.scores["accuracy"].edited, ", ".join(point.places) or "none"
        print(f"{right:6.1%} right with {point.parameters:6,} parameters; blocks gone: {gone}{mark}")

    # No library knows this class, so its code is not in the folder: weights, plan and a model card are.
    print("\n5. Saved, and loaded into the code above\n")
    folder = ik.save(pruned.model, options.to, format="plan", inputs=example, overwrite=True)
    again = ik.load(folder, Net(), inputs=example)
    x, _ = waves(512, seed=99)
    with torch.no_grad():
        assert torch.equal(again(x), pruned.model(x)), "what was loaded computes something else"
    print(f"{len(again.trunk)} of {BLOCKS} blocks, the same bits on {len(x)} new waves: {folder}")


if __name__ == "__main__":
    main()
