"""Where folding would be wrong it is left, named, and the outputs are exactly what they were."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import identikit as ik
from identikit.errors import ModelError

from .held import left, picture, simplified, trained


class Net(nn.Module):
    """conv and norm, and whatever else reads or holds something of them."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4)
        self.how = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self, x)


def test_a_convolution_shared_by_two_norms() -> None:
    """torch.fx's `fuse` folds both norms into the one convolution, and is wrong by 2.5 without a word."""
    model = trained(Net(lambda net, x: (net.norm(net.conv(x)), net.other(net.conv(x)))))
    expected = model(picture(4))
    found = simplified(model, picture(4))
    assert found.rewrites == ()
    assert left(found) == {"norm": '"conv" is called 2 times', "other": '"conv" is called 2 times'}
    assert all(torch.equal(one, other) for one, other in zip(model(picture(4)), expected, strict=True))


def test_fuse_of_torch_is_wrong_there() -> None:

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.one(self.conv(x)) + self.two(self.conv(x))

    model = trained(Shared())
    expected = model(picture(4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which its file uses
        from torch.fx.experimental.optimization import fuse

        fused = fuse(model)
    assert not torch.allclose(fused(picture(4)), expected, atol=0.1)
    ik.simplify(model, picture(4))
    assert torch.equal(model(picture(4)), expected)


def skip(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = net.conv(x)
    return x + net.norm(x)


def twice(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.norm(net.conv(net.norm(net.conv(x))))


def returned(net: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = net.conv(x)
    return net.norm(x), x.mean((2, 3)), x[:, :1]


def returned_view(net: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = net.conv(x)
    return net.norm(x), x[:, :1]


def written(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = net.conv(x)
    x.mul_(2)
    return net.norm(x)


def weight_read(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.norm(net.conv(x)) + net.conv.weight.mean()


def two_norms(net: Any, x: torch.Tensor) -> torch.Tensor:
    x = net.conv(x)
    return net.norm(x) + net.other(x)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (skip, 'the output of "conv" is read by something else too'),
        (twice, '"norm" is called 2 times'),
        (returned, 'the output of "conv" is an output of the model'),
        (returned_view, 'the output of "conv" is an output of the model'),
        (written, 'the output of "conv" is read by something else too'),
        (weight_read, 'the weight of "conv" is read elsewhere'),
        (two_norms, 'the output of "conv" is read by something else too'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_somebody_else_reads_it(how: Callable[..., Any], why: str) -> None:
    model = trained(Net(how))
    conv, norm = model.conv, model.norm
    found = simplified(model, picture(4))
    assert found.rewrites == ()
    assert left(found)["norm"] == why
    assert (model.conv, model.norm) == (conv, norm)


def plain(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.norm(net.conv(x))


def hooked(net: Net) -> None:
    net.conv.register_forward_hook(lambda module, args, output: output * 2)


def hooked_norm(net: Net) -> None:
    net.norm.register_forward_pre_hook(lambda module, args: None)


def weight_norm(net: Net) -> None:
    parametrizations.weight_norm(net.conv)


def old_weight_norm(net: Net) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(net.conv)


def pruned(net: Net) -> None:
    from torch.nn.utils import prune

    prune.random_unstructured(net.conv, "weight", 0.5)


def own_forward(net: Net) -> None:
    forward = net.conv.forward
    net.conv.forward = lambda x: forward(x) * 3


def tied(net: Net) -> None:
    net.third = nn.Conv2d(4, 4, 3)
    net.third.weight = net.conv.weight


def in_two_places(net: Net) -> None:
    net.again = nn.ModuleList([net.norm])


@pytest.mark.parametrize(
    "change", [hooked, hooked_norm, weight_norm, old_weight_norm, pruned, own_forward, tied, in_two_places]
)
def test_hooks_parametrisations_and_shared_weights(change: Callable[[Net], None]) -> None:
    model = Net(plain)
    change(model)
    trained(model)
    expected = model(picture(4))
    conv, norm = model.conv, model.norm
    with contextlib.suppress(ModelError):  # a weight that is the result of an operation cannot be copied
        ik.simplify(model, picture(4))
    assert torch.equal(model(picture(4)), expected)
    assert (model.conv, model.norm) == (conv, norm)


class Standardised(nn.Conv2d):
    """Its own statistics are taken out of the weight at every call: what is folded into it is taken out too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias)


class Bounded(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu_()


@pytest.mark.parametrize("kind", [Standardised, Bounded])
def test_a_convolution_that_does_something_else(kind: type[nn.Conv2d]) -> None:
    model = trained(nn.Sequential(kind(3, 4, 3), nn.BatchNorm2d(4)))
    found = simplified(model, picture())
    assert (found.rewrites, found.left) == ((), ())  # not even tried


def test_a_linear_layer_whose_weight_is_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head, self.norm = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)
            self.head.weight = self.embed.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.norm(self.head(self.embed(ids)))

    model = trained(Tied())
    found = simplified(model, torch.tensor([1, 2, 5]))
    assert left(found) == {"norm": 'the weight of "head" is shared'}
    assert model.head.weight is model.embed.weight


def test_features_of_a_hook_between_stay() -> None:
    """A hook on a container sees what comes before the norm."""
    model = trained(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)))
    model[0].register_forward_hook(lambda *_: None)
    assert left(simplified(model, picture())) == {"1": 'a hook on "0" sees the output of "0.0"'}


def test_quantised_layers_stay() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(-9, 9, (4, 4), dtype=torch.int8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight.to(x.dtype).T

    model = trained(nn.Sequential(Packed(), nn.BatchNorm1d(4), nn.ReLU()))
    assert simplified(model, torch.randn(3, 4)).rewrites == ()
