"""Facts of a configuration by stage: the layers of each, the names that a backbone has, which of them it hands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

OUT = ("_out_indices", "_out_features")


def renamed_stages(config: Any, keep: Sequence[int], depth: int) -> Iterator[tuple[str, Any]]:
    """New values for `stage_names` (the stem's and one for each layer) and for the stages that are handed out.

    Stage k is what k layers have made of the input: it becomes the stage of those of them that are kept.
    """
    names = vars(config).get("stage_names")
    if not isinstance(names, list) or len(names) != depth + 1:
        return
    names = [*names, *(f"stage{number}" for number in range(depth + 1, len(keep) + 1))][: len(keep) + 1]
    yield "stage_names", names
    indices = vars(config).get("_out_indices")
    if indices:
        stages = sorted({_stage(index % (depth + 1), keep) for index in indices})
        yield "_out_indices", stages
        if vars(config).get("_out_features"):
            yield "_out_features", [names[stage] for stage in stages]


def _stage(index: int, keep: Sequence[int]) -> int:
    """How many layers now stand where `index` did: those in front of the first layer that came behind that stage.

    A layer copied behind itself is in front too; of a span that is repeated, what follows the whole of it.
    """
    return sum(1 for _ in takewhile(lambda old: old < index, keep))


def facts_of_stage(config: Any, keep: Sequence[int], depth: int) -> Iterator[dict[str, Any]]:
    """New values for lists with one entry for each stage, which again has one for each of its `depth` layers.

    (`conv_layer_strides=[[1, 2, 1], [2, 1, 1, 1]]`, and the counts that go with them: `depths=[3, 4]`.) Which stage it
    is stays open where several are as deep; for each of them, all the facts at once.
    """
    lists = {name: value for name, value in vars(config).items() if isinstance(value, (list, tuple))}
    nested = {name: value for name, value in lists.items() if all(isinstance(each, (list, tuple)) for each in value)}
    for stage in range(max((len(value) for value in nested.values()), default=0)):
        facts = {
            name: _with(value, stage, type(value[stage])(value[stage][old] for old in keep))
            for name, value in nested.items()
            if stage < len(value) and len(value[stage]) == depth
        }
        alike = {len(value) for name, value in nested.items() if name in facts}
        counts = {
            name: _with(value, stage, len(keep))
            for name, value in lists.items()
            if len(value) in alike and type(value[stage]) is int and value[stage] == depth
        }
        if facts:
            yield facts | counts


def _with(values: Any, place: int, value: Any) -> Any:
    return type(values)([*values[:place], value, *values[place + 1 :]])
