"""The place grammar: what a place means, and what a place that means nothing is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identikit.errors import PlaceError
from identikit.places import expand, inside, natural_key

PATHS = ["model", "model.norm", "model.layers"]
for _number in range(12):
    PATHS += [f"model.layers.{_number}", f"model.layers.{_number}.mlp", f"model.layers.{_number}.attn"]


def numbers(place: str) -> list[int]:
    return [int(path.split(".")[2]) for path in expand(place, PATHS)]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("model.layers.3", [3]),
        ("model.layers.*", list(range(12))),
        ("model.layers.[4:6]", [4, 5]),
        ("model.layers.[:2]", [0, 1]),
        ("model.layers.[-2:]", [10, 11]),
        ("model.layers.[:]", list(range(12))),
        ("model.layers.[10:99]", [10, 11]),
        ("model.layers.[1,4]", [1, 4]),
        ("model.layers.[4,1,4]", [1, 4]),
        ("model.layers.[-1]", [11]),
        ("model.layers.[0,-1]", [0, 11]),
        ("*.layers.[2:4].mlp", [2, 3]),
        ("model.layers.*.attn", list(range(12))),
    ],
)
def test_what_a_place_means(place: str, expected: list[int]) -> None:
    assert numbers(place) == expected


def test_a_star_is_one_component() -> None:
    assert "model.layers.0.mlp" not in expand("model.layers.*", PATHS)
    assert expand("*", PATHS) == ["model"]


def test_natural_order() -> None:
    assert sorted(["a.10", "a.9", "a.b", "a.2.x"], key=natural_key) == ["a.2.x", "a.9", "a.10", "a.b"]
    assert inside("a.1.b", "a.1")
    assert not inside("a.10", "a.1")
    assert not inside("a.1", "a.1")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("model.layer.3", 'no layer "model.layer.3" in Llama. Did you mean "model.layers.3"?'),
        ("model.layers.12", 'no layer "model.layers.12" in Llama. "model.layers" has the layers 0 to 11.'),
        ("model.layers.-1", 'no layer "model.layers.-1" in Llama. Did you mean "model.layers.[-1]"?'),
        ("layers.3.mlp", 'no layer "layers.3.mlp" in Llama. Did you mean "model.layers.3.mlp"?'),
        ("model.layer.[1:3]", 'no layer "model.layer.[1:3]" in Llama. Did you mean "model.layers.[1:3]"?'),
        ("model.layers.*.mpl", 'no layer "model.layers.*.mpl" in Llama. Did you mean "model.layers.*.mlp"?'),
        ("model.layers.[20:30]", 'no layer "model.layers.[20:30]" in Llama. "model.layers" has the layers 0 to 11.'),
        ("model.layers.[20]", 'no layer "model.layers.[20]" in Llama. "model.layers" has the layers 0 to 11.'),
        ("zzz", 'no layer "zzz" in Llama.'),
    ],
)
def test_a_place_that_means_nothing_names_the_nearest(place: str, message: str) -> None:
    with pytest.raises(PlaceError) as error:
        expand(place, PATHS, model="Llama")
    assert str(error.value) == message


@pytest.mark.parametrize("place", ["model.layers.[a]", "model.layers.[1;2]", "model.layers.[]", "model.layers.[-99]"])
def test_a_choice_that_cannot_be_read(place: str) -> None:
    with pytest.raises(PlaceError) as error:
        expand(place, PATHS)
    choice = place.rpartition(".")[2]
    assert str(error.value) == (
        f'cannot read "{choice}": write [2:5] for a range or [1,4] for single numbers; '
        '"model.layers" has 12 numbered children.'
    )


@pytest.mark.parametrize("place", ["", ".", "a.", ".a", "a..b", "a/b", "../a", "a b", "a\tb", "x" * 1001, 3, None])
def test_what_is_no_path(place: object) -> None:
    with pytest.raises(PlaceError) as error:
        expand(place, PATHS)  # type: ignore[arg-type]
    assert str(error.value).startswith("a place is a dotted path such as 'encoder.layer.2'; found ")
    assert len(str(error.value)) < 150


@given(st.integers(-15, 15), st.integers(-15, 15))
def test_a_range_is_pythons(first: int, last: int) -> None:
    wanted = list(range(12))[first:last]
    if wanted:
        assert numbers(f"model.layers.[{first}:{last}]") == wanted
    else:
        with pytest.raises(PlaceError):
            numbers(f"model.layers.[{first}:{last}]")


@given(st.text(max_size=30))
def test_any_text_is_a_place_or_a_place_error(place: str) -> None:
    try:
        found = expand(place, PATHS)
    except PlaceError as error:
        found = [str(error)]
    assert found
    assert "\n" not in "".join(found)
