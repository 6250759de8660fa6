"""PEFT's adapters: found without importing it, kept in step with a shortened stack, refused where a save would lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from identikit.errors import RoleError, SaveError
from identikit.families.transformers_config import comes_from

_LAYERS = "layers_to_transform"
_MERGE = "model = model.merge_and_unload()"


def is_adapter(module: nn.Module) -> bool:
    """Whether `module` is one of PEFT's: a layer with an adapter beside it, or the model around them."""
    return comes_from(module, "peft", "BaseTunerLayer", "PeftModel")


def configurations(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The name and the configuration of every adapter in `model`. What a merged model still holds is not counted."""
    seen: set[int] = set()
    if not any(is_adapter(module) for module in model.modules()):
        return
    for module in model.modules():
        held = vars(module).get("peft_config")
        for name, config in held.items() if isinstance(held, dict) else ():
            if id(config) not in seen and comes_from(config, "peft", "PeftConfigMixin"):
                seen.add(id(config))
                yield name, config


def resize(model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
    """Bring `layers_to_transform` in step with `stack` shortened to `keep`; returns the undo.

    Raises RoleError where an adapter names single layers in another way, or says them of several stacks.
    """
    changed: list[tuple[Any, Any]] = []
    for name, config in configurations(model):
        words = _of_single_layers(config)
        if words:
            raise RoleError(
                f'the adapter "{name}" speaks of single layers ({words[0]}), whose numbers a removal from "{stack}" '
                f"would shift. Remove before get_peft_model, or merge first: {_MERGE}."
            )
        layers = getattr(config, _LAYERS, None)
        if layers is not None:
            changed.append((config, layers))
    for config, layers in changed:
        numbers = [layers] if isinstance(layers, int) else list(layers)
        setattr(config, _LAYERS, [keep.index(each) for each in numbers if each in keep])

    def undo() -> None:
        for config, layers in changed:
            setattr(config, _LAYERS, layers)

    return undo


def _of_single_layers(config: Any) -> list[str]:
    """What an adapter's configuration says by paths with a number in them: ranks, modules, patterns."""
    found: list[str] = []
    for field, value in vars(config).items():
        several = list(value) if isinstance(value, (dict, list, tuple, set)) else []
        names = [value] if isinstance(value, str) else several
        if field.endswith(("_pattern", "_modules", "_parameters")):
            found += [f"{field}: {each}" for each in names if isinstance(each, str) and re.search(r"(^|\.)\\?\d", each)]
    return found + (["layer_replication"] if getattr(config, "layer_replication", None) else [])


def refuse(model: nn.Module) -> None:
    """Raise SaveError where a library's model holds an adapter: its own loader knows no such weights."""
    names = [f'"{name}"' for name, _ in configurations(model)]
    if names:
        raise SaveError(
            f"{type(model).__name__} holds the adapter {', '.join(names)}, which no checkpoint of the model itself "
            f"has. Merge it first: {_MERGE}; or keep it apart: model.save_pretrained(folder) for the adapter alone, "
            "and ik.save(model.unload(), ...) for the model under it."
        )
