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


def test_one_number_written_in_two_ways_is_two_places_in_one_order() -> None:
    assert natural_key("a.01") != natural_key("a.1")
    assert sorted(["a.2", "a.1", "a.01"], key=natural_key) == sorted(["a.01", "a.1", "a.2"], key=natural_key)


def test_a_choice_is_worked_out_once_for_each_parent() -> None:
    """Quadratic in the paths this takes minutes."""
    experts = [f"layers.{layer}.experts.{expert}" for layer in range(40) for expert in range(128)]
    paths = [*experts, *(f"{expert}.{part}" for expert in experts for part in ("up", "down"))]
    assert len(expand("layers.[0:20].experts.[:64].up", paths)) == 20 * 64


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
        (
            "zzz",
            'no layer "zzz" in Llama. At its top: "model". List its layers: ik.sites(model), or identikit sites MODEL.',
        ),
        ("model.layers.3.attn.7", 'no layer "model.layers.3.attn.7" in Llama. Did you mean "model.layers.3.attn"?'),
    ],
)
def test_a_place_that_means_nothing_names_the_nearest(place: str, message: str) -> None:
    with pytest.raises(PlaceError) as error:
        expand(place, PATHS, model="Llama")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([0, 1, 2], '"the model" has the layers 0 to 2.'),
        ([3], '"the model" has the layer 3.'),
        ([0, 2, 5], '"the model" has the layers 0, 2, 5.'),
        (
            [*range(0, 60, 2)],
            '"the model" has the layers 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 18 more, up to 58.',
        ),
    ],
)
def test_only_layers_that_are_there_are_named(numbers: list[int], said: str) -> None:
    with pytest.raises(PlaceError) as error:
        expand("99", map(str, numbers))
    assert str(error.value) == f'no layer "99" in this model. {said}'


def test_where_nothing_is_near_the_message_says_where_to_look() -> None:
    for paths, said in (
        (["", *"pqrstu", "p.x"], 'At its top: "p", "q", "r", "s" and 2 more. List its layers: ik.sites(model), or '),
        ([""], "It has no layers."),
    ):
        with pytest.raises(PlaceError) as error:
            expand("encoder.layer.9", paths, model="Net")
        assert str(error.value).startswith(f'no layer "encoder.layer.9" in Net. {said}')


CHOICES = ["[a]", "[1;2]", "[]", "[-99]", "[-:3]", "[:-]", "[1_0]", "[+1]", "[--1]", "[1,]"]


@pytest.mark.parametrize("place", [f"model.layers.{choice}" for choice in CHOICES])
def test_a_choice_that_cannot_be_read(place: str) -> None:
    with pytest.raises(PlaceError) as error:
        expand(place, PATHS)
    choice = place.rpartition(".")[2]
    assert str(error.value) == (
        f'cannot read "{choice}": write [2:5] for a range or [1,4] for single numbers; '
        '"model.layers" has 12 numbered children.'
    )


@pytest.mark.parametrize(
    "place", ["", ".", "a.", ".a", "a..b", "a/b", "../a", "a b", "a\tb", "a\x9b", "a\ud800", "x" * 1001, 3, None]
)
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
