"""A full model made from its configuration alone, weights still to come: what a plan folder is loaded into."""

from __future__ import annotations

import inspect
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import needs_extra
from identikit.families.transformers_quiet import silenced

#: Where a first configuration keeps what the class is told beside it.
_ARGUMENTS = "_identikit_arguments"


def arguments_of(model: nn.Module) -> dict[str, Any]:
    """What `model`'s class was told beside its configuration: to leave the pooler out, which no configuration says."""
    if "add_pooling_layer" not in inspect.signature(type(model).__init__).parameters:
        return {}
    return {"add_pooling_layer": False} if getattr(model, "pooler", True) is None else {}


def first_configuration(model: Any) -> dict[str, Any]:
    """All of `model.config` as JSON values, and what `arguments_of` says."""
    value = dict(json.loads(model.config.to_json_string(use_diff=False)))
    arguments = arguments_of(model)
    return value | {_ARGUMENTS: arguments} if arguments else value


def from_configuration(configuration: dict[str, Any], model: str) -> nn.Module | None:
    """The transformers class called `model` on `configuration`, with random weights; None where there is none."""
    if "model_type" not in configuration:
        return None
    try:
        import transformers
    except ImportError as cause:
        raise needs_extra("transformers", "hf", f"making a {model}") from cause
    made = getattr(transformers, model, None)
    if not isinstance(made, type) or getattr(made, "config_class", None) is None:
        return None
    with silenced(), torch.random.fork_rng():
        said = {name: value for name, value in configuration.items() if name != _ARGUMENTS}
        arguments = {"add_pooling_layer": False} if configuration.get(_ARGUMENTS) else {}
        built: nn.Module = made(made.config_class.from_dict(said), **arguments)  # type: ignore[attr-defined]
    return built


def sentences_from_configuration(folder: Path, configurations: dict[str, Any]) -> nn.Module | None:
    """The SentenceTransformer of `folder` around full transformers made from their configurations.

    The library makes its modules from weights only: the inner model is written out once, random, and loaded with them;
    the parts beside it (a Dense layer) with those that the folder holds.
    """
    if not (folder / "modules.json").exists() or len(configurations) != 1:
        return None
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as cause:
        raise needs_extra("sentence-transformers", "hf", f"opening {folder}") from cause
    (configuration,) = configurations.values()
    inner = from_configuration(configuration, (configuration.get("architectures") or ["AutoModel"])[0])
    if inner is None:
        return None
    with tempfile.TemporaryDirectory() as place, silenced(), torch.random.fork_rng():
        full = Path(place) / "full"
        shutil.copytree(folder, full, ignore=shutil.ignore_patterns("*.safetensors"))
        inner.save_pretrained(full)  # type: ignore[operator]
        _write_parts(folder, full)
        made: nn.Module = SentenceTransformer(str(full), device="cpu", local_files_only=True)
    return made


def _write_parts(folder: Path, full: Path) -> None:
    """Write the weights of each part beside the transformer where the library looks for them, in `full`.

    In `folder` all weights lie in one file, a part's under its number.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    for weights in folder.glob("*.safetensors"):
        with safe_open(weights, framework="pt") as file:
            for part in listed:
                place, prefix = full / str(part["path"]), f"{part['name']}."
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (it is no mapping)
                inside = place.resolve().is_relative_to(full.resolve()) and place != full and place.is_dir()
                if names and inside and not str(part["type"]).endswith(".Transformer"):
                    own = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
                    save_file(own, place / "model.safetensors")
