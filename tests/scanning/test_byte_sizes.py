"""Sizes in bytes as people write them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from identikit.errors import MetricError
from identikit.scanning.byte_sizes import bytes_of, size_text


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (5, 5),
        ("5", 5),
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512 mb", 512 * 10**6),
        ("1kB", 1000),
        (None, None),
    ],
)
def test_sizes(size: Any, count: int | None) -> None:
    assert bytes_of(size) == count


@pytest.mark.parametrize("size", [0, -1, True, "", "GB", "2 horses", "-2GB", "0.1", 2.5, "1e9"])
def test_what_is_none(size: Any) -> None:
    with pytest.raises(
        MetricError, match=r"batch_memory \(--batch-memory\)=.* is no size in bytes\. Write a number, or"
    ):
        bytes_of(size)


@pytest.mark.parametrize(
    ("count", "digits", "text"),
    [
        (1, 15, "1B"), (999, 15, "999B"), (400_000_000, 15, "400MB"), (123_456_789, 15, "123.456789MB"),
        (12_345, 3, "12.4kB"), (999_999, 3, "1000kB"), (7_240_000_000, 3, "7.24GB"), (5 * 10**16, 3, "50000TB"),
    ],
)  # fmt: skip
def test_a_size_as_text(count: int, digits: int, text: str) -> None:
    """It is read again as at least as much, so that it can be named as what is enough."""
    assert size_text(count, digits=digits) == text
    assert (bytes_of(text) or 0) >= count


def test_a_size_as_text_is_read_again_exactly() -> None:
    draw = random.Random(0)
    for count in [draw.randrange(1, 10 ** draw.randrange(1, 14)) for _ in range(2000)]:
        assert bytes_of(size_text(count)) == count
        assert count <= (bytes_of(size_text(count, digits=3)) or 0) <= 1.01 * count
