"""Where a transformers model keeps its configuration, and which of its facts speak of single layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

# A list is read as "one entry per layer" by its name and its length together: three colour means are no layers.
LAYER_WORDS = ("layer", "block", "depth", "stage", "attention_type", "pattern")
_ABSENT: Any = object()


def comes_from(value: object, library: str, *names: str) -> bool:
    """Whether a class among the ancestors of `value`'s is called one of `names` and lives in `library`."""
    return any(each.__name__ in names and each.__module__.split(".")[0] == library for each in type(value).__mro__)


def is_model(module: object) -> bool:
    """Whether `module` is a PreTrainedModel (found without importing transformers)."""
    return comes_from(module, "transformers", "PreTrainedModel")


def is_config(value: object) -> bool:
    """Whether `value` is a configuration of transformers."""
    return comes_from(value, "transformers", "PreTrainedConfig", "PretrainedConfig")


def dtype_word() -> str:
    """What this release's `from_pretrained` calls the dtype to load in: "torch_dtype" in older ones."""
    from transformers import PretrainedConfig

    return "dtype" if hasattr(PretrainedConfig(), "dtype") else "torch_dtype"


def config_tree(config: Any) -> list[Any]:
    """`config` and every configuration inside it, each once, outer ones first."""
    found = [config]
    for each in found:
        inner = (value for value in vars(each).values() if is_config(value))
        found += [value for value in inner if not any(value is known for known in found)]
    return found


def own_config(module: nn.Module) -> Any:
    """The configuration that the module itself holds, or None."""
    config = vars(module).get("config")
    return config if is_config(config) else None


def all_configs(model: nn.Module) -> list[Any]:
    """Every configuration object that a module of `model` reads; an encoder may hold a copy of its own."""
    found: list[Any] = []
    for module in model.modules():
        config = own_config(module)
        if config is not None and not any(config is known for known in found):
            found += [each for each in config_tree(config) if not any(each is known for known in found)]
    return found


@contextmanager
def kept_as_it_was(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every configuration holds afterwards what it held before."""
    held = [(vars(config), dict(vars(config))) for config in all_configs(model)]
    try:
        yield
    finally:
        for now, before in held:
            now.clear()
            now.update(before)


@contextmanager
def caches_off(model: nn.Module) -> Iterator[None]:
    """`use_cache` false in every configuration that has it, the generation's too; what was there is put back."""
    holders = all_configs(model)
    holders += [vars(module)["generation_config"] for module in model.modules() if "generation_config" in vars(module)]
    holders = [holder for holder in holders if hasattr(holder, "use_cache")]
    held = [vars(holder).get("use_cache", _ABSENT) for holder in holders]
    try:
        for holder in holders:
            vars(holder)["use_cache"] = False
        yield
    finally:
        for holder, value in reversed(list(zip(holders, held, strict=True))):
            if value is _ABSENT:
                vars(holder).pop("use_cache", None)
            else:
                vars(holder)["use_cache"] = value


def speaks_of_layers(name: str) -> bool:
    """Whether a configuration's word is about layers, by the words in it."""
    return any(word in name for word in LAYER_WORDS)


def per_layer_lists(config: Any, depth: int) -> Iterator[tuple[str, list[Any] | tuple[Any, ...]]]:
    """The lists of `config` that hold one entry for each of `depth` layers."""
    for name, value in vars(config).items():
        if isinstance(value, (list, tuple)) and len(value) == depth and speaks_of_layers(name):
            yield name, value


def configs_on_the_way(model: nn.Module, stack: str) -> list[tuple[nn.Module, Any]]:
    """From `stack` outwards, each configuration object with the outermost module that holds it."""
    parts = stack.split(".")
    holders = [model.get_submodule(".".join(parts[:count])) for count in range(len(parts) + 1)]
    found: list[tuple[nn.Module, Any]] = []
    for module in holders:
        config = own_config(module)
        if config is not None and not any(config is known for _, known in found):
            found.append((module, config))
    return found[::-1]
