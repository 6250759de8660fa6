"""Open a sentence-transformers folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import ModelError, needs_extra
from identikit.families.hushed import hushed
from identikit.families.transformers_config import dtype_word
from identikit.families.transformers_quiet import silenced
from identikit.results.fields import said
from identikit.sources.checkpoint import loading_errors, refuse_missing
from identikit.sources.encode import SentenceEncoder
from identikit.sources.folder import WEIGHTS, check_folder, check_named, has_any, read_json
from identikit.sources.opened import Opened


def open_sentences(
    folder: Path, name: str, *, device: torch.device, dtype: torch.dtype | None, trust_remote_code: bool
) -> Opened:
    """The SentenceTransformer in `folder`. Raises ModelError where it does not load whole."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise needs_extra("sentence-transformers", "hf", f'opening "{name}"') from error
    _check(folder, trust_remote_code)
    with silenced(), hushed("sentence_transformers"), loading_errors(name):
        model: Any = SentenceTransformer(
            str(folder),
            device=str(device),
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs={dtype_word(): dtype or "auto", "ignore_mismatched_sizes": True},
        )
        _refuse_random(model, folder, name)
    if dtype is not None:
        model.to(dtype)
    return opened_sentences(model.eval(), folder, name)


def opened_sentences(model: Any, folder: Path, name: str) -> Opened:
    """A SentenceTransformer, whoever made it."""
    return Opened(
        model=model,
        name=name,
        task="embedding",
        folder=folder,
        encode=SentenceEncoder(model),
        tokenizer=model.tokenizer,
        longest=model.max_seq_length,
    )


def _check(folder: Path, trust_remote_code: bool) -> None:
    """Raise ModelError, in one line, for weights that are absent or code that would come from the checkpoint."""
    if not trust_remote_code:
        check_code(folder)
    for path, kind in _parts(folder):
        if kind.endswith(".Transformer"):
            check_folder(folder / path)


def check_code(folder: Path) -> None:
    """Raise ModelError where `folder` names modules that are not the library's own: opening it would run their code."""
    if not (folder / "modules.json").is_file():
        return
    for path, kind in _parts(folder):
        if not kind.startswith("sentence_transformers."):
            raise ModelError(
                f'"{folder}" brings its own code ({said(kind)}), which opening it would run. '
                "If you trust it, add --trust-remote-code."
            )
        if kind.endswith(".Dense"):
            _check_activation(folder / path / "config.json")


def _check_activation(file: Path) -> None:
    """Raise ModelError where a part names an activation outside torch: the library would put a Tanh in its place."""
    named = read_json(file).get("activation_function") if file.is_file() else None
    if isinstance(named, str) and not named.startswith("torch."):
        raise ModelError(
            f'"{file}" names the activation {said(named)}, which is code: without your word for it '
            "sentence-transformers would compute with Tanh instead. If you trust it, add --trust-remote-code."
        )


def _refuse_random(model: Any, folder: Path, name: str) -> None:
    """Raise ModelError where a weight of the transformer is not in the checkpoint.

    The library draws such weights at random and says so in the log alone. Where the names in the file do not show
    that all are there, the checkpoint is loaded a second time, for the list of what is missing.
    """
    from transformers import PreTrainedModel

    listed: Any = list(model)
    for part, (path, _) in zip(listed, _parts(folder), strict=False):
        inner: Any = next((module for module in part.modules() if isinstance(module, PreTrainedModel)), None)
        if inner is None or not has_any(folder / path, WEIGHTS) or _all_there(inner, folder / path):
            continue
        options = {"output_loading_info": True, "local_files_only": True, "ignore_mismatched_sizes": True}
        _, info = type(inner).from_pretrained(str(folder / path), config=copy.deepcopy(inner.config), **options)
        refuse_missing(name, type(inner).__name__, info)


def _all_there(inner: nn.Module, folder: Path) -> bool:
    """Whether each parameter stands in model.safetensors under its own name and in its own shape."""
    from safetensors import safe_open

    if not (folder / "model.safetensors").is_file():
        return False
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
        return all(
            name in names and list(value.shape) == file.get_slice(name).get_shape()
            for name, value in inner.named_parameters()
        )


def _parts(folder: Path) -> list[tuple[str, str]]:
    """The folder and the class of each part of the model, in order."""
    try:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        parts = [(str(part["path"]), str(part["type"])) for part in listed]
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        raise ModelError(f'"{folder / "modules.json"}" is damaged ({error}). Copy it again.') from error
    return [(check_named(path, folder / "modules.json"), kind) for path, kind in parts]
