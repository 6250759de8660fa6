"""Layer numbers: found by what they count, exchanged within a kind, put back bit for bit."""

from __future__ import annotations

from torch import nn

from identikit.surgery.numbers import closed_up, layer_numbers, renumber
from identikit.surgery.renumber import live_first
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
    assert {(one.attribute, one.layer) for one in layer_numbers(stack)} == {("layer_idx", n) for n in range(3)}
    before = Snapshot(stack)
    undo = renumber(stack, {0: 2, 1: 0, 2: 1})
    assert [layer.attention.layer_idx for layer in stack] == [2, 0, 1]
    undo()
    assert before.changes(stack) == []


def test_a_llama_counts_its_layers_and_a_bert_need_not() -> None:
    stack = case("llama").build().model.layers
    assert {one.attribute for one in layer_numbers(stack)} == {"layer_idx"}
    assert layer_numbers(nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])) == []


class Numbers(nn.Module):
    def __init__(self, **numbers: int) -> None:
        super().__init__()
        vars(self).update(numbers)


def test_two_places_a_layer_count_by_two() -> None:
    """LongCat: each layer holds two attentions, and the cache has a place for each."""

    def layer(number: int) -> nn.Module:
        attentions = nn.ModuleList([Numbers(layer_idx=2 * number), Numbers(layer_idx=2 * number + 1)])
        return nn.ModuleDict({"own": Numbers(layer_idx=number), "attentions": attentions})

    stack = nn.ModuleList(layer(number) for number in range(3))
    before = Snapshot(stack)
    undo = renumber(stack, {0: 2, 1: 0, 2: 1})
    assert [[one.layer_idx for one in layer["attentions"]] for layer in stack] == [[4, 5], [0, 1], [2, 3]]
    assert [layer["own"].layer_idx for layer in stack] == [2, 0, 1]
    undo()
    assert before.changes(stack) == []


def test_widths_that_grow_by_a_step_are_no_numbers() -> None:
    stack = nn.ModuleList(nn.ModuleDict({"a": Numbers(width=2 * n), "b": Numbers(width=2 * n + 8)}) for n in range(3))
    assert layer_numbers(stack) == []
    assert layer_numbers(nn.ModuleList(Numbers(width=32 * n + 32) for n in range(3))) == []


def test_the_only_attention_of_a_stack_has_a_number_where_its_name_says_so() -> None:
    stack = nn.ModuleList([Numbers(), Numbers(), Numbers(layer_idx=2, heads=2), Numbers()])
    assert [(one.attribute, one.layer) for one in layer_numbers(stack)] == [("layer_idx", 2)]
    renumber(stack, {0: -1, 1: 0, 2: 1, 3: 2})
    assert stack[2].layer_idx == 1
    assert stack[2].heads == 2
