"""A timm model inside a transformers one: the configuration around it holds the arguments that timm is called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from identikit.families import timm_construct, timm_depth
from identikit.families.transformers_config import own_config

ARGUMENTS = "model_args"


def resize_inside(model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
    """Bring the arguments for the timm model around `stack` in step, in the configurations too; returns the undo."""
    parts = stack.split(".")
    around = [model.get_submodule(".".join(parts[:count])) for count in range(len(parts))]
    place = next((place for place, module in enumerate(around) if timm_construct.is_model(module)), None)
    if place is None:
        return lambda: None
    before = timm_construct.recorded(around[place])
    undo = timm_depth.resize(around[place], ".".join(parts[place:]), keep, depth)
    now = timm_construct.recorded(around[place])
    found = {name: value for name, value in now.items() if name not in before or before[name] != value}
    configs = [config for config in map(own_config, around[:place]) if config is not None and ARGUMENTS in vars(config)]
    held = [(vars(config), vars(config)[ARGUMENTS]) for config in configs]
    for values, arguments in held if found else ():
        values[ARGUMENTS] = {**(arguments or {}), **found}

    def back() -> None:
        for values, arguments in held:
            values[ARGUMENTS] = arguments
        undo()

    return back
