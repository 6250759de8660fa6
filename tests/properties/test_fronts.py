"""Fronts and rows as JSON: the same after it as before it, and refused or still sound with any one value spoiled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identikit.errors import ResultError
from identikit.results import Front, Row
from properties import strategies as draw
from properties.outcome import read_or_refused


@given(draw.fronts())
@settings(max_examples=60)
def test_a_front_is_the_same_after_json_and_after_a_file(
    tmp_path_factory: pytest.TempPathFactory, front: Front
) -> None:
    text = json.dumps(front.to_json(), allow_nan=False)
    again = Front.from_json(json.loads(text))
    assert again == front
    assert json.dumps(again.to_json()) == text
    path = tmp_path_factory.mktemp("front") / "front.json"
    front.write(path)
    assert Front.read(path) == front


@given(draw.fronts(), st.data())
@settings(max_examples=100)
def test_a_front_with_one_value_spoiled_is_read_or_refused(front: Front, data: st.DataObject) -> None:
    value: Any = data.draw(draw.spoiled(json.loads(json.dumps(front.to_json()))))
    read = read_or_refused(lambda: Front.from_json(value), ResultError)
    if read is not None:
        text = json.dumps(read.to_json(), ensure_ascii=False, allow_nan=False).encode()  # what was read can be written
        assert Front.from_json(json.loads(text)) == read


@given(draw.rows(), st.data())
@settings(max_examples=100)
def test_a_row_with_one_value_spoiled_is_read_or_refused(row: Row, data: st.DataObject) -> None:
    value: Any = data.draw(draw.spoiled(json.loads(json.dumps(row.to_json()))))
    read = read_or_refused(lambda: Row.from_json(value), ResultError)
    if read is not None:
        text = json.dumps(read.to_json(), ensure_ascii=False, allow_nan=False).encode()
        assert Row.from_json(json.loads(text)) == read
