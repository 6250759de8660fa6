"""A state dict under another library's names is read whole, written whole, or refused with the key that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import CifarResNet, DenseNet, PreActResNet, ResNet
from identikit.nn.image_network import ImageNetwork
from identikit.nn.keys import KeyMap, State

DOCS = Path(__file__).parents[2] / "docs" / "state_dicts.md"
SOURCE = "akamaster/pytorch_resnet_cifar10"
BUILD = "Give a whole state dict, to a network of its depth and options."


def small(**options: Any) -> CifarResNet:
    return CifarResNet(8, **{"width": 4, **options})


def test_numbers_are_carried_over_and_shifted() -> None:
    keys = KeyMap("theirs", (("a{s}.{b}.c", "x.{s-1}.{b+1}.y{s}", "old.{b}"),))
    assert keys.theirs("a3.10.c.weight") == ("x.2.11.y3.weight", "old.10.weight")


def test_a_module_without_a_row_is_refused() -> None:
    with pytest.raises(BlockError) as refused:
        KeyMap("theirs", (("a.b", "c"),)).theirs("aXb.weight")
    assert str(refused.value) == (
        '"aXb.weight" has no name in theirs, whose networks have no such layer. Use load_state_dict.'
    )


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_what_is_written_can_be_read(prefix: str) -> None:
    one, other = small(), small()
    theirs = {prefix + key: value for key, value in one.reference_state_dict().items()}
    assert other.load_reference(theirs) is other
    for key, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=0, atol=0)


def test_a_linear_layer_that_is_a_convolution_there() -> None:
    net = PreActResNet(18, classes=3)
    theirs = net.reference_state_dict()
    assert theirs["head.fc.weight"].shape == (3, 512, 1, 1)
    assert theirs["head.fc.bias"].shape == (3,)
    assert torch.equal(PreActResNet(18, classes=3).load_reference(theirs).head.linear.weight, net.head.linear.weight)  # type: ignore[union-attr,arg-type]


def test_values_take_the_dtype_of_the_network() -> None:
    theirs = small().double().reference_state_dict()
    assert small().load_reference(theirs).stem.conv.weight.dtype == torch.float32  # type: ignore[union-attr]


def test_counts_of_batches_may_be_missing() -> None:
    theirs = {key: value for key, value in small().reference_state_dict().items() if "num_batches" not in key}
    net = small()
    net.stem.norm.num_batches_tracked.fill_(7)  # type: ignore[union-attr,operator]
    assert net.load_reference(theirs).stem.norm.num_batches_tracked == 7  # type: ignore[union-attr]


def without(state: State) -> Any:
    del state["layer2.0.bn1.running_mean"]
    return state


def misspelt(state: State) -> Any:
    state["layer2.0.bnn1.weight"] = state.pop("layer2.0.bn1.weight")
    return state


REFUSED: list[tuple[Callable[[State], Any], str]] = [
    (without, f'the state dict lacks the key "layer2.0.bn1.running_mean" of {SOURCE}. {BUILD}'),
    (
        misspelt,
        f'unknown key "layer2.0.bnn1.weight" in a state dict of {SOURCE}. Did you mean "layer2.0.bn1.weight"? {BUILD}',
    ),
    (
        lambda state: {**state, "linear.weight": torch.zeros(100, 16)},
        '"linear.weight" is 100x16 in the state dict, 10x16 in this network. '
        "Build it with the sizes of the weights; exchange layers after loading.",
    ),
    (
        lambda state: {**state, "linear.weight": 3},
        '"linear.weight" is an int, not a tensor. Give the plain state dict.',
    ),
    (
        lambda state: {"state_dict": state, "best_prec1": 91.7},
        f'unknown key "state_dict" in a state dict of {SOURCE}. Pass state_dict["state_dict"].',
    ),
    (
        lambda state: {"epoch": 3, "optimizer": {"state": {}, "param_groups": []}, "state_dict": state},
        f'unknown key "epoch" in a state dict of {SOURCE}. Pass state_dict["state_dict"].',
    ),
    (
        lambda state: {"module.conv1.weight": state.pop("conv1.weight"), **state},  # a prefix of some keys is none
        f'unknown key "module.conv1.weight" in a state dict of {SOURCE}. Did you mean "conv1.weight"? {BUILD}',
    ),
    (lambda state: {**state, 3: torch.ones(1)}, f'unknown key "3" in a state dict of {SOURCE}. {BUILD}'),
    (lambda state: None, "a NoneType is no state dict. Use torch.load(path) for a file."),
    (lambda state: "weights.pt", "a str is no state dict. Use torch.load(path) for a file."),
    (
        lambda state: {**state, "linear.bias": state["linear.bias"].long()},
        '"linear.bias" holds int64, in this network float32. Give the weights as they were trained.',
    ),
    (
        lambda state: {**state, "linear.bias": state["linear.bias"].to(torch.complex64)},
        '"linear.bias" holds complex64, in this network float32. Give the weights as they were trained.',
    ),
    (
        lambda state: {**state, "bn1.num_batches_tracked": torch.tensor(True)},
        '"bn1.num_batches_tracked" holds bool, in this network int64. Give the weights as they were trained.',
    ),
    (
        lambda state: {**state, "linear.weight": state["linear.weight"].to_sparse()},
        '"linear.weight" is sparse. Use .to_dense().',
    ),
    (
        lambda state: {**state, "linear.bias": state["linear.bias"].to("meta")},
        '"linear.bias" is on the meta device and holds no values. Load the file to another device.',
    ),
    (
        lambda state: small().state_dict(),
        f'unknown key "stem.conv.weight" in a state dict of {SOURCE}. That is its name here: use load_state_dict.',
    ),
    (lambda state: {}, f'the state dict lacks the key "conv1.weight" of {SOURCE}. {BUILD}'),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "text"), REFUSED)
def test_a_state_dict_that_does_not_fit_changes_nothing(spoil: Callable[[State], Any], text: str) -> None:
    net = small()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(BlockError, match=f"^{re.escape('CifarResNet: ' + text)}$"):
        net.load_reference(spoil(small().reference_state_dict()))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("network", [CifarResNet, ResNet, PreActResNet, DenseNet])
def test_the_tables_in_the_docs_are_those_in_the_code(network: type[ImageNetwork]) -> None:
    section = DOCS.read_text(encoding="utf-8").split(f"### {network.__name__} and {network.reference.source}\n")[1]
    rows = [re.findall(r"`([^`]+)`", line) for line in section.split("\n#")[0].splitlines() if line.startswith("| `")]
    assert [tuple(row) for row in rows] == list(network.reference.names)


def test_a_network_on_the_meta_device_has_no_place_for_values() -> None:
    with pytest.raises(BlockError) as refused:
        small().to("meta").load_reference(small().reference_state_dict())
    assert str(refused.value) == (
        'CifarResNet: "conv1.weight" finds this network on the meta device. Use .to_empty(device="cpu") first.'
    )


def test_one_weight_under_two_names() -> None:
    keys, net = KeyMap("theirs", (("0", "new", "old"),)), nn.Sequential(nn.Linear(1, 1, bias=False))
    weight = torch.ones(1, 1)
    assert torch.equal(keys.read({"old.weight": weight}, net)["0.weight"], weight)
    with pytest.raises(BlockError) as refused:
        keys.read({"old.weight": weight, "new.weight": weight}, net)
    assert str(refused.value) == ('Sequential: "new.weight" and "old.weight" are one weight under two names. Drop one.')
