"""The place grammar against its definition, written out naively: what a place means, and what a wrong one is told."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from identikit.errors import PlaceError
from identikit.places import expand, inside, natural_key
from properties import strategies as draw
from properties.outcome import read_or_refused

Tree = dict[str, Any]  # a module's children by name
WORDS = ["encoder", "decoder", "layers", "attention", "output", "dense", "blocks", "norm"]
numbered = st.integers(1, 12).map(lambda count: [str(number) for number in range(count)])
gappy = st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True).map(lambda found: [*map(str, found)])
named = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True)


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> Tree:
    """A tree of modules; the children of a list are alike, as the layers of a stack are."""
    if depth == 0:
        return {}
    names = draw(st.one_of(named, numbered, gappy, st.tuples(named, gappy).map(lambda both: both[0] + both[1])))
    below = draw(st.just({}) | trees(depth - 1))
    return {name: {} if not name.isdecimal() and draw(st.booleans()) else below for name in names}


def paths_of(tree: Tree, outer: str = "") -> list[str]:
    """Every path of the tree, as `named_modules` gives them."""
    found = []
    for name, below in tree.items():
        found += [outer + name, *paths_of(below, f"{outer}{name}.")]
    return found


@st.composite
def components(draw: st.DrawFn, name: str) -> str:
    """What to write in a name's place: itself, a star, or a choice that may hold it."""
    if not name.isdecimal():
        return draw(st.sampled_from([name, name, "*"]))
    bound = st.none() | st.integers(-9, 15)
    first, last = draw(bound), draw(bound)
    span = f"[{'' if first is None else first}:{'' if last is None else last}]"
    single = draw(st.lists(st.integers(-4, 12) | st.just(int(name)), min_size=1, max_size=3))
    return draw(st.sampled_from([name, "*", span, f"[{','.join(map(str, single))}]"]))


@st.composite
def written(draw: st.DrawFn, tree: Tree) -> str:
    """A place that is near one of the tree's."""
    path = draw(st.sampled_from(paths_of(tree)))
    return ".".join(draw(components(name)) for name in path.split("."))


def meaning(place: str, tree: Tree) -> tuple[list[str], bool]:
    """The paths that `place` means, from the definition; and whether it counts back past some module's first child."""
    here, past = [("", tree)], False
    for component in place.split("."):
        found = []
        for outer, below in here:
            numbers = sorted(int(name) for name in below if name.isdecimal())
            wanted: list[int] = []
            if component.startswith("[") and ":" in component:
                first, last = (int(text) if text else None for text in component[1:-1].split(":"))
                wanted = numbers[first:last]
            elif component.startswith("["):
                asked = [int(text) for text in component[1:-1].split(",")]
                past = past or any(number < -len(numbers) for number in asked)
                wanted = [numbers[number] if -len(numbers) <= number < 0 else number for number in asked]
            for name, inner in below.items():
                if component in ("*", name) or (name.isdecimal() and int(name) in wanted):
                    found.append((f"{outer}{name}.", inner))
        here = found
    return [outer.removesuffix(".") for outer, _ in here], past


@given(st.data(), st.randoms())
@settings(max_examples=300)
def test_a_place_means_what_the_definition_says(data: st.DataObject, chance: random.Random) -> None:
    tree = data.draw(trees())
    paths = paths_of(tree)
    place = data.draw(written(tree))
    wanted, past = meaning(place, tree)
    chance.shuffle(paths)
    found = read_or_refused(lambda: expand(place, paths), PlaceError)
    if found is None:
        assert past or not wanted
        return
    assert sorted(found) == sorted(wanted)
    assert len(set(found)) == len(found)
    assert found == sorted(found, key=natural_key)


def misspellings(word: str) -> list[str]:
    """One letter gone, doubled, exchanged with the next, or another one."""
    found = []
    for at in range(len(word)):
        found += [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word[:at] + "x" + word[at + 1 :]]
        found.append(word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :])
    return [each for each in found if each != word]


@given(st.data())
@settings(max_examples=200)
def test_a_misspelt_place_is_told_one_that_exists(data: st.DataObject) -> None:
    tree = data.draw(trees())
    paths = paths_of(tree)
    parts = data.draw(written(tree).filter(lambda place: meaning(place, tree)[0] and not meaning(place, tree)[1]))
    parts = parts.split(".")
    words = [at for at, part in enumerate(parts) if part in WORDS]
    assume(words)
    at = data.draw(st.sampled_from(words))
    parts[at] = data.draw(st.sampled_from(misspellings(parts[at])))
    place = ".".join(parts)
    assume(not meaning(place, tree)[0])
    with pytest.raises(PlaceError) as caught:
        expand(place, paths)
    told = re.search(r'Did you mean "(.*)"\?$', str(caught.value))
    assert told is not None, str(caught.value)
    assert expand(told[1], paths)


@given(st.data())
def test_a_number_that_is_not_there_is_told_those_that_are(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=20, unique=True).map(sorted))
    wrong = data.draw(st.integers(0, 60).filter(lambda number: number not in numbers))
    outer = data.draw(st.sampled_from(["", "layers.", "model.layers."]))
    known = [outer.split(".")[0], outer.removesuffix(".")] if outer else []
    with pytest.raises(PlaceError) as caught:
        expand(f"{outer}{wrong}", [*dict.fromkeys(known), *(f"{outer}{number}" for number in numbers)])
    said = str(caught.value).split(" has the ")[1]
    told = re.fullmatch(r"layers? (?:(\d+) to (\d+)|([\d, ]+)(?: and \d+ more, up to (\d+))?)\.", said)
    assert told is not None, said
    if told[1] is not None:
        assert list(range(int(told[1]), int(told[2]) + 1)) == numbers  # a range holds no number that is not there
    else:
        listed = [int(number) for number in told[3].split(", ")]
        assert listed == numbers[: len(listed)]
        assert int(told[4] or listed[-1]) == numbers[-1]


@given(st.text("-0123456789:,[]*_+ a", max_size=8))
@settings(max_examples=200)
def test_any_choice_is_read_or_refused(inner: str) -> None:
    paths = ["layers", *(f"layers.{number}" for number in range(12))]
    found = read_or_refused(lambda: expand(f"layers.[{inner}]", paths), PlaceError)
    assert found is None or set(found) <= set(paths)


@given(st.lists(draw.PLACES, max_size=8), st.randoms())
def test_natural_order_is_one_order(paths: list[str], chance: random.Random) -> None:
    ordered = sorted(paths, key=natural_key)
    chance.shuffle(paths)
    assert sorted(paths, key=natural_key) == ordered
    for one, other in pairwise(ordered):
        assert (natural_key(one) == natural_key(other)) == (one == other)
        assert not inside(one, other)  # what lies inside comes after


@given(st.lists(st.integers(0, 10**30), max_size=8), draw.PLACES, draw.PLACES)
def test_numbers_are_ordered_as_numbers(numbers: list[int], before: str, after: str) -> None:
    named = [f"{before}.{number}.{after}" for number in numbers]
    assert sorted(named, key=natural_key) == [f"{before}.{number}.{after}" for number in sorted(numbers)]
