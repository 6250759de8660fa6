"""Models whose layers look like blocks and are none, or do more than they return: nothing may be silently wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import anatomy_of
from identikit.surgery.apply import bypass
from zoo import weigh

WIDTH = 8
X = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(0))
Way = Callable[["Stack", torch.Tensor], torch.Tensor]


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


class Add(nn.Module):
    """A residual written as a module, in place."""

    def forward(self, y: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return y.add_(r)


class Stack(nn.Module):
    """Three layers; `way` is the forward that a test is about."""

    def __init__(self, way: Way, layer: Callable[[], nn.Module] = linear, kind: Any = nn.ModuleList) -> None:
        super().__init__()
        members = [layer() for _ in range(3)]
        self.layers = kind(*members) if kind is nn.Sequential else kind(members)
        self.add, self.way = Add(), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.way(self, x)


def roles(model: nn.Module, prefix: str = "layers.") -> list[str]:
    anatomy = anatomy_of(model, X)
    return [anatomy.verdict(f"{prefix}{number}").role for number in range(3)]


# An nn.Sequential that does not run as one.


def halved(model: Stack, x: torch.Tensor) -> torch.Tensor:
    for layer in model.layers:  # type: ignore[union-attr]
        x = x + 0.5 * layer(x)
    return x


def test_members_of_a_sequential_that_its_parent_loops_over_are_no_blocks_by_definition() -> None:
    model = weigh(Stack(halved, kind=nn.Sequential))
    assert roles(model) == ["branch"] * 3, "scaled ones: absent means that nothing is added"
    first, last = model.layers[0], model.layers[2]
    with bypass(model, "layers.1", inputs=X), torch.no_grad():
        x = X + 0.5 * first(X)
        assert torch.equal(model(X), x + 0.5 * last(x))


def test_a_sequential_with_a_forward_of_its_own_on_the_instance_is_none() -> None:
    model = weigh(nn.Sequential(nn.Sequential(linear(), linear(), linear()), linear()))
    inner = model[0]

    def added(x: torch.Tensor) -> torch.Tensor:
        for layer in inner:
            x = x + 0.5 * layer(x)
        return x

    inner.forward = added  # type: ignore[method-assign]
    assert roles(model, "0.") == ["unproved"] * 3


def test_a_hook_that_rewrites_what_a_member_returns_makes_it_no_block() -> None:
    model = weigh(nn.Sequential(linear(), linear(), linear()))
    assert roles(model, "") == ["block"] * 3
    model[1].register_forward_hook(lambda module, args, output: output * 2 + args[0])
    assert roles(model, "")[1] == "unproved"


# Numbers and objects that go along with the stream.


class Timed(nn.Module):
    def __init__(self, step: float) -> None:
        super().__init__()
        self.inner, self.step = linear(), step

    def forward(self, x: torch.Tensor, t: float) -> tuple[torch.Tensor, float]:
        return x + t * self.inner(x), t + self.step if self.step else t


class Clocked(nn.Module):
    def __init__(self, step: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Timed(step) for _ in range(3))

    def forward(self, x: torch.Tensor, t: float) -> tuple[torch.Tensor, float]:
        for layer in self.layers:
            x, t = layer(x, t)
        return x, t


def test_a_number_that_a_layer_computes_is_refused_by_name() -> None:
    for place in ("layers.1", "layers.2"):
        with pytest.raises(RoleError, match=r'"layers.\d" makes an output \(\d\) that identikit cannot give'):
            bypass(weigh(Clocked(1)), place, inputs=(X, 1))
    with pytest.raises(RoleError, match="cannot give"):
        bypass(weigh(Clocked(1)), "layers.1", inputs=(X, 1), as_="identity")


def test_a_number_that_is_handed_through_is_that_of_the_present_call() -> None:
    model = weigh(Clocked(0))
    with bypass(model, "layers.1", inputs=(X, 3)):
        given, t = model(X, 0.25)
    expected, _ = model.layers[2](*model.layers[0](X, 0.25))
    assert torch.equal(given, expected)
    assert t == 0.25


class Sized(nn.Module):
    """Height and width are alike in the example; each must come back at its own place."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()

    def forward(self, x: torch.Tensor, h: int, w: int) -> tuple[torch.Tensor, tuple[int, int], int]:
        return x + self.inner(x), h, w  # type: ignore[return-value]


class Picture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Sized() for _ in range(3))

    def forward(self, x: torch.Tensor, h: int, w: int) -> Any:
        for layer in self.layers:
            x, h, w = layer(x, h, w)
        return x, h, w


def test_numbers_of_one_size_come_back_at_their_own_places() -> None:
    model = weigh(Picture())
    with bypass(model, "layers.1", inputs=(X, 2, 2)):
        assert model(X, 5, 7)[1:] == (5, 7)


class State:
    def __init__(self, v: float) -> None:
        self.v = v


class Stateful(nn.Module):
    def __init__(self, fresh: bool) -> None:
        super().__init__()
        self.inner, self.fresh = linear(), fresh

    def forward(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        return x + state.v * self.inner(x), State(state.v + 1) if self.fresh else state


class Remembering(nn.Module):
    def __init__(self, fresh: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Stateful(fresh) for _ in range(3))

    def forward(self, x: torch.Tensor, v: float) -> torch.Tensor:
        state = State(v)
        for layer in self.layers:
            x, state = layer(x, state)
        return x


def test_an_object_is_handed_through_if_it_came_in_and_else_refused() -> None:
    model = weigh(Remembering(fresh=False))
    with bypass(model, "layers.1", inputs=(X, 1.0)):
        given = model(X, 4.0)
    state = State(4.0)
    assert torch.equal(given, model.layers[2](model.layers[0](X, state)[0], state)[0])
    with pytest.raises(RoleError, match=r"makes an output \(State\) that identikit cannot give"):
        bypass(weigh(Remembering(fresh=True)), "layers.1", inputs=(X, 1.0))


# Writing in place where the checked pass does not see it.


@pytest.mark.parametrize("inference", [False, True])
def test_the_callers_tensor_is_not_written_into_by_a_dropout_in_training(inference: bool) -> None:
    def around(model: Stack, x: torch.Tensor) -> torch.Tensor:
        return x + model.layers(x)  # type: ignore[operator]

    model = weigh(Stack(around))
    model.layers = nn.Sequential(linear(), nn.Dropout(0.5, inplace=True), linear())
    x = X.clone()
    with torch.inference_mode(inference), bypass(model, "layers.0", inputs=x):
        model.train()
        model(x)
    assert torch.equal(x, X)


def test_writing_in_place_is_seen_in_inference_mode() -> None:
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = linear()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.mul_(2))

    model = weigh(nn.Sequential(linear(), Doubling(), linear()))
    with torch.inference_mode():
        x = X.clone()
        with bypass(model, "0", inputs=x):
            model(x)
        assert torch.equal(x, X)


# Residuals that were copied before the call and are written into the output.


def residual(join: Callable[[Stack, torch.Tensor, torch.Tensor], Any]) -> Way:
    def way(model: Stack, x: torch.Tensor) -> torch.Tensor:
        for layer in model.layers:  # type: ignore[union-attr]
            r = x.clone()
            x = layer(x)
            x = join(model, x, r)
        return x

    return way


JOINS: dict[str, Callable[[Stack, torch.Tensor, torch.Tensor], Any]] = {
    "module": lambda model, y, r: model.add(y, r),
    "addcmul": lambda model, y, r: y.addcmul_(r, torch.ones_like(r)),
    "foreach": lambda model, y, r: (torch._foreach_add_([y], [r]), y)[1],
    "out": lambda model, y, r: torch.add(y, r, out=y),
}


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS.keys())
def test_a_residual_that_is_written_into_the_output_makes_a_branch(join: Any) -> None:
    assert roles(weigh(Stack(residual(join)))) == ["branch"] * 3


@pytest.mark.parametrize("gated", [False, True])
def test_an_activation_in_place_is_no_residual(gated: bool) -> None:
    def way(model: Stack, x: torch.Tensor) -> torch.Tensor:
        for layer in model.layers:  # type: ignore[union-attr]
            x = layer(x)
            x.relu_()
            if gated:
                x.mul_(x.sigmoid())
        return x

    count = (
        2 if gated else 3
    )  # the last one's stream is read (by the sigmoid) before it, with nothing of its kind after
    assert roles(weigh(Stack(way)))[:count] == ["block"] * count


# Deep supervision: all outputs are collected.


@pytest.mark.parametrize("first", [False, True])
def test_where_a_chain_and_a_sum_of_outputs_both_fit_the_role_is_asked_for(first: bool) -> None:
    def way(model: Stack, x: torch.Tensor) -> torch.Tensor:
        outputs = [x] if first else []
        for layer in model.layers:  # type: ignore[union-attr]
            x = layer(x)
            outputs.append(x)
        return torch.stack(outputs).sum(0)

    assert "branch" not in roles(weigh(Stack(way)))
    deeper = weigh(Stack(way, lambda: nn.Sequential(linear(), nn.Tanh(), linear())))
    assert anatomy_of(deeper, X).verdict("layers.2.2").role != "branch"


# What a layer leaves behind without returning it.


class Auxiliary(nn.Module):
    """Leaves a tensor in an attribute, and one in a dictionary that all layers share."""

    def __init__(self, shared: dict[str, torch.Tensor] | None = None) -> None:
        super().__init__()
        self.inner, self.shared = linear(), [shared]
        self.aux = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.inner(x)
        self.aux = y.pow(2).mean()
        shared = self.shared[0]
        if shared is not None:
            y = y + shared.setdefault("bias", x.mean(0))
        return y


@pytest.mark.parametrize("as_", [None, "identity"])
def test_what_later_code_reads_off_a_layer_is_not_lost(as_: str | None) -> None:
    def way(model: Stack, x: torch.Tensor) -> torch.Tensor:
        for layer in model.layers:  # type: ignore[union-attr]
            x = layer(x)
        return x * sum(layer.aux for layer in model.layers)  # type: ignore[union-attr]

    with pytest.raises(RoleError) as error:
        bypass(weigh(Stack(way, Auxiliary)), "layers.1", inputs=X, as_=as_)
    assert str(error.value) == (
        '"layers.1" leaves something that later layers read (a scalar); bypassing it would lose it. Keep it.'
    )


def test_what_a_layer_puts_into_a_shared_dictionary_is_not_lost() -> None:
    shared: dict[str, torch.Tensor] = {}
    model = weigh(nn.Sequential(*(Auxiliary(shared) for _ in range(3))))
    anatomy = anatomy_of(model, X)
    assert [anatomy.verdict(str(number)).role for number in range(3)] == ["unproved", "block", "block"]
