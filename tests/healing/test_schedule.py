"""How the rate rises and falls, and when the held-out part is looked at."""

from __future__ import annotations

import pytest

from identikit.healing.schedule import LAST, WARM_UP, Budget, pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_rises_then_falls() -> None:
    shares = [step / 1000 for step in range(1001)]
    paces = [pace(share) for share in shares]
    top = int(WARM_UP * 1000)
    assert paces[0] == LAST
    assert paces[top] == 1
    assert paces[:top] == sorted(paces[:top])
    assert paces[top:] == sorted(paces[top:], reverse=True)
    assert paces[-1] == pytest.approx(LAST)
    assert pace(2.0) == pytest.approx(LAST)


def test_steps_alone() -> None:
    clock = Clock()
    budget = Budget(None, 40, clock=clock)
    clock.now = 1e9
    assert [budget.share(step) for step in (0, 10, 40)] == [0, 0.25, 1]
    budget.looked(1e9)
    assert budget.next_look(0.5) == pytest.approx(0.55)


def test_time_with_two_looks_kept_for_the_end() -> None:
    clock = Clock()
    budget = Budget(100.0, None, spent=20.0, clock=clock)
    assert budget.share(5) == pytest.approx(0.2)
    clock.now += 20
    budget.looked(10.0)
    assert budget.elapsed == 40
    assert budget.share(5) == pytest.approx(0.5)
    assert budget.next_look(0.5) == pytest.approx(1.5)  # a look that takes a tenth of the time is not repeated


def test_whichever_is_reached_first() -> None:
    clock = Clock()
    budget = Budget(100.0, 10, clock=clock)
    assert budget.share(9) == 0.9
    clock.now += 95
    assert budget.share(9) == pytest.approx(0.95)
