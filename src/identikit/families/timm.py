"""The family of the timm library: a model knows its architecture and its arguments; both go into timm's own folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from identikit.batches import Batch
from identikit.errors import SaveError
from identikit.families.plain import Family
from identikit.families.timm_construct import arguments_of, built, first_configuration, is_model
from identikit.families.timm_depth import resize
from identikit.families.timm_files import INSTEAD, is_folder, load_again, opened, write
from identikit.families.transformers_files import bring_along
from identikit.families.trial import first_that_runs, pictures
from identikit.structure.compare import difference
from identikit.structure.traceless import traceless

#: Sides (pixels) of small pictures: a stage that divides by 32 has 3 x 3 values left of the second.
SIDES = (64, 96, 128)


class Timm(Family):
    """Models of the timm library, and such as its users have registered with it."""

    name = "timm"
    self_contained = True

    def matches(self, model: nn.Module) -> bool:
        """Whether timm has made `model`: it then carries the configuration of its architecture."""
        return is_model(model)

    def example(self, model: nn.Module) -> Batch | None:
        """Two pictures, small ones where the model takes any size; None where it takes no pictures."""
        channels, *side = _input_size(model)
        sizes = [side] if _is_fixed(model) else [*([small, small] for small in SIDES if small < min(side)), side]
        return first_that_runs(model, (pictures(model, (channels, *size)) for size in sizes))

    def decodes(self, model: nn.Module, stack: str) -> bool:
        """No model of timm keeps a cache."""
        return False

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """The architecture's name and its arguments; None where an argument is no JSON value."""
        return first_configuration(model)

    def resize(self, model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
        """Bring the arguments that timm keeps for `model` in step, in place; returns the undo."""
        return resize(model, stack, keep, depth)

    def loads(self, model: nn.Module) -> str:
        """timm's factory on the folder."""
        return 'import timm\n\nmodel = timm.create_model("local-dir:this folder", pretrained=True).eval()'

    def save(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """config.json and model.safetensors, as `timm.models.save_for_hf` writes them; a licence comes from `like`."""
        write(model, folder)
        self.accompany(model, folder, like)

    def accompany(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """The licence from `like`, no config.json: timm would take any weights beside that one for the full model's."""
        if like is not None:
            bring_along(like, folder)

    def rebuild(self, folder: Path, model: nn.Module) -> nn.Module:
        """`timm.create_model("local-dir:FOLDER", pretrained=True)`.

        Raises SaveError where a weight is not the one meant, or pictures of the model's own size (a small example
        may be one single window of attention) give another output.
        """
        again = load_again(folder, model)
        batch = pictures(model, _input_size(model))
        if first_that_runs(model, [batch]) and difference(_output(again, batch), _output(model, batch)) > 1:
            raise SaveError(f'"{folder}" loaded again computes something else. {INSTEAD}')
        return again

    def owns(self, folder: Path) -> bool:
        """Whether timm wrote `folder`, with weights in it."""
        return is_folder(folder)

    def opened(self, folder: Path) -> nn.Module:
        """timm's model of `folder`. Raises ModelError where it does not load whole."""
        return opened(folder)

    def construct(self, folder: Path, configuration: dict[str, Any], model: str) -> nn.Module | None:
        """The full model of a first configuration, with random weights."""
        arguments = arguments_of(configuration)
        return built(*arguments) if arguments is not None else None


def _output(model: nn.Module, batch: Batch) -> Any:
    with traceless(model):
        return batch.copied().call(model)


def _input_size(model: Any) -> list[int]:
    """Channels, height and width as the model is now (`set_input_size` may have changed them)."""
    size = list(model.pretrained_cfg.get("input_size") or (3, 224, 224))
    traits = vars(model).get("_traits") or {}
    channels = getattr(model, "in_chans", None) or size[0]
    return [channels, *(traits.get("img_size") or size[-2:])]


def _is_fixed(model: Any) -> bool:
    """Whether the model takes pictures of one size alone."""
    traits = vars(model).get("_traits") or {}
    return bool(traits.get("fixed_input_size", model.pretrained_cfg.get("fixed_input_size", False)))
