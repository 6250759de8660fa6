"""A Family knows one model library: an example, caches, configuration, saving. This one is right for any nn.Module."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import SaveError
from identikit.structure.watch import Call

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
WEIGHTS = "model.safetensors"
FETCH = (  # the fix for weights that are put aside
    "Fetch the weights first: accelerate.hooks.remove_hook_from_submodules(model); or load the model without "
    "device_map."
)
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


def require_values(model: nn.Module, name: str, value: Any) -> None:
    """Raise SaveError for an entry of `model`'s state that is no tensor, or one whose values are somewhere else."""
    if not isinstance(value, torch.Tensor):
        raise SaveError(f"{type(model).__name__} keeps {name} in its state, which is no tensor. Take it out first.")
    if value.is_meta:
        raise SaveError(f"the values of {name} are not here: it is offloaded, or on the meta device. {FETCH}")


def _nothing_to_undo() -> None:
    """What undoing a change amounts to where nothing was changed."""


class Decoder(Protocol):
    """A few steps of decoding, in logits [steps, rows, vocabulary]. Each raises whatever the model does."""

    def generated(self) -> tuple[torch.Tensor, torch.Tensor]:
        """With the cache that the library makes for it: the tokens [rows, length] that were read, and the logits."""

    def plain(self, tokens: torch.Tensor) -> torch.Tensor:
        """Without a cache, over `tokens`."""

    def stepped(self, tokens: torch.Tensor) -> torch.Tensor:
        """With the cache that the model makes and gets back, over `tokens`."""


class Family:
    """What identikit asks of a model library. Subclass it and override what differs; pass an instance as `family=`."""

    name = "plain"
    #: Whether a saved folder loads on its own; a plain nn.Module needs its code (`ik.load(folder, model=...)`).
    self_contained = False

    def matches(self, model: nn.Module) -> bool:
        """Whether `model` comes from this library (found without importing it)."""
        return True

    def example(self, model: nn.Module) -> Batch | None:
        """One example of what `model`'s forward takes, or None where that cannot be known."""
        return None

    def quiet(self, model: nn.Module) -> AbstractContextManager[None]:
        """Caches of earlier tokens off for the time of a pass."""
        return nullcontext()

    def absence(self, layer: nn.Module, call: Call) -> Callable[[Args, Kwargs], None] | None:
        """What to do at every call (its arguments given) of `layer` while it is edited, beside handing the stream on.

        `call` is the layer's call in the watched pass. None: nothing.
        """
        return None

    def decodes(self, model: nn.Module, stack: str) -> bool | None:
        """Whether `model` makes its output step by step with a cache that `stack` feeds; None where unknown."""
        return None

    def generates(self, model: nn.Module) -> bool:
        """Whether `model` writes text or speech step by step."""
        return False

    def loads(self, model: nn.Module) -> str:
        """Python that loads a saved checkpoint of `model` by its library alone; "" where that takes identikit.

        "this folder" stands for the folder.
        """
        return ""

    def body(self, model: nn.Module) -> str:
        """The path of the part that a head was put on, where the library says which it is; "" where it does not."""
        return ""

    def headless(self, model: nn.Module) -> Callable[[], Any] | None:
        """The model's own way to take its head off (timm's `reset_classifier`), or None where it has none."""
        own = getattr(model, "reset_classifier", None)
        return functools.partial(own, 0) if callable(own) else None

    def decoder(self, model: nn.Module, batch: Batch) -> Decoder | None:
        """How `model` makes its output step by step from `batch`; None where it does not, or where that is unknown."""
        return None

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """The full configuration as JSON values, or None where the library has none."""
        return None

    def layer_facts(self, model: nn.Module, stack: str, depth: int) -> list[Any]:
        """What the configuration says of each layer of `stack`, such as its attention type: equal facts, equal kind."""
        return [None] * depth

    def resize(self, model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
        """Bring the configuration in step after `stack` (`depth` layers) became `keep` (old numbers); returns the undo.

        A stack that grew has the number of a copied layer once more for each copy: [0, 1, 1, 2].
        """
        return _nothing_to_undo

    def save(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """Write the library's own checkpoint into the empty `folder`; companions (tokenizer) come from `like`."""
        from safetensors.torch import save_model

        for name, value in model.state_dict().items():
            require_values(model, name, value)
        save_model(model, str(folder / WEIGHTS))

    def accompany(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """Write into the empty `folder` what goes into a plan folder: all that `save` writes, less the weights."""
        self.save(model, folder, like)
        for pattern in _WEIGHTS:
            for file in folder.rglob(pattern):
                file.unlink()

    def rebuild(self, folder: Path, model: nn.Module) -> nn.Module:
        """Load `folder` as the library itself would; `model` says the class, dtype and device. In eval mode.

        Raises SaveError where a weight is missing or unexpected.
        """
        from safetensors.torch import load_file

        fresh = copy.deepcopy(model)
        own, held = fresh.state_dict(keep_vars=True), OrderedDict(load_file(folder / WEIGHTS))
        held._metadata = getattr(own, "_metadata", {})  # type: ignore[attr-defined]  # the versions of torch's modules
        filled = {id(own[name]) for name in held if name in own}
        lost = sorted({*(name for name, value in own.items() if id(value) not in filled), *(set(held) - set(own))})
        if lost:
            raise SaveError(f"{folder} does not fit the model: {lost[0]} is on one side only.")
        fresh.load_state_dict(held, strict=False)
        return fresh.eval()

    def owns(self, folder: Path) -> bool:
        """Whether this library wrote `folder` and `opened` can load it; asked before identikit's own readers."""
        return False

    def opened(self, folder: Path) -> nn.Module:
        """The model of a folder that `owns` claims."""
        raise NotImplementedError(f"{type(self).__name__}.owns claims folders, so it must say how they are opened")

    def construct(self, folder: Path, configuration: dict[str, Any], model: str) -> nn.Module | None:
        """The full model of class `model` from its first configuration, weights still to come; None if it is not ours.

        `folder` holds what else the library saves (tokenizer, modules).
        """
        return None
