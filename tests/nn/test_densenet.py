"""DenseNet computes what torchvision's does with the same weights, under the older names too."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from identikit.errors import BlockError
from identikit.nn.densenet import DenseNet
from nn.scrambled import scrambled

tv: Any = pytest.importorskip("torchvision").models
SMALL: dict[str, Any] = {"growth_rate": 4, "block_config": (2, 3, 2), "num_init_features": 6, "num_classes": 5}


def older(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As the published files have it: `norm.1` for `norm1` in a dense layer, and no counts of batches."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("depth", [121, 161, 169, 201])
@pytest.mark.parametrize("names", [dict, older])
def test_equal_to_torchvision(depth: int, names: Any) -> None:
    theirs = scrambled(getattr(tv, f"densenet{depth}")(weights=None, num_classes=7)).eval()
    ours = DenseNet.of_depth(depth, num_classes=7).load_reference(names(theirs.state_dict())).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    written = ours.reference_state_dict()
    assert list(written) == list(theirs.state_dict())
    theirs.load_state_dict(written)


@pytest.mark.parametrize("drop_rate", [0.0, 0.5])
def test_gradients_and_statistics_equal_torchvision(drop_rate: float) -> None:
    theirs = scrambled(tv.DenseNet(**SMALL, bn_size=2, drop_rate=drop_rate)).double()
    ours = DenseNet(**SMALL, bn_size=2, drop_rate=drop_rate).double().load_reference(theirs.state_dict())
    x = torch.randn(3, 3, 32, 32).double()
    for net in (ours, theirs):
        torch.manual_seed(1)  # the same features are dropped
        net(x).square().sum().backward()
    gradients = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[ours.reference.theirs(key)[0]])
    statistics = theirs.state_dict()
    for key, value in ours.reference_state_dict().items():
        torch.testing.assert_close(value, statistics[key])


@pytest.mark.parametrize(
    ("depth", "count"), [(121, 7_978_856), (161, 28_681_000), (169, 14_149_480), (201, 20_013_928)]
)
def test_as_many_parameters_as_published(depth: int, count: int) -> None:
    with torch.device("meta"):
        net = DenseNet.of_depth(depth)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_the_defaults_are_densenet_121() -> None:
    with torch.device("meta"):
        assert repr(DenseNet()) == repr(DenseNet.of_depth(121))


def test_a_dense_layer_hands_its_input_on_in_front() -> None:
    layer: Any = DenseNet(**SMALL).eval().body.stage1.layers[0]  # type: ignore[union-attr,index]
    x = torch.randn(2, 6, 4, 4)
    out = layer(x)
    assert out.shape == (2, 10, 4, 4)
    assert torch.equal(out[:, :6], x)
    assert torch.equal(out[:, 6:], layer.branch(x))


def test_the_least_size_works_and_one_less_is_refused() -> None:
    net = DenseNet(**SMALL).eval()
    assert net(torch.zeros(1, 3, 13, 13)).shape == (1, 5)
    text = (
        "DenseNet: images of 40x12 shrink to nothing on the way; the least is 13x13. "
        "Enlarge them, or build a network with fewer stages."
    )
    with pytest.raises(BlockError, match=f"^{re.escape(text)}$"):
        net(torch.zeros(1, 3, 40, 12))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"block_config": ()}, "block_config= is empty. Use one number a stage, such as (6, 12, 24, 16)."),
        ({"block_config": [6, 0]}, "block_config[1]=0 is no whole number from 1 on. Use block_config[1]=1 or more."),
        ({"block_config": (1.5,)}, "block_config[0]=1.5 is no whole number from 1 on. Use block_config[0]=1 or more."),
        ({"growth_rate": 0}, "growth_rate=0 is no whole number from 1 on. Use growth_rate=1 or more."),
        ({"drop_rate": 1.0}, "drop_rate=1 is no share from 0 up to 1, such as 0.2."),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError, match=f"^{re.escape('DenseNet: ' + text)}$"):
        DenseNet(**options)


def test_a_depth_that_there_is_not() -> None:
    with pytest.raises(BlockError) as refused:
        DenseNet.of_depth(100)
    assert str(refused.value) == "DenseNet: no depth=100; there are 121, 161, 169 and 201. Use of_depth(121)."
    with pytest.raises(BlockError) as refused:
        DenseNet.of_depth("121")  # type: ignore[arg-type]
    assert str(refused.value) == "DenseNet: depth='121' is no whole number from 1 on. Use depth=1 or more."
