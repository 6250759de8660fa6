"""Layer numbers: found by what they count, exchanged within a kind, put back bit for bit."""

from __future__ import annotations

from torch import nn

from identikit.surgery.renumber import closed_up, layer_numbers, live_first, renumber
from laws.snapshot import Snapshot
from zoo import case


def test_the_live_layers_take_the_lowest_numbers() -> None:
    assert live_first([None] * 4, [0]) == {1: 0, 2: 1, 3: 2, 0: 3}
    assert live_first([None] * 4, [1, 2]) == {0: 0, 3: 1, 1: 2, 2: 3}
    assert closed_up(5, [0, 3]) == {1: 0, 2: 1, 4: 2}


def test_numbers_are_exchanged_only_within_a_kind() -> None:
    """A cache has a place of that kind at that number: sliding layers stay at 0 and 2, full ones at 1 and 3."""
    assert live_first(["sliding", "full", "sliding", "full"], [0]) == {2: 0, 0: 2, 1: 1, 3: 3}


def test_numbers_are_found_by_what_they_count() -> None:
    class Layer(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.attention = nn.Linear(2, 2)
            self.attention.layer_idx = number
            self.width, self.last, self.flag = 2, number == 2, True

    stack = nn.ModuleList(Layer(number) for number in range(3))
    assert {(attribute, layer) for _, attribute, layer in layer_numbers(stack)} == {("layer_idx", n) for n in range(3)}
    before = Snapshot(stack)
    undo = renumber(stack, {0: 2, 1: 0, 2: 1})
    assert [layer.attention.layer_idx for layer in stack] == [2, 0, 1]
    undo()
    assert before.changes(stack) == []


def test_a_llama_counts_its_layers_and_a_bert_need_not() -> None:
    stack = case("llama").build().model.layers
    assert {attribute for _, attribute, _ in layer_numbers(stack)} == {"layer_idx"}
    assert layer_numbers(nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])) == []
