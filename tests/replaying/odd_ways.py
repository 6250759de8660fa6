"""Models whose layers are called in another way than one after the other."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from replaying.odd_batches import Scaled
from replaying.odd_net import DEPTH, WIDTH, Block, Net, T
from zoo import weigh


class Shared(Net):
    """One layer called again and again, as in ALBERT."""

    def stack(self, x: T) -> T:
        for number in range(2 * DEPTH):
            x = self.layers[number % 2](x)
        for layer in self.layers[2:]:
            x = layer(x)
        return x


class ControlFlow(Net):
    """Which layers run depends on the values."""

    def stack(self, x: T) -> T:
        for number, layer in enumerate(self.layers):
            if number % 2 and bool(x.mean() > 0):
                continue
            x = layer(x)
        return x


class Defaults(Net):
    """Layers whose second argument is left out."""

    block = Scaled


class Scripted(Net):
    """Layers inside TorchScript beside plain ones."""

    def __init__(self) -> None:
        super().__init__()
        weigh(self)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch asks for other ways to write a graph down
            self.stem = torch.jit.script(self.stem)  # type: ignore[assignment]
            self.after = torch.jit.script(nn.Linear(WIDTH, WIDTH))

    def stack(self, x: T) -> T:
        return self.after(super().stack(x))


class Dense(Net):
    """Every layer takes what all before it made, as in a DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.joins = nn.ModuleList(nn.Linear((number + 1) * WIDTH, WIDTH) for number in range(DEPTH))

    def stack(self, x: T) -> T:
        made = [x]
        for join, layer in zip(self.joins, self.layers, strict=True):
            made.append(layer(join(torch.cat(made, -1))))
        return sum(made)  # type: ignore[return-value]


class LongSkip(Net):
    """The first half is added to the second, last to first; through a view, so that the tensors are others."""

    def stack(self, x: T) -> T:
        kept = []
        for layer in self.layers[:2]:
            x = layer(x)
            kept.append(x.flatten(1))
        for layer in self.layers[2:]:
            x = layer(x)
            if kept:
                x = x + kept.pop().unflatten(1, x.shape[1:])
        return x


class LateSkip(Net):
    """What the first layer made is added behind the last, and nowhere before."""

    def stack(self, x: T) -> T:
        x = first = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(x)
        return x + first


class Pairs(nn.Module):
    """Two streams, each reading the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Block(), Block()

    def forward(self, pair: tuple[T, T]) -> tuple[T, T]:
        a, b = pair
        a = a + self.two(b)
        return a, b + self.one(a)


class TwoStreams(Net):
    block = Pairs

    def stack(self, x: T) -> T:
        pair = (x, x * 0.5)
        for layer in self.layers:
            pair = layer(pair)
        return pair[0] + pair[1]


class Writing(Block):
    """Writes into its input, and into what others hold."""

    def forward(self, x: T) -> T:
        y = super().forward(x)
        x += 1.0
        y *= 0.5
        return y


class InPlace(Net):
    """Activations and additions in place, between the layers too."""

    block = Writing

    def stack(self, x: T) -> T:
        before = x.clone()
        for layer in self.layers:
            x = layer(x)
            x += before
            before = x
            x = torch.nn.functional.relu_(x * 1.0)
        return x


class Inference(Net):
    """Inference tensors do not count how often they are written into."""

    @torch.inference_mode()
    def forward(self, x: T) -> Any:
        x = self.stem(x)
        for layer in self.layers:
            y = layer(x)
            x += 0.1 * y
        return self.head(x.mean(1))


class Automatic(Net):
    """The layers run in another precision, as their parent says."""

    def stack(self, x: T) -> T:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().stack(x).float()


class HandsOutAll(Net):
    """All streams are part of the output."""

    def forward(self, x: T) -> Any:
        x = self.stem(x)
        streams = [x]
        for layer in self.layers:
            x = layer(x)
            streams.append(x)
        return {"logits": self.head(x.mean(1)), "streams": tuple(streams)}


class Direct(Net):
    """Calls forward past the hooks, and a layer inside another by its own name."""

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer.forward(x)
        return x


class Exits(Net):
    """Ends early where it is sure of all examples."""

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer(x)
            if float(x.abs().max()) > 4.5:
                break
        return x


class Reentrant(Net):
    """A layer that calls another one of the stack inside."""

    def __init__(self) -> None:
        super().__init__()
        inner = self.layers[4]

        class Outer(Block):
            def forward(self, x: T) -> T:
                return inner(super().forward(x)) * 0.5

        self.layers[2] = Outer()

    def stack(self, x: T) -> T:
        for layer in self.layers[:4]:
            x = layer(x)
        return x


ODD: tuple[type[Net], ...] = (
    Shared,
    ControlFlow,
    Defaults,
    Scripted,
    Dense,
    LongSkip,
    LateSkip,
    TwoStreams,
    InPlace,
    Inference,
    Automatic,
    HandsOutAll,
    Direct,
    Exits,
    Reentrant,
)
