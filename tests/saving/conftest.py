"""What the tests of saving share: tiny models, and a look at everything that lies in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny


@pytest.fixture
def bert() -> Any:
    """A classifier of four layers without its second one."""
    import identikit as ik

    return ik.remove(tiny.model("classifier"), "bert.encoder.layer.1")


@pytest.fixture
def seen(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Every file below the temporary folder, hidden ones too, with its content."""

    def look() -> dict[str, bytes]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        folders = {f"{path.relative_to(tmp_path)}/": b"" for path in tmp_path.rglob("*") if path.is_dir()}
        return folders | {str(path.relative_to(tmp_path)): path.read_bytes() for path in files}

    return look
