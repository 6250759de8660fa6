"""Golden files: what a painter drew last time. `IDENTIKIT_GOLDEN=write pytest tests/reporting` draws them anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """`golden(name, text)`: the text is what the file of that name holds."""

    def check(name: str, text: str) -> None:
        path = FOLDER / name
        if os.environ.get("IDENTIKIT_GOLDEN") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check
