"""Containers and parents of every habit: skips, layers picked by number, loops over a configured depth, tuples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import anatomy_of
from identikit.families.sites import sites
from identikit.surgery.apply import bypass, only
from identikit.surgery.carried import carried
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import case, weigh

X = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))


class ByNumber(nn.Module):
    """A parent that names its layers' numbers in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[3](self.layers[2](self.layers[1](self.layers[0](x))))


def test_a_parent_that_picks_its_layers_by_number_gets_a_stand_in() -> None:
    model = weigh(ByNumber())
    expected = model.layers[3](model.layers[1](model.layers[0](X)))
    removed = remove(model, "layers.2", inputs=X)
    assert torch.equal(removed(X), expected)
    assert [type(layer).__name__ for layer in model.layers] == ["Linear", "Linear", "Absent", "Linear"]
    assert not list(model.layers[2].parameters())
    assert carried(model).first_path("layers.3") == "layers.3"  # type: ignore[union-attr]
    remove(model, "layers.3", inputs=X)
    assert carried(model).plan.places == ("layers.2", "layers.3")  # type: ignore[union-attr]


class Looping(nn.Module):
    """`for i in range(config.n)`: the depth is told twice."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = SimpleNamespace(n=4)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(self.settings.n):
            x = self.layers[number](x)
        return x


def test_a_loop_over_a_configured_depth_gets_a_stand_in() -> None:
    model = weigh(Looping())
    expected = model.layers[3](model.layers[2](model.layers[1](X)))
    assert torch.equal(remove(model, "layers.0", inputs=X)(X), expected)
    assert len(model.layers) == 4


def test_a_parent_that_takes_no_other_class_is_a_refusal_and_the_model_is_put_back() -> None:
    class Strict(Looping):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = sum(isinstance(layer, nn.Linear) for layer in self.layers)
            if found != self.settings.n:
                raise ValueError(f"{found} layers where {self.settings.n} should be")
            return super().forward(x)

    model = weigh(Strict())
    before, expected = Snapshot(model), model(X)
    with pytest.raises(RoleError) as error:
        remove(model, "layers.1", inputs=X)
    assert str(error.value) == (
        "Strict without layers.1 does not compute what it does while they are bypassed (3 layers where 4 should be); "
        'it was left as it was. Use ik.bypass, or save the plan (format="plan").'
    )
    assert before.changes(model) == []
    assert torch.equal(model(X), expected)


class Scaled(nn.Module):
    """Every second layer's output is scaled a little, by its place in the row: within what 16 bits may differ."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16)) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x)
            x.mul_((1.0, 1.008, 1.0, 1.0)[number])
        return x


def test_a_shortened_model_must_give_the_very_bits_else_stand_ins_do() -> None:
    model, x = weigh(Scaled()).bfloat16(), X.bfloat16()
    with bypass(model, "layers.3", inputs=x), torch.no_grad():
        last = model(x)
    assert torch.equal(remove(model, "layers.3", inputs=x)(x), last)
    assert len(model.layers) == 3
    with bypass(model, "layers.0", inputs=x), torch.no_grad():
        first = model(x)
    assert torch.equal(remove(model, "layers.0", inputs=x)(x), first)
    assert [type(layer).__name__ for layer in model.layers] == ["Absent", "Sequential", "Sequential"]


def test_a_loop_that_stops_early_is_not_mistaken_for_a_shortened_stack() -> None:
    """`self.layers[:3]` takes another layer in when one is gone: the comparison sees it."""

    class Three(ByNumber):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers[:3]:
                x = layer(x)
            return x

    model = weigh(Three())
    expected = model.layers[2](model.layers[0](X))
    assert torch.equal(remove(model, "layers.1", inputs=X)(X), expected)


def test_the_children_of_a_sequential_that_keep_the_shape_are_blocks() -> None:
    model = weigh(nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 4)))
    found = sites(model, X)
    assert {site.path: site.ok for site in found} == {"0": False, "1": True, "3": True, "4": False}
    expected = model[4](model[3](torch.relu(model[0](X))))
    assert torch.equal(remove(model, "1", inputs=X)(X), expected)
    assert len(model) == 4


def test_the_skips_of_a_u_net_forbid_its_ways_down_and_up() -> None:
    entry = case("unet")
    model = entry.build()
    batch = entry.inputs(model)
    for place in ("down.0", "down.1", "up.0", "up.1"):
        with pytest.raises(RoleError):
            bypass(model, place, inputs=batch)
    assert anatomy_of(model, batch).blocks() == ["middle.0", "middle.1", "middle.2"]


def test_skips_of_equal_shape_forbid_what_they_go_around() -> None:
    """The first way down has nothing around it, and the ways up hand the stream on without the skip."""

    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
            self.up = nn.ModuleList(nn.Bilinear(16, 16, 16) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept = []
            for down in self.down:
                x = down(x)
                kept.append(x)
            for up in self.up:
                x = up(x, kept.pop())
            return x

    model = weigh(Skips())
    found = {site.path: site.ok for site in sites(model, X, at="*.*")}
    assert found == {"down.0": True, "down.1": False, "up.0": True, "up.1": True}


def test_a_block_of_another_shape_in_the_middle_is_refused_alone() -> None:
    model = weigh(nn.Sequential(*(nn.Linear(16, 16) for _ in range(2)), nn.Linear(16, 8), nn.Linear(8, 8)))
    with pytest.raises(RoleError) as error:
        bypass(model, "*", inputs=X)
    assert str(error.value) == (
        '"2" takes 2x16 and returns 2x8: no input has its output\'s shape. Keep it, bypass "[0,1,3]", '
        'or replace it: as_="adapter" with data=[...].'
    )
    with bypass(model, "[0,1,3]", inputs=X):
        assert torch.equal(model(X), model[2](X))


class Two(nn.Module):
    """Two streams, crossing in every block."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, text: torch.Tensor, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return text + self.left(image), image + self.right(text)


class TwoStreams(nn.Module):
    """Blocks with two streams of equal shape."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Two() for _ in range(3))

    def forward(self, text: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            text, image = block(text, image)
        return torch.cat([text, image], dim=-1)


def test_two_streams_of_equal_shape_do_not_cross() -> None:
    model = weigh(TwoStreams())
    inputs = (X, X.flip(0))
    first, _, last = model.blocks
    text, image = last(*first(*inputs))
    with bypass(model, "blocks.1", inputs=inputs):
        assert torch.equal(model(*inputs), torch.cat([text, image], dim=-1))
    for place in ("blocks.0", "blocks.2"):
        with bypass(model, place, inputs=inputs):
            pass


def test_only_keeps_one_layer_of_its_stack() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    with only(model, "model.layers.2", inputs=batch) as handle:
        assert handle.plan.places == ("model.layers.0", "model.layers.1", "model.layers.3")
    with pytest.raises(RoleError) as error:
        only(model, "lm_head", inputs=batch)
    assert str(error.value).endswith("so there is no rest to put out of action.")


def test_a_layer_used_twice_goes_from_both_places() -> None:
    entry = case("shared")
    model = entry.build()
    batch = entry.inputs(model)
    one, three = model.layers[1], model.layers[3]
    expected = model.head(three(one(batch.args[0])))
    for place in ("layers.0", "layers.2", "layers.[0,2]"):
        with bypass(model, place, inputs=batch) as handle:
            assert handle.calls == {"layers.0": 2}
            assert torch.equal(model(*batch.args), expected)
    plan = handle.plan
    assert torch.equal(remove(model, "layers.2", inputs=batch)(*batch.args), expected)
    assert len(model.layers) == 2
    assert carried(model).plan.places == ("layers.0", "layers.2")  # type: ignore[union-attr]
    again = entry.build()
    assert torch.equal(remove(again, carried(model).plan, inputs=batch)(*batch.args), expected)  # type: ignore[union-attr]
    assert plan.places == ("layers.0",)


def test_on_the_meta_device_the_chain_still_speaks_and_the_rest_is_not_confirmed() -> None:
    entry = case("tuples")
    model = entry.build()
    batch = entry.inputs(model)
    model.to("meta")
    anatomy = anatomy_of(model, batch)
    assert anatomy.blocks() == [f"blocks.{number}" for number in range(4)]
    verdict = anatomy.verdict("blocks.1.down")
    assert verdict.role == "unproved"
    assert verdict.why == '"blocks.1.down" is not confirmed: on the meta device nothing can be perturbed.'
    with bypass(model, "blocks.1", inputs=batch) as handle:
        assert handle.calls == {"blocks.1": 1}
