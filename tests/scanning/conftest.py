"""The small model and its data, for every test of this folder."""

from __future__ import annotations

from typing import Any

import pytest

import small_net


@pytest.fixture
def net() -> Any:
    return small_net.made()


@pytest.fixture
def data() -> Any:
    return small_net.batches()
