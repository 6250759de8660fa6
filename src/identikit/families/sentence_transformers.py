"""The family of the sentence-transformers library: a transformer, a pooling, and one dictionary all through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import SaveError
from identikit.families.transformers import Transformers
from identikit.families.transformers_config import comes_from, dtype_word, is_model
from identikit.families.transformers_construct import sentences_from_configuration
from identikit.families.transformers_files import (
    INSTEAD,
    bring_along,
    device_of,
    from_checkpoint,
    refused_as_save_error,
    write,
)
from identikit.families.transformers_inputs import example
from identikit.families.transformers_quiet import silenced


class SentenceTransformers(Transformers):
    """Models of the sentence-transformers library. Paths of stacks are those of the outer model."""

    name = "sentence-transformers"

    def matches(self, model: nn.Module) -> bool:
        """Whether `model` is a SentenceTransformer or one of its relatives."""
        return comes_from(model, "sentence_transformers", "SentenceTransformer", "BaseModel")

    def example(self, model: nn.Module) -> Batch | None:
        """The inner transformer's example as the one dictionary that the outer model takes."""
        inner = next(iter(transformers_inside(model).values()), None)
        batch = example(inner) if inner is not None else None
        return Batch(args=(dict(batch.kwargs),), examples=batch.examples) if batch is not None else None

    def configuration(self, model: nn.Module) -> dict[str, Any] | None:
        """The configuration of each transformer inside, by its path."""
        plain = Transformers()
        return {path: plain.configuration(inner) for path, inner in transformers_inside(model).items()}

    def loads(self, model: nn.Module) -> str:
        """The library's own class on the folder."""
        name = type(model).__name__
        trust = any(from_checkpoint(module) for module in model.modules())
        told = ", trust_remote_code=True" if trust else ""
        return f'from sentence_transformers import {name}\n\nmodel = {name}("this folder"{told})'

    def save(self, model: nn.Module, folder: Path, like: Path | None) -> None:
        """The library's own `save` (modules, tokenizer, prompts) without a model card; the rest comes from `like`."""
        write(model, folder, create_model_card=False)
        if like is not None:
            bring_along(like, folder, code=any(from_checkpoint(module) for module in model.modules()))

    def rebuild(self, folder: Path, model: nn.Module) -> nn.Module:
        """The same class loaded from `folder`; SaveError where a weight is not what `model` holds.

        The library does not say which weights it missed and drew at random, so all of them are compared.
        """
        inner = next(iter(transformers_inside(model).values()), None)
        attention = getattr(getattr(inner, "config", None), "_attn_implementation", None)
        settings = {dtype_word(): getattr(inner, "dtype", None), "attn_implementation": attention}
        what = f'"{folder}" does not load as {type(model).__name__}'
        with refused_as_save_error(what, INSTEAD), silenced():
            again: nn.Module = type(model)(
                str(folder),
                device=str(device_of(model)),
                local_files_only=True,
                trust_remote_code=any(from_checkpoint(module) for module in model.modules()),
                model_kwargs={name: value for name, value in settings.items() if value is not None},
            )
        _check_equal(folder, again.state_dict(), model.state_dict())
        _check_activations(folder, again, model)
        return again.eval()

    def construct(self, folder: Path, configuration: dict[str, Any], model: str) -> nn.Module | None:
        """The modules of `folder` around a full transformer with random weights."""
        return sentences_from_configuration(folder, configuration)


def transformers_inside(model: nn.Module) -> dict[str, nn.Module]:
    """The outermost transformers models in `model`, by path."""
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if is_model(module) and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = module
    return found


def _check_activations(folder: Path, loaded: nn.Module, meant: nn.Module) -> None:
    """Raise SaveError where the library, which loads no activation but torch's, has put another in its place."""
    parts = dict(loaded.named_modules())
    for path, module in meant.named_modules():
        mine, found = (getattr(each, "activation_function", None) for each in (module, parts.get(path)))
        if callable(mine) and type(mine) is not type(found):
            called = getattr(mine, "__name__", type(mine).__name__)
            raise SaveError(
                f'"{folder}" loaded again computes {type(found).__name__} where "{path}" has {called}: '
                "sentence-transformers loads no activation but a class of torch.nn. Put one of those there."
            )


def _check_equal(folder: Path, loaded: dict[str, Any], meant: dict[str, Any]) -> None:
    """Raise SaveError at the first weight that is missing, unexpected or not the one that was meant."""
    for name in sorted({*loaded, *meant}):
        here, there = loaded.get(name), meant.get(name)
        if here is None or there is None:
            problem = "is missing" if here is None else "is unexpected"
        elif there.device.type == "meta" or here.dtype != there.dtype or torch.equal(here, there.to(here.device)):
            continue
        else:
            problem = "is not what was saved"
        raise SaveError(f'"{folder}" loaded again: the weight {name} {problem}. {INSTEAD}')
