"""TabularResNet is the network of the paper, takes categories, and identikit's own verbs work on it."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BlockError
from identikit.nn.residual import Residual
from identikit.nn.tabular_resnet import TableStem, TabularResNet


def small(**options: Any) -> TabularResNet:
    """A network of 3 columns of numbers and two of categories, in eval mode, its batch norms not fresh."""
    torch.manual_seed(0)
    net = TabularResNet(3, 2, blocks=2, width=8, hidden=12, **{"categories": (4, 2), **options})
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


def inputs(rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.randn(rows, 3, generator=torch.Generator().manual_seed(1))
    return numbers, torch.stack([torch.arange(rows) % 5, torch.arange(rows) % 3], dim=1)


def test_the_formula_of_the_paper() -> None:
    net, (x, codes) = small(), inputs()
    h = net.stem(x, codes)
    for block in net.blocks:
        part = block.branch
        h = h + part.linear2(torch.relu(part.linear1(part.norm(h))))
    expected = net.head.linear(torch.relu(net.head.norm(h)))
    torch.testing.assert_close(net(x, codes), expected)


def test_equal_to_the_authors_package() -> None:
    rtdl = pytest.importorskip("rtdl_revisiting_models")
    theirs = rtdl.ResNet(
        d_in=3, d_out=2, n_blocks=2, d_block=8, d_hidden=12, d_hidden_multiplier=None, dropout1=0.1, dropout2=0.1
    ).eval()
    ours = small(categories=())
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x, _ = inputs()
    torch.testing.assert_close(ours(x), theirs(x))


def test_both_dropouts_are_where_the_paper_has_them() -> None:
    branch = small(dropout=0.2, residual_dropout=0.3).blocks[0].branch
    names = ["norm", "linear1", "activation", "dropout1", "linear2", "dropout2"]
    assert [name for name, _ in branch.named_children()] == names
    assert (branch.dropout1.p, branch.dropout2.p) == (0.2, 0.3)


def test_categories_are_one_hot_columns_in_the_first_linear_map() -> None:
    stem = TableStem(3, 8, (4, 2))
    x, codes = inputs()
    hot = [nn.functional.one_hot(codes[:, column], size + 1)[:, 1:].float() for column, size in enumerate((4, 2))]
    weight = torch.cat([stem.linear.weight, *(table.weight[1:].T for table in stem.tables)], dim=1)
    expected = torch.cat([x, *hot], dim=1) @ weight.T + stem.linear.bias
    torch.testing.assert_close(stem(x, codes), expected)


def test_what_is_not_known_adds_nothing_and_is_not_trained() -> None:
    net, (x, codes) = small(), inputs()
    codes[:] = 0
    assert torch.equal(net.stem(x, codes), net.stem.linear(x))
    net.stem(x, codes).sum().backward()
    assert not any(table.weight.grad.any() for table in net.stem.tables)


def test_a_code_beyond_its_column_is_an_error() -> None:
    x, codes = inputs()
    codes[0, 0] = 5
    with pytest.raises(IndexError):
        small()(x, codes)


def test_categories_alone() -> None:
    net = TabularResNet(0, 1, categories=(3,), width=8)
    assert net(torch.empty(4, 0), torch.tensor([[0], [1], [2], [3]])).shape == (4, 1)


def test_hidden_is_twice_the_width_unless_told() -> None:
    assert TabularResNet(3, 1, width=8).blocks[0].branch.linear1.out_features == 16


def test_blocks_are_whole_residual_blocks_that_scan_and_prune_take() -> None:
    net, (x, codes) = small(), inputs(16)
    assert all(isinstance(block, Residual) for block in net.blocks)
    data = [((x, codes), torch.randn(16, 2))]
    assert [(site.path, site.role) for site in ik.sites(net, (x, codes))] == [
        ("blocks.0", "block"),
        ("blocks.1", "block"),
    ]
    assert [row.places for row in ik.scan(net, data, metrics="loss", progress=False).rows] == [
        ("blocks.0",),
        ("blocks.1",),
    ]
    pruned = ik.prune(net, data, metrics="loss", drop=1, progress=False)
    assert len(pruned.model.blocks) == 1
    with ik.apply(net, pruned.plan, inputs=(x, codes)):
        assert torch.equal(net(x, codes), pruned.model(x, codes))


def test_copies_and_files_compute_the_same() -> None:
    net, given = small(), inputs()
    fresh = small()
    fresh.load_state_dict(net.state_dict())
    stored = io.BytesIO()
    torch.save(net.state_dict(), stored)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), fresh):
        assert torch.equal(twin(*given), net(*given))
    assert net.double()(given[0].double(), given[1]).dtype == torch.float64


def test_compile_export_and_trace() -> None:
    net, given = small(), inputs()
    assert torch.equal(torch.export.export(net, given).module()(*given), net(*given))
    compiled = torch.compile(copy.deepcopy(net), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*given), net(*given))
    assert torch.equal(torch.fx.symbolic_trace(net)(*given), net(*given))


def test_built_on_the_meta_device() -> None:
    with torch.device("meta"):
        net = TabularResNet(3, 1, categories=(4,))
    assert all(parameter.is_meta for parameter in net.parameters())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"in_features": 0},
            "TabularResNet: in_features=0 and no categories leave no column to learn from. "
            "Give the number of columns, or the sizes of the columns of categories.",
        ),
        ({"blocks": 0}, "TabularResNet: blocks=0 is too few; the least is 1."),
        ({"categories": (3, 0)}, "TabularResNet: categories=0 is too few; the least is 1."),
        ({"dropout": 1.0}, "TabularResNet: dropout=1 is no share from 0 up to 1, such as 0.15."),
        ({"residual_dropout": -0.1}, "TabularResNet: residual_dropout=-0.1 is no share from 0 up to 1, such as 0.15."),
    ],
)
def test_sizes_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError) as caught:
        TabularResNet(**{"in_features": 3, "out_features": 1, **options})
    assert str(caught.value) == text


X, CODES = inputs(2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ((X, CODES[:1]), "2 rows of numbers and 1 of codes. Give both for each row."),  # would be added to every row
        ((X[0], CODES), "the numbers are 3. Give a tensor [rows, columns]."),
        ((X[None], CODES), "the numbers are 1x2x3. Give a tensor [rows, columns]."),
        ((torch.tensor(1.0), CODES), "the numbers are a single number. Give a tensor [rows, columns]."),
        ((X.tolist(), CODES), "the numbers are a list. Give a tensor [rows, columns]."),
        ((None, CODES), "the numbers are a NoneType. Give a tensor [rows, columns]."),
        ((X, CODES[0]), "the codes are 2. Give a tensor [rows, columns]."),
        ((X, CODES.float()), "the codes hold torch.float32, not whole numbers. Use codes.long()."),
        ((X, CODES.bool()), "the codes hold torch.bool, not whole numbers. Use codes.long()."),
        (
            (X.long(), CODES),
            "the numbers hold torch.int64, the weights torch.float32. Use numbers.to(torch.float32).",
        ),
        (
            (X.double(), CODES),
            "the numbers hold torch.float64, the weights torch.float32. Use numbers.to(torch.float32).",
        ),
    ],
)
def test_inputs_that_are_no_tables(call: tuple[Any, Any], text: str) -> None:
    with pytest.raises(BlockError) as caught:
        small()(*call)
    assert str(caught.value) == f"TabularResNet: {text}"


@pytest.mark.parametrize("call", [(torch.zeros(2, 4), torch.ones(2, 2).long()), (torch.zeros(2, 3), None)])
def test_inputs_of_another_width(call: tuple[torch.Tensor, torch.Tensor | None]) -> None:
    given = 0 if call[1] is None else 2
    with pytest.raises(BlockError) as caught:
        small()(*call)
    assert str(caught.value) == (
        "TabularResNet: made for 3 columns of numbers and 2 of categories; "
        f"the call has {call[0].shape[1]} and {given}. Give both: net(numbers, codes)."
    )
