"""A model of the Hugging Face hub, brought into the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from identikit.errors import ModelError, needs_extra

# No other formats of the same weights (ONNX, TensorFlow, Flax, GGUF): gigabytes that nobody reads.
WANTED = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.md")
TWICE = ("consolidated*", "original/*")  # the same weights once more, in their maker's format
_IDENTIFIER = re.compile(r"[\w.-]+(/[\w.-]+)?")


def looks_like_hub(name: str) -> bool:
    """Whether `name` can be the id of a model on the hub."""
    return _IDENTIFIER.fullmatch(name) is not None and not name.startswith(".")


def fetch(name: str) -> Path:
    """The local folder of the hub model `name`, downloaded where it is not in the cache.

    Raises ModelError where there is no such model, no access or no network.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise needs_extra("huggingface_hub", "hf", f'opening "{name}"') from error
    try:
        # Asked once and with a limit: a download would try again for half a minute before it says "no network".
        siblings = HfApi().model_info(name, timeout=10).siblings or []
    except RepositoryNotFoundError as error:
        raise ModelError(
            f'no folder "{name}" here, and no such model on the hub (or it is private: huggingface-cli login).'
        ) from error
    except Exception as unreachable:
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            raise ModelError(
                f'no folder "{name}" here, it is not in the hub\'s cache, and the hub cannot be reached '
                f"({type(unreachable).__name__}). Give a local folder or file.py:function, or go online."
            ) from unreachable
    files = [item.rfilename for item in siblings]
    safe = any(item.endswith(".safetensors") for item in files)
    weights = ("*.safetensors",) if safe else ("pytorch_model*.bin", "*/pytorch_model*.bin")
    try:
        return Path(snapshot_download(name, allow_patterns=[*WANTED, *weights], ignore_patterns=[*TWICE]))
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f'"{name}" cannot be fetched from the hub: {type(error).__name__}: {first}') from error
