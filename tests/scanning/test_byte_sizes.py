"""Sizes in bytes as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from identikit.errors import MetricError
from identikit.scanning.byte_sizes import bytes_of


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
