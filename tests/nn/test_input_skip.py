"""The raw input reaches the layers that were chosen, added or concatenated, and nothing is broadcast on the way."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import InputSkip

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
PICTURE = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def added() -> InputSkip:
    return InputSkip([nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)])


def concatenated() -> InputSkip:
    return InputSkip([nn.Linear(4, 8), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(12, 2)], join="concat")


def pictures() -> InputSkip:
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(9, 5, 3, padding=1)]
    return InputSkip(layers, join="concat")


def test_added_where_layers_mix_features_projected_where_the_number_differs() -> None:
    net = added()
    one, _, two, _, three = net.layers
    assert net.at == (2, 4)
    assert torch.equal(net(X), three(two(one(X).relu() + net.projections["2"](X)).relu() + X))
    assert list(net.projections) == ["2"]


def test_concatenated_behind_the_features() -> None:
    net = concatenated()
    one, _, two, _, three = net.layers
    y = two(torch.cat([one(X).relu(), X], -1)).relu()
    assert torch.equal(net(X), three(torch.cat([y, X], -1)))
    assert not net.projections
    net = pictures()
    assert torch.equal(net(PICTURE), net.layers[2](torch.cat([net.layers[0](PICTURE).relu(), PICTURE], 1)))


def test_a_picture_is_added_through_a_convolution_of_size_one() -> None:
    net = InputSkip([nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 2, 1)])
    assert (net.dims, net.projections["1"].kernel_size, net.projections["1"].bias is not None) == (2, (1, 1), True)
    assert torch.equal(net(PICTURE), net.layers[1](net.layers[0](PICTURE) + net.projections["1"](PICTURE)))


def test_the_layers_and_their_projections_may_be_chosen() -> None:
    pool = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 6, 1))
    net = InputSkip([nn.Conv2d(3, 6, 2, stride=2), nn.ReLU(), nn.Conv2d(6, 2, 1)], at=[1], project={1: pool})
    assert torch.equal(net(PICTURE), net.layers[2]((net.layers[0](PICTURE) + pool(PICTURE)).relu()))
    narrow = InputSkip([nn.Linear(4, 8), nn.Linear(9, 2)], join="concat", project={1: nn.Linear(4, 1)})
    assert narrow(X).shape == (3, 2)
    blocks = [nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))]
    assert InputSkip(blocks).at == (1,)


def test_a_sequential_keeps_its_keys() -> None:
    chain = nn.Sequential(OrderedDict(first=nn.Linear(4, 4), second=nn.Linear(4, 2)))
    net = InputSkip(chain)
    assert net.layers is chain
    assert set(net.state_dict()) == {"layers." + key for key in chain.state_dict()}


class Doubles(nn.Module):
    """A layer that changes the dtype and nothing else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()


class Sneaky(nn.Module):
    """An edit that no attribute tells of."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        return x


def test_a_first_layer_in_place_is_refused_where_it_would_reach_the_raw_input() -> None:
    for first in (nn.ReLU(inplace=True), nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))):
        with pytest.raises(BlockError) as raised:
            InputSkip([first, nn.Linear(4, 4), nn.Linear(4, 4)])
        assert str(raised.value) == (
            "InputSkip: the first layer, ReLU(inplace=True), edits the raw input before it is joined. Use "
            "ReLU(inplace=False)."
        )
    joined = InputSkip([nn.ReLU(inplace=True), nn.Linear(4, 4)], at=[0, 1])  # it edits the sum, which is nobody else's
    assert torch.equal(joined(X), joined.layers[1]((2 * X).relu() + X))


@pytest.mark.parametrize("join", ["add", "concat"])
def test_no_dtype_but_autocast_s_is_mixed(join: str) -> None:
    width = 8 if join == "concat" else 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert InputSkip([nn.Linear(4, 4), nn.Linear(width, 2)], join=join)(X).shape == (3, 2)
    with pytest.raises(BlockError) as raised:
        InputSkip([Doubles(), nn.Linear(width, 2).double()], at=[1], join=join)(X)
    assert str(raised.value) == (
        "InputSkip: in front of layer 1 the features are float64 and the raw input float32; they cannot be joined by "
        f'"{join}". Give a module that makes them fit: project={{1: ...}}.'
    )


def test_an_input_edited_in_place_is_said() -> None:
    net = InputSkip([Sneaky(), nn.Linear(4, 4), nn.Linear(4, 4)], at=[2])
    with pytest.raises(BlockError) as raised:
        net(X.clone())
    assert str(raised.value) == (
        "InputSkip: the raw input was edited in place before layer 2. Use inplace=False in the layers before it, or "
        "x = x + y in place of x += y."
    )
    with torch.inference_mode():
        assert added()(torch.ones(1, 4)).shape == (1, 2)


@pytest.mark.parametrize(("make", "x"), [(added, X), (concatenated, X), (pictures, PICTURE)])
def test_copies_pickles_compilers_tracers_and_exporters_keep_it(make: Callable[[], InputSkip], x: torch.Tensor) -> None:
    net = make()
    expected = net(x)
    for other in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        torch.compile(net, fullgraph=True, backend="aot_eager"),
        torch.fx.symbolic_trace(net),
        torch.export.export(net, (x,)).module(),
    ):
        assert torch.equal(other(x), expected)
    assert net.double()(x.double()).dtype == torch.float64
    net(x.double()).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_what_it_says_of_itself() -> None:
    assert repr(added()).splitlines()[1] == '  at=[2, 4], join="add"'
    assert repr(pictures()).splitlines()[1] == '  at=[2], join="concat", dims=2'


LINEAR = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: InputSkip([nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)], join="concat"),
            "InputSkip: layer 2 (Linear) takes 16 features, but 16 come from before it and 4 from the raw input. Make "
            'it take 20, or use join="add".',
        ),
        (
            lambda: InputSkip([LINEAR, nn.AvgPool1d(2), nn.Flatten(), LINEAR])(torch.ones(3, 2, 4)),
            "InputSkip: in front of layer 3 the features are 3x4 and the raw input 3x2x4; they cannot be joined by "
            '"add". Give a module that makes them fit: project={3: ...}.',
        ),
        (
            lambda: InputSkip([nn.Flatten(), LINEAR], at=[1])(torch.ones(3, 1, 4)),  # would broadcast
            "InputSkip: in front of layer 1 the features are 3x4 and the raw input 3x1x4; they cannot be joined by "
            '"add". Give a module that makes them fit: project={1: ...}.',
        ),
        (
            lambda: InputSkip([nn.Conv2d(3, 6, 3), nn.Conv2d(9, 2, 1)], join="concat")(PICTURE),
            "InputSkip: in front of layer 1 the features are 2x6x3x3 and the raw input 2x3x5x5; they cannot be joined "
            'by "concat". Give a module that makes them fit: project={1: ...}.',
        ),
        (lambda: InputSkip([LINEAR, nn.ReLU()]), "InputSkip: no layer to join the raw input to. Say which: at=[...]."),
        (lambda: InputSkip([LINEAR], at=[1]), "InputSkip: at= names layer 1, but the layers are 0 to 0."),
        (
            lambda: InputSkip([LINEAR, LINEAR], at=1),  # type: ignore[arg-type]
            "InputSkip: at= is an int. Give a list: at=[...].",
        ),
        (
            lambda: InputSkip(LINEAR),  # type: ignore[arg-type]
            "InputSkip: layers= is a Linear. Give a list: layers=[...].",
        ),
        (
            lambda: InputSkip([LINEAR, LINEAR])([X]),  # type: ignore[arg-type]
            "InputSkip: called with a list. Give one tensor.",
        ),
        (
            lambda: InputSkip([LINEAR, LINEAR], project={0: LINEAR}),
            "InputSkip: project= is for layer 0, which gets no raw input. Add it to at=.",
        ),
        (
            lambda: InputSkip([LINEAR, LINEAR], join="cat"),
            'InputSkip: no join="cat". Did you mean "concat"? Use one of "add", "concat".',
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message


def test_dimensions_inside_a_class_of_its_own_are_asked_for() -> None:
    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.mT).mT

    layers = [Across(), nn.ReLU(), nn.Linear(8, 2)]
    with pytest.raises(BlockError) as error:
        InputSkip(layers, at=[2], join="concat", features=4)
    said = "InputSkip: the layers do not say how many spatial dimensions there are. Give dims=."
    assert str(error.value) == said
    assert InputSkip(layers, at=[2], join="concat", features=4, dims=0)(torch.ones(3, 5, 4)).shape == (3, 5, 2)
