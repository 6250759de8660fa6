"""The names that a backbone has for its layers, and which of them it hands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

OUT = ("_out_indices", "_out_features")


def renamed_stages(config: Any, keep: Sequence[int], depth: int) -> Iterator[tuple[str, Any]]:
    """New values for `stage_names` (the stem's and one for each layer) and for the stages that are handed out.

    Stage k is what k layers have made of the input: it becomes the stage of those of them that are kept.
    """
    names = vars(config).get("stage_names")
    if not isinstance(names, list) or len(names) != depth + 1:
        return
    yield "stage_names", names[: len(keep) + 1]
    indices = vars(config).get("_out_indices")
    if indices:
        stages = sorted({sum(old < index % (depth + 1) for old in keep) for index in indices})
        yield "_out_indices", stages
        if vars(config).get("_out_features"):
            yield "_out_features", [names[stage] for stage in stages]
