"""What the blocks cost: forward and backward of each, against the same arithmetic written by hand.

    python benchmarks/blocks.py [--runs 40]

One process, one thread, CPU time; paired runs in random order with equal weights, medians of the ratios. The first
calls are not counted. Writes benchmarks/results/blocks.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from identikit.nn import Identity, Pass, Residual, ReZero, StochasticDepth, residual_block

RESULT = Path(__file__).parent / "results" / "blocks.json"
SAMPLE = 0.02  # seconds that one sample takes at least: short blocks run many times in it


class ByHand(nn.Module):
    """A block's own layers, joined as one writes it: `join(branch, shortcut, x)`."""

    def __init__(self, block: Residual, join: Callable[[nn.Module, nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        copied = copy.deepcopy(block)
        self.branch, self.down, self.before = copied.branch, copied.shortcut, copied.preactivation
        self.join = join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(self.branch, self.down, x)


class HandPreact(ByHand):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(self.before(x))


class Scaled(nn.Module):
    """What a pass layer stands in for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 0.5 + 1.0).clamp(-1, 1)


class DropPath(nn.Module):
    """Stochastic depth as it is usually written."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(0.8).div_(0.8)
        return x * mask


class Scalar(nn.Module):
    """The gate of ReZero."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.alpha * x


def plain(branch: nn.Module, down: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x + branch(x)


def projected(branch: nn.Module, down: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(branch(x) + down(x))


def activated(branch: nn.Module, down: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(x + branch(x))


def padded(branch: nn.Module, down: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(branch(x) + functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 16, 16)))


def joined(branch: nn.Module, down: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, branch(x)], dim=1)


def cases() -> dict[str, tuple[nn.Module, nn.Module, torch.Tensor]]:
    """Name to ours, by hand, input. Training mode: what people wait for."""
    small, wide = torch.randn(32, 64), torch.randn(256, 256)
    image = torch.randn(16, 32, 16, 16)
    mlp = Residual(nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)))
    tiny = Residual(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)))
    basic = residual_block(32, 32)
    down = residual_block(32, 64, stride=2)
    zeros = residual_block(32, 64, stride=2, shortcut="pad")
    preact = residual_block(32, 32, kind="preact")
    bottleneck = residual_block(32, 64, kind="bottleneck", stride=2)
    dense = Residual(nn.Conv2d(32, 16, 3, padding=1), merge="concat", dims=2)
    ten = nn.Sequential(*(nn.Linear(256, 256) for _ in range(10)))
    return {
        "ten identities in a network, against none": (with_identities(ten), copy.deepcopy(ten), wide),
        "residual, 64 wide, 32 rows (the smallest)": (tiny, ByHand(tiny, plain), small),
        "residual, 256 wide, 256 rows": (mlp, ByHand(mlp, plain), wide),
        "basic": (basic, ByHand(basic, activated), image),
        "basic, stride 2, projection": (down, ByHand(down, projected), image),
        "basic, stride 2, zero padding": (zeros, ByHand(zeros, padded), image),
        "bottleneck, stride 2, projection": (bottleneck, ByHand(bottleneck, projected), image),
        "pre-activation": (preact, HandPreact(preact, plain), image),
        "concatenation": (dense, ByHand(dense, joined), image),
        "pass layer: scale, shift, clamp": (Pass(scale=0.5, shift=1.0, clamp=(-1, 1)), Scaled(), image),
        "identity (against torch.nn.Identity)": (Identity(), nn.Identity(), image),
        "stochastic depth": (StochasticDepth(0.2), DropPath(), image),
        "rezero": (ReZero(), Scalar(), image),
    }


def with_identities(network: nn.Sequential) -> nn.Module:
    """The network with an identity behind each layer."""
    return nn.Sequential(*(each for layer in copy.deepcopy(network) for each in (layer, Identity())))


def step(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """One forward and backward."""
    given = x.clone().requires_grad_()

    def run() -> None:
        module(given).sum().backward()

    return run


def ratio(ours: nn.Module, theirs: nn.Module, x: torch.Tensor, runs: int) -> dict[str, Any]:
    """Median and quartiles of ours over theirs."""
    one, other = step(ours, x), step(theirs, x)
    for _ in range(3):
        one(), other()
    began = time.process_time()
    one()
    times = max(1, round(SAMPLE / max(time.process_time() - began, 1e-6)))
    ratios, seconds = [], []
    for _ in range(runs):
        took: dict[Callable[[], None], float] = {}
        for run in random.sample([one, other], 2):
            began = time.process_time()
            for _ in range(times):
                run()
            took[run] = (time.process_time() - began) / times
        ratios.append(took[one] / took[other])
        seconds.append(took[one])
    low, median, high = statistics.quantiles(ratios, n=4)
    micro = round(statistics.median(seconds) * 1e6, 1)
    return {"ratio": round(median, 4), "quartiles": [round(low, 4), round(high, 4)], "microseconds": micro}


def equal(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> bool:
    """The same bits, random choices included."""
    outputs = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        outputs.append(module(x))
    return torch.equal(*outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    found: dict[str, Any] = {}
    for name, (ours, theirs, x) in cases().items():
        found[name] = {"equal": equal(ours, theirs, x), **ratio(ours, theirs, x, runs)}
        row = found[name]
        print(f"{name:45} {row['ratio']:.4f}  {row['microseconds']:9.1f} µs  equal {row['equal']}")
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    report = {"goal": "ratio at most 1.02", "blocks": found, "runs": runs, "versions": versions}
    RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
