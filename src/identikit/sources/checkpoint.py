"""Open a transformers folder: the right class, all weights there, no code from the checkpoint unless trusted."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import IdentikitError, ModelError, needs_extra
from identikit.families.transformers_config import dtype_word
from identikit.families.transformers_quiet import silenced
from identikit.sources.device import DeviceMap
from identikit.sources.encode import PictureEncoder, TextEncoder, parameters
from identikit.sources.folder import IMAGE_PROCESSORS, TOKENIZERS, check_folder, has_any, read_json
from identikit.sources.opened import EMBEDDING, Opened
from identikit.sources.tasks import check_task, class_for, task_of


def open_checkpoint(
    folder: Path,
    name: str,
    *,
    task: str | None,
    device: torch.device,
    dtype: torch.dtype | None,
    trust_remote_code: bool,
    device_map: DeviceMap | None = None,
) -> Opened:
    """The transformers model in `folder`. Raises ModelError where it does not load whole."""
    check_folder(folder)
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise needs_extra("transformers", "hf", f'opening "{name}"') from error
    if task is not None:
        check_task(task)
    trust = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    with silenced(), loading_errors(name):
        config = AutoConfig.from_pretrained(str(folder), **trust)
        loader = class_for(config, task)
        model = _loaded(loader, folder, name, dtype, {**trust, "device_map": device_map})
    model = model.eval() if device_map is not None else model.to(device).eval()
    return opened_transformers(model, folder, name, task=task, trust_remote_code=trust_remote_code)


def opened_transformers(model: Any, folder: Path, name: str, *, task: str | None, trust_remote_code: bool) -> Opened:
    """A transformers model, whoever made it, with the tokenizer and the image processor that lie in `folder`."""
    trust = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    with silenced(), loading_errors(name):
        tokenizer, processor = _tokenizer(folder, trust), _processor(folder, trust)
    return _described(model, tokenizer, processor, name=name, folder=folder, task=task or task_of(model.config))


def _described(model: Any, tokenizer: Any, processor: Any, *, name: str, folder: Path, task: str | None) -> Opened:
    """What the checkpoint says of its inputs and labels, with the model."""
    config = model.config
    longest = _longest(model, tokenizer)
    reads_text = tokenizer is not None and "input_ids" in (parameters(model) or ("input_ids",))
    encode = TextEncoder(model, tokenizer, longest, paired=task not in EMBEDDING) if reads_text else None
    labels = dict(config.label2id or {}) if hasattr(config, "label2id") else {}
    return Opened(
        model=model,
        name=name,
        task=task,
        folder=folder,
        encode=encode,
        encode_images=PictureEncoder(model, processor) if processor is not None else None,
        tokenizer=tokenizer,
        processor=processor,
        labels={str(label): int(number) for label, number in labels.items()},
        regression=getattr(config, "problem_type", None) == "regression" or len(labels) == 1,
        longest=longest,
    )


def refuse_missing(name: str, kind: str, info: Mapping[str, Any]) -> None:
    """Raise ModelError where the loading report `info` names weights that are absent or of another shape."""
    missing = sorted(map(str, info["missing_keys"]))
    other = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f'"{name}" lacks weights of {kind}: {missing[0]}{more}. They would be random. '
            "Use the checkpoint that has them, or another --task."
        )
    if other:
        raise ModelError(
            f'"{name}" holds {other[0]} in another shape than its config.json says. '
            "Put the config.json beside the weights that was saved with them."
        )


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Errors of the libraries as a ModelError of one line; the whole error stays as its cause."""
    try:
        yield
    except IdentikitError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(
            f'"{name}" holds a pickle with more than weights in it, which could run code. '
            "Only safetensors and plain weights are read: save it again with model.save_pretrained(FOLDER)."
        ) from error
    except Exception as error:
        text = str(error).strip()
        if "trust_remote_code" in text:
            raise ModelError(
                f'"{name}" brings its own code, which opening it would run. If you trust it, add --trust-remote-code.'
            ) from error
        first = text.splitlines()[0] if text else ""
        raise ModelError(f'"{name}" cannot be loaded: {type(error).__name__}: {first}') from error


def _loaded(loader: Any, folder: Path, name: str, dtype: torch.dtype | None, more: dict[str, Any]) -> nn.Module:
    """The model with nothing missing; a bare model whose checkpoint has no pooler is loaded without one."""
    # Shapes that differ are in the report too, by name; without that word they end in a table in the log.
    options = {dtype_word(): dtype or "auto", "output_loading_info": True, "ignore_mismatched_sizes": True, **more}
    model, info = loader.from_pretrained(str(folder), **options)
    missing = [str(key) for key in info["missing_keys"]]
    if missing and all(key.startswith("pooler.") for key in missing):
        model, info = type(model).from_pretrained(str(folder), add_pooling_layer=False, **options)
    refuse_missing(name, type(model).__name__, info)
    loaded: nn.Module = model
    return loaded


def _tokenizer(folder: Path, trust: dict[str, Any]) -> Any:
    """The folder's tokenizer, or None. Without its files transformers would make up an empty one."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), **trust) if has_any(folder, TOKENIZERS) else None


def _processor(folder: Path, trust: dict[str, Any]) -> Any:
    """The folder's image processor, or None (a sound's feature extractor has the same file name)."""
    from transformers import AutoImageProcessor

    if not has_any(folder, IMAGE_PROCESSORS):
        return None
    found = [read_json(folder / item) for item in IMAGE_PROCESSORS if (folder / item).is_file()]
    if not any("image_processor_type" in item or "image_processor" in item for item in found):
        return None
    return AutoImageProcessor.from_pretrained(str(folder), **trust)


def _longest(model: Any, tokenizer: Any) -> int | None:
    """The most tokens the model reads: the tokenizer's word, the config's and the table of positions."""
    config = model.config.get_text_config()
    said = [getattr(tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None)]
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            said.append(module.num_embeddings - module.padding_idx - 1)  # RoBERTa counts from behind the padding
    # A tokenizer without a limit says 10**30.
    known = [int(number) for number in said if isinstance(number, int) and 0 < number < 10**9]
    return min(known) if known else None
