"""What lies in a model folder: which library wrote it, whether the weights are there."""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import Any

from identikit.errors import ModelError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
)
IMAGE_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def is_sentence_folder(folder: Path) -> bool:
    """Whether sentence-transformers wrote `folder` as an embedding model (a cross-encoder is a plain classifier)."""
    if not (folder / "modules.json").is_file():
        return False
    settings = folder / "config_sentence_transformers.json"
    kind = read_json(settings).get("model_type", "SentenceTransformer") if settings.is_file() else "SentenceTransformer"
    if kind in ("SentenceTransformer", "CrossEncoder"):
        return bool(kind == "SentenceTransformer")
    raise ModelError(
        f'"{folder}" holds a {kind} of sentence-transformers; SentenceTransformer and CrossEncoder can be opened. '
        "Write file.py:function that returns the model."
    )


def check_folder(folder: Path) -> None:
    """Raise ModelError, in one line, where `folder` is not a transformers folder with all its weights."""
    if (folder / "identikit-weights.safetensors").is_file():
        raise ModelError(
            f'"{folder}" holds a plan of identikit, not a checkpoint. Open it in Python: ik.load("{folder}").'
        )
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f'"{folder}" holds an adapter (adapter_config.json), not a model. '
                "Merge it first: model.merge_and_unload().save_pretrained(FOLDER)."
            )
        if (folder / "plan.json").is_file():
            raise ModelError(
                f'"{folder}" holds a plan of identikit, not a checkpoint. Open it in Python: ik.load("{folder}").'
            )
        raise ModelError(
            f'no config.json in "{folder}" ({_found(folder)}). '
            "A model folder is what save_pretrained writes: config.json and model.safetensors."
        )
    read_json(folder / "config.json")
    check_weights(folder)


def check_weights(folder: Path) -> None:
    """Raise ModelError where the weights, or a shard of them, are absent."""
    present = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if present is None:
        raise ModelError(
            f'no weights in "{folder}" ({_found(folder)}). Put model.safetensors (or pytorch_model.bin) beside '
            "config.json, or save the model again: model.save_pretrained(FOLDER)."
        )
    if present.suffix == ".json":
        named = read_json(present).get("weight_map")
        if not isinstance(named, dict):
            raise ModelError(f'"{present}" does not say which file holds which weight. Copy it again.')
        shards = {check_named(str(name), present) for name in named.values()}
        absent = sorted(name for name in shards if not (folder / name).is_file())
        if absent:
            raise ModelError(
                f'"{folder}" lacks {len(absent)} of {len(shards)} weight files that {present.name} names, '
                f"{absent[0]} first. Copy them there too."
            )


def has_any(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether one of the files `names` lies in `folder`."""
    return any((folder / name).is_file() for name in names)


def check_named(name: str, file: Path) -> str:
    """`name`, by which `file` names something in its own folder. Raises ModelError for one that leads out of there."""
    path = PureWindowsPath(name)  # which knows the separators and the drives of every system
    if path.anchor or ".." in path.parts:
        raise ModelError(f'"{file}" names {name}, outside of its folder, which is not read. Copy it again.')
    return name


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises ModelError where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f'"{path}" cannot be read as JSON: {error}. Copy it again.') from error
    if not isinstance(value, dict):
        raise ModelError(f'"{path}" is not a JSON object. Copy it again.')
    return value


def _found(folder: Path) -> str:
    """What there is instead, for the message."""
    names = sorted(item.name for item in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"found: {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
