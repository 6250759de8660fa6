"""Example inputs for a transformers model, made from what the model says of itself: its signature and configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.transformers_config import all_configs, caches_off
from identikit.structure.valueless import home_of

ROWS, TOKENS, DECODED = 2, 12, 7
OTHER_INPUTS = ("input_ids", "pixel_values", "input_features", "input_values")
Kwargs = dict[str, torch.Tensor]


def example(model: nn.Module) -> Batch | None:
    """Two rows of what `model` takes, or None where that cannot be made.

    One way to call it is handed out as it is; several (a model of texts and pictures may want either or both) are
    tried, simplest first, in a pass that leaves the random state and the train mode as they were.
    """
    ways = [Batch(kwargs=kwargs, examples=ROWS) for kwargs in _ways(model)]
    ways = [way.to(_device(model), _dtype(model)) for way in ways]
    if len(ways) <= 1:
        return ways[0] if ways else None
    return next((way for way in ways if _runs(model, way)), None)


def _ways(model: nn.Module) -> Iterator[Kwargs]:
    """What the model may be called with, simplest first."""
    takes = inspect.signature(type(model).forward).parameters
    main = str(getattr(model, "main_input_name", "input_ids"))
    for inputs in _made(model, main):
        if main == "input_ids" and "attention_mask" in takes:
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if "decoder_input_ids" in takes and getattr(getattr(model, "config", None), "is_encoder_decoder", False):
            inputs["decoder_input_ids"] = _decoded(model)
        yield inputs
        for name in OTHER_INPUTS:
            if name != main and name in takes:
                yield from ({**inputs, **more} for more in _made(model, name))


def _made(model: nn.Module, name: str) -> Iterator[Kwargs]:
    """Values for one argument, by its name."""
    if name == "input_ids":
        yield {name: _ids(model, tokens=_length(model), seed=0)}
    for size in _sizes(model, name):
        yield {name: torch.randn(ROWS, *size, generator=torch.Generator().manual_seed(0))}


def _sizes(model: nn.Module, name: str) -> list[tuple[int, ...]]:
    """The shapes, less the rows, that a picture or a sound may have for this model."""
    configs = all_configs(model)
    if name == "pixel_values":
        return _pictures(configs)
    if name == "input_features":
        return _spectrograms(configs)
    if name == "input_values":
        bins = _first(configs, "num_mel_bins")
        length = _first(configs, "max_length") or 0
        return [(length, bins)] if bins and length else [(4000,), (1, 4000)]
    return []


def _pictures(configs: Sequence[Any]) -> list[tuple[int, ...]]:
    side = next((value for each in configs if (value := getattr(each, "image_size", None))), None)
    channels = _first(configs, "num_channels") or _first(configs, "in_channels") or 3
    if isinstance(side, dict):
        side = list(side.values())
    height, width = (side[0], side[-1]) if isinstance(side, (list, tuple)) else (side or 64, side or 64)
    frames = _first(configs, "num_frames")
    return [*([(frames, channels, height, width)] if frames else []), (channels, height, width)]


def _spectrograms(configs: Sequence[Any]) -> list[tuple[int, ...]]:
    bins, positions = _first(configs, "num_mel_bins"), _first(configs, "max_source_positions")
    if bins and positions:
        return [(bins, 2 * positions)]  # two convolutions, the second of stride 2
    names = ("input_feat_per_channel", "feature_projection_input_dim", "num_mel_bins", "feature_size")
    width = next((value for name in names if (value := _first(configs, name))), None)
    return [(64, width)] if width else []


def _ids(model: nn.Module, *, tokens: int, seed: int) -> torch.Tensor:
    """Token ids [rows, tokens] from the vocabulary, none of them special."""
    configs = all_configs(model)
    special = _special(model, configs)
    plain = torch.tensor([number for number in range(_vocabulary(configs)) if number not in special] or [0])
    plain = plain[len(plain) // 20 :]  # the first few are special where the configuration does not say so
    return plain[torch.randint(len(plain), (ROWS, tokens), generator=torch.Generator().manual_seed(seed))]


def _decoded(model: nn.Module) -> torch.Tensor:
    """The start token, then ids like any other."""
    ids = _ids(model, tokens=DECODED, seed=1)
    configs = all_configs(model)
    start = _first(configs, "decoder_start_token_id")
    if start is not None and 0 <= start < _vocabulary(configs):
        ids[:, 0] = start
    return ids


def _vocabulary(configs: Sequence[Any]) -> int:
    """How many token ids there are; the smallest number where a model has several vocabularies."""
    sizes = [getattr(each, "vocab_size", None) for each in configs]
    return min((size for size in sizes if isinstance(size, int) and size > 0), default=2)


def _special(model: nn.Module, configs: Sequence[Any]) -> set[int]:
    """Every number that a configuration calls a token: padding, ends, placeholders of pictures."""
    named = [
        value
        for each in [*configs, vars(model).get("generation_config")]
        if each is not None
        for name, value in vars(each).items()
        if "token" in name and name.rstrip("s").endswith(("_id", "_index"))
    ]
    return {number for value in named for number in (value if isinstance(value, list) else [value]) if _whole(number)}


def _length(model: nn.Module) -> int:
    """Few tokens, and never more than there are positions."""
    names = ("max_position_embeddings", "n_positions", "max_source_positions")
    limits = [value for name in names if (value := _first(all_configs(model), name))]
    return min([TOKENS, *(limit for limit in limits if limit > 0)])


def _first(configs: Sequence[Any], name: str) -> int | None:
    """The first whole number that a configuration has under this name."""
    return next((value for each in configs if _whole(value := getattr(each, name, None))), None)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _device(model: nn.Module) -> torch.device:
    return home_of(model) or torch.device("cpu")


def _dtype(model: nn.Module) -> torch.dtype | None:
    return next((value.dtype for value in model.parameters() if value.is_floating_point()), None)


def _runs(model: nn.Module, way: Batch) -> bool:
    """Whether the model takes this batch."""
    device = _device(model)
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices), caches_off(model), _resting(model):
        try:
            way.call(model)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a forward raises, it does not take these inputs
            return False
    return True


@contextmanager
def _resting(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode, then as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
