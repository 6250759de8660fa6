"""FLOPs of layers: known numbers for known layers, and None wherever torch's counter would have said too little."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from identikit.costing.cost import costs_of
from identikit.costing.counted import counted
from identikit.families.anatomy import anatomy_of
from zoo import ZOO, Case, case


class Run(nn.Module):
    """One function, and the weights that it may use."""

    def __init__(self, function: Callable[..., Any], **weights: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs, **dict(self.named_parameters()))


def flops(model: nn.Module, *inputs: torch.Tensor, at: str = "0") -> int | None:
    """Of the layer at `at`; a model that is one layer becomes the first of a chain."""
    model = nn.Sequential(model) if at == "0" else model
    return costs_of(anatomy_of(model.eval(), inputs), [at])[at].flops


Q = torch.randn(2, 4, 6, 8)
NOTHING: list[Callable[..., Any]] = [
    lambda x: torch.cat([x, x]).masked_fill(x.sum() > 0, 1.0),
    lambda x: torch.where(x > 0, x, x.roll(1)) + x.softmax(-1),
    lambda x: x.clone().index_add(0, torch.tensor([0]), x[:1]).scatter(0, torch.zeros(1, 6, dtype=torch.long), x[:1]),
    lambda x: F.layer_norm(x, x.shape, x.clone(), x.clone()),
    lambda x: F.grid_sample(x[None, None], torch.zeros(1, 2, 2, 2), align_corners=False),
]
KNOWN = [
    pytest.param(nn.Linear(4, 5), (torch.randn(3, 4),), 2 * 3 * 4 * 5, id="linear"),
    pytest.param(nn.Linear(4, 5, bias=False), (torch.randn(2, 3, 4),), 2 * 6 * 4 * 5, id="linear of sequences"),
    pytest.param(nn.Conv2d(3, 8, 3), (torch.randn(2, 3, 7, 7),), 2 * 2 * 25 * 27 * 8, id="convolution"),
    pytest.param(nn.Conv1d(4, 4, 3, groups=4), (torch.randn(2, 4, 5),), 2 * 2 * 3 * 3 * 4, id="depthwise"),
    pytest.param(nn.Embedding(9, 4), (torch.tensor([[1, 2]]),), 0, id="embedding"),
    pytest.param(nn.LayerNorm([3, 4]), (torch.randn(2, 3, 4),), 0, id="norm with matrices"),
    pytest.param(nn.ReLU(), (torch.randn(2, 3),), 0, id="nothing to multiply"),
    pytest.param(Run(lambda q: F.scaled_dot_product_attention(q, q, q)), (Q,), 4 * 8 * 6 * 6 * 8, id="attention"),
    pytest.param(Run(lambda q: (q @ q.mT).softmax(-1) @ q), (Q,), 4 * 8 * 6 * 6 * 8, id="attention by hand"),
    pytest.param(
        Run(lambda q: F.scaled_dot_product_attention(q, q[:, :2, :3], q[:, :2, :3], enable_gqa=True)),
        (Q,),
        4 * 8 * 6 * 3 * 8,
        id="attention with fewer keys",
    ),
    pytest.param(
        Run(lambda a: torch.linalg.solve_triangular(a, a[..., :3], upper=True)),
        (torch.eye(5).repeat(2, 1, 1),),
        2 * 5 * 5 * 3,
        id="triangle solved",
    ),
    *[pytest.param(Run(each), (torch.randn(4, 6),), 0, id=f"no product {n}") for n, each in enumerate(NOTHING)],
]


@pytest.mark.parametrize(("layer", "inputs", "known"), KNOWN)
def test_known_numbers(layer: nn.Module, inputs: tuple[torch.Tensor, ...], known: int) -> None:
    assert flops(layer, *inputs) == known


@torch.library.custom_op("identikit_tests::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    """A library's own kernel: what it multiplies is not to be seen."""
    return x * 2


def numpys(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.matmul(x.numpy(), weight.detach().numpy()))


UNKNOWN = [
    pytest.param(nn.LSTM(4, 4), (torch.randn(5, 2, 4),), id="fused recurrent network"),
    pytest.param(nn.Bilinear(4, 4, 2), (torch.randn(3, 4), torch.randn(3, 4)), id="three factors"),
    pytest.param(Run(lambda x: torch.mv(x, x[0])), (torch.randn(4, 4),), id="matrix and vector"),
    pytest.param(Run(lambda x: torch.linalg.matrix_exp(x)), (torch.randn(4, 4),), id="a matrix by itself"),
    pytest.param(Run(lambda x: torch.linalg.svdvals(x)), (torch.randn(4, 4),), id="a matrix taken apart"),
    pytest.param(Run(lambda x: torch.cdist(x, x)), (torch.randn(4, 4),), id="distances"),
    pytest.param(Run(lambda x: x.clone().addmm_(x, x)), (torch.randn(4, 4),), id="a product added in place"),
    pytest.param(Run(lambda x: doubled(x)), (torch.randn(4, 4),), id="a kernel of somebody else's"),
    pytest.param(Run(numpys, weight=torch.randn(4, 4)), (torch.randn(4, 4),), id="a product out of torch's sight"),
    pytest.param(Run(lambda x, weight: x, weight=torch.ones(4, 4)), (torch.randn(4, 4),), id="no use of its matrix"),
]


@pytest.mark.parametrize(("layer", "inputs"), UNKNOWN)
def test_what_the_counter_does_not_know_is_none_and_no_wrong_number(
    layer: nn.Module, inputs: tuple[torch.Tensor, ...]
) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = layer, nn.Linear(4, 4)

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.layer(*inputs), self.other(inputs[0])

    costs = costs_of(anatomy_of(Model().eval(), inputs), ["layer", "other"])
    assert costs["layer"].flops is None
    assert costs["other"].flops == 2 * inputs[0].numel() * 4
    assert costs["layer"].seconds is not None


def test_what_holds_something_unknown_is_unknown() -> None:
    sparse = Run(lambda x: x.to_sparse().to_dense())
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), Run(lambda x: doubled(x)), sparse), nn.Linear(4, 4))
    costs = costs_of(anatomy_of(model.eval(), torch.randn(3, 4)), ["0", "0.0", "0.1", "0.2", "1"])
    one, bytes_ = 2 * 3 * 4 * 4, 3 * 4 * 4
    assert [each.flops for each in costs.values()] == [None, one, None, 0, one]
    assert [each.memory for each in costs.values()] == [None, bytes_, bytes_, None, bytes_]


@pytest.fixture
def slow_path() -> Iterator[None]:
    """torch's encoder layers without their fused kernel."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def encoder() -> nn.Module:
    return nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True))


def test_the_fused_encoder_layer_is_not_known() -> None:
    costs = costs_of(anatomy_of(encoder().eval(), torch.randn(2, 6, 16)), ["0", "0.linear1"])
    assert costs["0"].flops is None
    assert costs["0"].memory is None
    assert costs["0"].seconds is not None
    assert costs["0.linear1"] == type(costs["0"])()  # never called there


@pytest.mark.usefixtures("slow_path")
def test_the_same_layer_by_its_parts_is_known() -> None:
    costs = costs_of(anatomy_of(encoder().eval(), torch.randn(2, 6, 16)), ["0", "0.linear1", "0.self_attn"])
    rows, attention = 2 * 6, 4 * 2 * 6 * 6 * 16
    assert costs["0.linear1"].flops == 2 * rows * 16 * 32
    assert costs["0.self_attn"].flops == 2 * rows * 16 * 16 * 4 + attention
    assert costs["0"].flops == 2 * costs["0.linear1"].flops + costs["0.self_attn"].flops


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_quantised_products_are_not_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization is to move to torchao: theirs to say
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), {nn.Linear})
    costs = costs_of(anatomy_of(model, torch.randn(3, 4)), ["0", "1"])
    assert (costs["0"].flops, costs["1"].flops) == (None, 0)
    assert costs["0"].memory is not None


def test_experts_are_counted_for_the_rows_they_take() -> None:
    mixtral = case("mixtral")
    model = mixtral.build()
    batch = mixtral.inputs(model)
    path, config = "model.layers.0.mlp.experts", model.config
    rows = batch.kwargs["input_ids"].numel() * config.num_experts_per_tok
    found = costs_of(anatomy_of(model, batch), [path])[path].flops
    assert found == 2 * rows * 3 * config.hidden_size * config.intermediate_size


def test_weights_may_be_handed_to_a_layer() -> None:
    """The hooks by which torch's counter tells modules apart fail on a view of a weight."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.layer = nn.Parameter(torch.randn(1, 4)), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layer(self.query.chunk(1)[0]) + self.layer(self.query)

    assert flops(Model(), torch.randn(3, 4), at="layer") == 2 * 2 * 4 * 4


class Twice(nn.Module):
    """Calls one layer twice, and itself once more."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, again: bool = True) -> torch.Tensor:
        x = self.shared(self.shared(x))
        return self(x, again=False) if again else x


def test_calls_add_up_and_a_layer_within_itself_counts_once() -> None:
    model = nn.Sequential(Twice(), nn.Linear(4, 4))
    costs = costs_of(anatomy_of(model.eval(), torch.randn(3, 4)), ["0", "0.shared", "1"])
    one = 2 * 3 * 4 * 4
    assert [costs[path].flops for path in costs] == [4 * one, 4 * one, one]


@pytest.mark.parametrize("known", ZOO, ids=lambda known: known.name)
def test_a_zoo_model_is_the_sum_of_its_parts(known: Case) -> None:
    """Linear layers have their 2 m k n, and a module at least what its children have."""
    model = known.build()
    anatomy = anatomy_of(model, known.inputs(model))
    layers = {path: model.get_submodule(path) for path in anatomy.paths}
    found = {path: each.flops for path, each in counted(anatomy, layers).items()}
    assert found
    for path, count in found.items():
        layer, calls = layers[path], anatomy.watched.by_path[path]
        if type(layer) is nn.Linear:
            rows = sum(call.output.numel() // layer.out_features for call in calls)
            assert count == 2 * rows * layer.in_features * layer.out_features
        children = [found.get(f"{path}.{name}") for name, _ in layer.named_children()]
        if count is not None:
            assert count >= sum(child or 0 for child in children)
    assert any(found.values()) or known.name.startswith("encoder_")
