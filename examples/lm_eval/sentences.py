"""The rows of word_order.jsonl, as lm-eval takes them: read from beside this file, nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def rows(**_: Any) -> dict[str, Any]:
    """The one split, "test": rows of `start`, `right` and `wrong`."""
    from datasets import Dataset

    lines = Path(__file__).with_name("word_order.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}
