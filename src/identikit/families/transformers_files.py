"""The files of a transformers folder: write them, bring along what is no weight, load them again and miss nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import SaveError
from identikit.families.plain import FETCH
from identikit.families.transformers_config import dtype_word, kept_as_it_was
from identikit.families.transformers_construct import arguments_of
from identikit.families.transformers_quiet import silenced
from identikit.structure.packed import packed

#: What makes text, pictures or sound into inputs, how to generate, and under which licence. Never weights.
COMPANIONS = (
    *("tokenizer*", "*vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model", "*.spm"),
    *("*.tiktoken", "tekken.json", "bpe.codes", "dict.txt", "normalizer.json", "chat_template*"),
    *("preprocessor_config.json", "processor_config.json", "*_preprocessor_config.json", "feature_extractor*.json"),
    *("generation_config.json", "LICENSE*", "LICENCE*", "NOTICE*", "additional_chat_templates/*"),
)
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".pkl", ".pickle")
_EXPERTS = "_experts_implementation"
INSTEAD = 'The configuration cannot say what is left of this model; save the plan instead: format="plan".'
REMOTE = "transformers_modules"  # where transformers puts classes whose code came with a checkpoint


@contextmanager
def refused_as_save_error(what: str, remedy: str) -> Iterator[None]:
    """What the library raises becomes one line: what was asked, what the library says, what to do.

    Not what the system raises (a full disk): whoever writes explains that.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as refused:
        if isinstance(refused, OSError) and refused.errno is not None:
            raise
        raise SaveError(f"{what}: {' '.join(str(refused).split()).rstrip('.')}. {remedy}") from refused


def write(model: Any, folder: Path, **options: Any) -> None:
    """`model.save_pretrained(folder)`; what that writes into the configuration in passing is taken back.

    Raises SaveError where the library refuses to write this model.
    """
    what = f"{type(model).__name__}.save_pretrained refused"
    offloaded = any(value.is_meta for value in model.parameters())
    remedy = FETCH if offloaded else "Mend what it names, then save again."
    with refused_as_save_error(what, remedy), silenced(), kept_as_it_was(model):
        model.save_pretrained(str(folder), **options)


def refuse_quantised(model: Any) -> None:
    """Raise SaveError for weights that were quantised after loading: `from_pretrained` would not make such layers.

    A model that the library itself quantised knows how it is to be loaded.
    """
    name = next((name for name, _ in packed(model)), None)
    if name is not None and getattr(model, "hf_quantizer", None) is None:
        raise SaveError(
            f"{type(model).__name__} was quantised after it was loaded ({name}), and its configuration does not say "
            "so. Remove layers and save first; quantise what is loaded from there."
        )


def bring_along(like: Path, folder: Path, *, code: bool = False) -> list[str]:
    """Copy tokenizer, processor, chat template and the like from `like`, byte for byte; returns the names copied.

    A file that is there already stays. With `code`, Python files come too (the model's own code came from there).
    Raises SaveError where a link leads out of `like`.
    """
    copied = []
    for path in sorted([*like.glob("*"), *like.glob("additional_chat_templates/*")]):
        name = path.relative_to(like).as_posix()
        if not _travels(name, code=code) or (folder / name).exists() or not path.is_file():
            continue
        check_inside(path, like)
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
        copied.append(name)
    return copied


def load_again(folder: Path, model: Any) -> nn.Module:
    """`model`'s class loaded from `folder`, as the library does it: same dtype, device and attention, in eval mode.

    Raises SaveError where a weight is missing, unexpected or of another shape.
    """
    config, name = model.config, type(model).__name__
    settings = {dtype_word(): model.dtype, "attn_implementation": getattr(config, "_attn_implementation", None)}
    experts = getattr(config, _EXPERTS, None)
    with refused_as_save_error(f'"{folder}" does not load as {name}', INSTEAD), silenced():
        loaded, info = type(model).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # so that they are listed in `info`, and refused below by name
            output_loading_info=True,
            trust_remote_code=from_checkpoint(model),
            **{setting: value for setting, value in settings.items() if value is not None},
            **arguments_of(model),
        )
        if experts is not None and getattr(loaded.config, _EXPERTS, None) != experts:
            loaded.set_experts_implementation(experts)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        keys = (key[0] if isinstance(key, tuple) else key for key in info.get(kind) or ())  # (key, shape, shape)
        _refuse(folder, name, kind, sorted(map(str, keys)))
    again: nn.Module = loaded.to(device_of(model)).eval()
    return again


def loading_lines(model: Any) -> str:
    """Python that loads `model`'s saved folder ("this folder") as `load_again` does.

    Code that came with a checkpoint is found again by the automatic class that its configuration names.
    """
    name, module = type(model).__name__, type(model).__module__
    told = "".join(f", {key}={value!r}" for key, value in arguments_of(model).items())
    if from_checkpoint(model):
        autos = getattr(model.config, "auto_map", None) or {}
        name = next((auto for auto, own in autos.items() if str(own).rpartition(".")[2] == name), "AutoModel")
        module, told = "transformers", ", trust_remote_code=True"
    elif hasattr(sys.modules.get("transformers"), name):
        module = "transformers"
    return f'from {module} import {name}\n\nmodel = {name}.from_pretrained("this folder"{told})'


def device_of(model: nn.Module) -> torch.device:
    """Where the weights are; those that are offloaded to the disk are nowhere."""
    devices = (value.device for value in model.parameters() if value.device.type != "meta")
    return next(devices, torch.device("cpu"))


def from_checkpoint(model: nn.Module) -> bool:
    """Whether the model's code came with its checkpoint; then the user has trusted it before."""
    return type(model).__module__.split(".")[0] == REMOTE


def _refuse(folder: Path, kind: str, problem: str, names: list[str]) -> None:
    if not names:
        return
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    raise SaveError(f'{kind} loaded from "{folder}" has {problem.replace("_", " ")}: {names[0]}{more}. {INSTEAD}')


def _travels(name: str, *, code: bool) -> bool:
    if name.endswith(WEIGHTS):
        return False
    if name.endswith(".py"):
        return code
    return any(fnmatch(name, pattern) for pattern in COMPANIONS)


def check_inside(path: Path, like: Path) -> None:
    """A link may lead to a file of the same folder, or to the blobs of the hub's cache that the folder lies in.

    Raises SaveError for one that leads elsewhere.
    """
    target, home = path.resolve(), like.resolve()
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any(target.is_relative_to(each) for each in homes):
        raise SaveError(f'"{path}" is a link to "{target}", outside its folder; put the file itself there.')
