"""What making up for layers came to, as data: read back equal, damaged refused, said in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from identikit.errors import ResultError
from identikit.results import Score
from identikit.results.compensated import Compensated, Filled

SCORES = {"kl": Score(0.0, 0.1, 0.1, 0.05, 0.15)}
DONE = Compensated(
    "fold",
    (Filled(("a.1", "a.2"), "a.0", 0.5, 0.25), Filled(("a.4",), None, why="no layer stands before it")),
    SCORES,
    statistics=True,
    kept=0.9,
)


def test_round_trip() -> None:
    assert Compensated.from_json(DONE.to_json(), "it") == DONE
    assert DONE.filled == 1


def test_sentences() -> None:
    assert DONE.sentences() == (
        '"a.1" and "a.2": folded into "a.0" (of the stream\'s spread 25.0 % differ, 50.0 % before).',
        '"a.4": not made up for, as no layer stands before it.',
        "The running statistics of batch norms were moved by what the removal changed.",
    )
    adapters = Compensated("adapter", (Filled(("a.1",), "a.1", 0.5, 0.25),), SCORES)
    assert adapters.sentences()[0].startswith('"a.1": made up for by a linear adapter (of the')


def test_why_nothing_was_tried_is_said_and_that_what_was_tried_did_not_help() -> None:
    nothing = Compensated("fold", DONE.gaps[1:], SCORES, helps=False)
    assert nothing.sentences() == ('"a.4": not made up for, as no layer stands before it.',)
    tried = Compensated("fold", (Filled(("a.1",), "a.0", 0.5, 0.6, "it does not help on other batches"),), helps=False)
    assert tried.sentences() == ("Compensating (fold) was tried and left: on other examples it does not help.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"form": "magic"}, r'it: "form" is "magic"; there are fold, adapter\.'),
        ({"extra": 1}, r"it has the unknown key 'extra'\."),
        ({"helps": 1}, r'it: "helps" must be true or false'),
        ({"gaps": [{}]}, r'it, a gap lacks the key "gone"'),
        ({"parameters": -1}, r'"parameters" must be a whole number from 0 on'),
    ],
)
def test_damage_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ResultError, match=said):
        Compensated.from_json({**DONE.to_json(), **change}, "it")
