"""Which layers a scan looks at: whole blocks, the outermost ones; of stages, the blocks in every one of them."""

from __future__ import annotations

import torch
from torch import nn

from identikit.families.anatomy import anatomy_of
from identikit.families.sites import sites
from identikit.structure.stacks import numbered_children, stack_of
from zoo import case, weigh


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.inner(x))


class Stage(nn.Module):
    """A change of width where there is one, then blocks: as ConvNeXt and Swin are written."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.change = nn.Identity() if width_in == width else nn.Linear(width_in, width)
        self.blocks = nn.Sequential(Block(width), Block(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.change(x))


def test_the_blocks_of_stages_are_found_in_every_stage() -> None:
    model = weigh(
        nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8)), Stage(8, 8), Stage(8, 12), Stage(12, 4))
    )
    anatomy = anatomy_of(model, torch.randn(2, 6))
    assert anatomy.blocks() == [f"{stage}.blocks.{number}" for stage in (1, 2, 3) for number in (0, 1)]


def test_stages_that_all_keep_the_shape_are_blocks_themselves() -> None:
    entry = case("nested")
    model = entry.build()
    assert anatomy_of(model, entry.inputs(model)).blocks() == ["stages.0", "stages.1"]


def test_a_refused_layer_of_a_stack_is_not_taken_apart() -> None:
    entry = case("t5")
    model = entry.build()
    blocks = anatomy_of(model, entry.inputs(model)).blocks()
    assert blocks == [f"{half}.block.{number}" for half in ("encoder", "decoder") for number in (1, 2, 3)]
    shown = {site.path: site.verdict for site in sites(model, entry.inputs(model))}
    assert list(shown) == [f"{half}.block.{number}" for half in ("encoder", "decoder") for number in range(4)]
    assert shown["decoder.block.0"] == (
        '"decoder.block.0" makes an output (1x4x7x7) that later layers read; bypassing it would lose it. Keep it.'
    )


def test_a_model_that_is_a_stack_itself() -> None:
    model = weigh(nn.Sequential(Block(4), Block(4)))
    assert anatomy_of(model, torch.randn(2, 4)).blocks() == ["0", "1"]


def test_a_table_of_sites_is_read_by_number_and_by_path() -> None:
    entry = case("llama")
    model = entry.build()
    found = sites(model, entry.inputs(model))
    assert found["model.layers.2"] == found[2]
    assert found[2].kind == "LlamaDecoderLayer"
    assert found[2].parameters == sum(parameter.numel() for parameter in model.model.layers[2].parameters())
    assert repr(found).splitlines()[2].split() == ["model.layers.2", "block", f"{found[2].parameters:,}", "ok"]


def test_names_and_numbers() -> None:
    assert stack_of("a.layers.3") == ("a.layers", 3)
    assert stack_of("3") == ("", 3)
    assert stack_of("a.mlp") is None
    again = nn.Linear(2, 2)
    assert numbered_children(nn.ModuleList([again, again])) == ["0", "1"]
    assert numbered_children(nn.Linear(2, 2)) == []
