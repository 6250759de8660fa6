"""The family of the transformers library: all by what a model says of itself, nothing by its architecture's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from torch import nn

from identikit.batches import Batch
from identikit.families import adapters
from identikit.families.plain import Args, Family, Kwargs
from identikit.families.transformers_around import resize_inside
from identikit.families.transformers_config import caches_off, configs_on_the_way, is_model, per_layer_lists
from identikit.families.transformers_construct import first_configuration, from_configuration
from identikit.families.transformers_decoding import Decoder, decoder, may_decode
from identikit.families.transformers_depth import resize
from identikit.families.transformers_files import (
    bring_along,
    from_checkpoint,
    load_again,
    loading_lines,
    refuse_quantised,
    write,
)
from identikit.families.transformers_inputs import example
from identikit.families.transformers_outputs import NothingRecorded
from identikit.structure.watch import Call


class Transformers(Family):
    """Models of the transformers library (PreTrainedModel)."""

    name = "transformers"
    self_contained = True

    def matches(self, model: nn.Module) -> bool:
        """Whether `model` is a PreTrainedModel."""
        return is_model(model)

    def example(self, model: nn.Module) -> Batch | None:
        """Two rows of text, pictures or sound, whichever the model takes; None where that cannot be made."""
        return example(model)

    def quiet(self, model: nn.Module) -> AbstractContextManager[None]:
        """`use_cache` off in every configuration for the time of a pass."""
        return caches_off(model)

    def absence(self, layer: nn.Module, call: Call) -> Callable[[Args, Kwargs], None] | None:
        """None in the place of the attentions that an edited layer does not compute."""
        return NothingRecorded(layer, call)

    def decodes(self, model: nn.Module, stack: str) -> bool:
        """Whether the model can generate, and the stack is not its encoder's, which runs once and keeps no cache.

        Not where its own `generation_config` says that it generates without one.
        """
        can: Any = getattr(model, "can_generate", None)
        if can is None or not can() or getattr(getattr(model, "generation_config", None), "use_cache", True) is False:
            return False
        encoder = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model  # type: ignore[operator]
        return encoder is model or all(module is not model.get_submodule(stack) for module in encoder.modules())

    def generates(self, model: nn.Module) -> bool:
        """Whether the library says that it can."""
        return may_decode(model)

    def loads(self, model: nn.Module) -> str:
        """`from_pretrained` of the model's class."""
        return loading_lines(model)

    def body(self, model: nn.Module) -> str:
        """The library's `base_model`: the model inside that heads are put on."""
        base = getattr(model, "base_model", model)
        return next((path for path, module in model.named_modules() if module is base), "")

    def decoder(self, model: nn.Module, batch: Batch) -> Decoder | None:
        """The library's `generate`, and the model called step by step."""
        return decoder(model, batch)

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """All of `model.config` as JSON values."""
        return first_configuration(model)

    def layer_facts(self, model: nn.Module, stack: str, depth: int) -> list[Any]:
        """Of each layer, what the per-layer lists of the nearest configuration say (None where it has none)."""
        levels = configs_on_the_way(model, stack)
        lists = dict(per_layer_lists(levels[0][1], depth)) if levels else {}
        kinds = getattr(levels[0][1], "layer_types", None) if levels else None  # a rule in some, and the cache reads it
        if isinstance(kinds, list) and len(kinds) == depth:
            lists["layer_types"] = kinds
        if not lists:
            return [None] * depth
        return [{name: values[layer] for name, values in lists.items()} for layer in range(depth)]

    def resize(self, model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
        """Bring every configuration on the way to `stack` in step, in place; returns the undo."""
        with ExitStack() as undo:
            undo.callback(resize_inside(model, stack, keep, depth))
            undo.callback(resize(model, stack, keep, depth))
            return undo.pop_all().close

    def save(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """`save_pretrained` into `folder`; tokenizer, processor and chat template come from `like`, byte for byte.

        Raises SaveError where the model holds an adapter (merge it first) or was quantised after loading.
        """
        adapters.refuse(model)
        refuse_quantised(model)
        write(model, folder)
        if like is not None:
            bring_along(like, folder, code=from_checkpoint(model))

    def rebuild(self, folder: Path, model: nn.Module) -> nn.Module:
        """`from_pretrained` of the same class; SaveError where a weight is missing, unexpected or of another shape."""
        return load_again(folder, model)

    def construct(self, folder: Path, configuration: dict[str, Any], model: str) -> nn.Module | None:
        """The class called `model` on `configuration`, with random weights."""
        return from_configuration(configuration, model)
