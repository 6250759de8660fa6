"""The list of what may stand for a layer, the names that plans know, and the command line's choices are one list."""

from __future__ import annotations

from typing import get_args

import pytest

from identikit.cli.measuring import StandIn
from identikit.plan import GROWING, OPS
from identikit.structure.roles import OP_OF_ROLE
from identikit.surgery.substitutes import SUBSTITUTES

_ABSENCE = set(OP_OF_ROLE.values())


def test_plans_know_each_and_no_other() -> None:
    assert set(SUBSTITUTES) == set(OPS) - set(GROWING) - _ABSENCE


def test_the_command_line_offers_each() -> None:
    assert set(get_args(StandIn)) == _ABSENCE | set(SUBSTITUTES)


@pytest.mark.parametrize("name", sorted(SUBSTITUTES))
def test_no_option_has_two_meanings(name: str) -> None:
    options = SUBSTITUTES[name].options
    said = [*options.words, *options.numbers, *options.tensors, *options.lies]
    assert len(said) == len(set(said))
    assert SUBSTITUTES[name].name == name
