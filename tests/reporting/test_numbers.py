"""How numbers and names are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identikit.places import expand
from identikit.reporting import numbers


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (numbers.score(0.86721), "0.8672"),
        (numbers.score(1.0), "1.000"),
        (numbers.score(86.721), "86.72"),
        (numbers.score(0.0), "0.000"),
        (numbers.score(-3.2), "-3.200"),
        (numbers.score(123456.789), "123,457"),
        (numbers.score(1.5e9), "1.50e+09"),
        (numbers.score(1e-9), "0.000000"),
        (numbers.fixed(-0.00004, 2, sign=True), "0.00"),
        (numbers.fixed(0.25, 1, sign=True), "+0.2"),
        (numbers.fixed(-2.5e12, 1, sign=True), "-2.50e+12"),
        (numbers.count(0), "0"),
        (numbers.count(384), "384"),
        (numbers.count(1_774_464), "1.77 M"),
        (numbers.count(22_713_216), "22.7 M"),
        (numbers.count(999_999), "1.00 M"),
        (numbers.count(7_241_732_096), "7.24 G"),
        (numbers.size(512), "512 B"),
        (numbers.size(90_868_376), "90.9 MB"),
        (numbers.seconds(0.0), "0.00 us"),
        (numbers.seconds(0.00084), "840 us"),
        (numbers.seconds(0.0123), "12.3 ms"),
        (numbers.seconds(0.9999), "1.00 s"),
        (numbers.seconds(1.239), "1.24 s"),
        (numbers.seconds(125.0), "2 min 5 s"),
        (numbers.percent(0.15312), "15.3 %"),
        (numbers.percent(1.0), "100.0 %"),
        (numbers.change(22_713_216, 19_164_288), "-15.6 %"),
        (numbers.change(0, 5), ""),
        (numbers.plural(1, "layer"), "1 layer"),
        (numbers.plural(1200, "layer"), "1,200 layers"),
        (numbers.shorten("encoder.layer.0", 8), "…layer.0"),
        (numbers.shorten("abc", 3), "abc"),
        (numbers.clean("a\x1b[31m\nb\u202e"), "a\ufffd[31m b\ufffd"),
        (numbers.grouped([]), ""),
        (numbers.grouped(["e.2"]), "e.2"),
        (numbers.grouped(["e.10", "e.2", "d.1.x", "d.1.y"]), "d.1.x d.1.y e.[2,10]"),
        (numbers.grouped(["1", "0"]), "[0,1]"),
        (numbers.grouped([f"e.{number}" for number in range(4, 12)]), "e.[4:12]"),
        (numbers.grouped(["e.1", "e.2", "e.3"]), "e.[1,2,3]"),
        (numbers.grouped(["e.1", "e.2", "e.3", "e.4", "e.6"]), "e.[1,2,3,4,6]"),
        (numbers.grouped(["e.01", "e.02", "e.03", "e.04"]), "e.[01,02,03,04]"),
        (numbers.fold("a.[1,2,3]", 5), "a.[1,\n2,3]"),
    ],
)
def test_written(written: str, text: str) -> None:
    assert written == text


def test_decimals_follow_the_errors() -> None:
    assert numbers.decimals_of([0.05, 0.18], [0.0035, 0.0114]) == 3
    assert numbers.decimals_of([0.05, 0.18], [0.0035]) == 4
    assert numbers.decimals_of([1200.0, 0.01, 0.03], [105.0, 0.04, 0.02]) == 3
    assert numbers.decimals_of([0.05, 0.18], []) == 3
    assert numbers.decimals_of([0.05], [1e-12]) == 6
    assert numbers.decimals_of([], []) == 2
    assert numbers.decimals_here(1200.2, 105.0, 3) == 0
    assert numbers.decimals_here(-0.01, 0.04, 3) == 3


def test_aligned() -> None:
    assert numbers.aligned(["+1,200", "-0.011", "0"]) == ["+1,200    ", "    -0.011", "     0    "]
    assert numbers.aligned([]) == []


@given(st.floats(-1e17, 1e17), st.booleans())
def test_any_number_is_short(value: float, sign: bool) -> None:
    texts = ((value, numbers.score(value)), (value, numbers.fixed(value, 4, sign=sign)))
    for number, text in (*texts, (abs(value), numbers.count(abs(value)))):
        assert float(text.replace(",", "").split()[0]) == pytest.approx(number, rel=0.1, abs=1e-3) or " " in text
    assert len(numbers.fixed(value, 4, sign=sign)) <= 13


@given(st.sets(st.integers(0, 30), min_size=1))
def test_grouped_places_can_be_typed_again(chosen: set[int]) -> None:
    paths = [f"model.layers.{number}" for number in range(31)]
    places = [f"model.layers.{number}" for number in sorted(chosen)]
    assert expand(numbers.grouped(places), paths) == places
