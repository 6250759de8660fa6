"""A small configuration of any class: sizes by name, per-layer lists cut to the depth, nested ones likewise."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from .mends import MENDS
from .sizes import LAYERS, VOCABULARY, is_depth, small, whole

_TOKEN = re.compile(r".*_(token_id|token_ids|token_index|token_indices)$|^(eos|bos|pad|unk|sep|mask)_index$")
_KNOWN_TOKENS = {"pad": 0, "bos": 1, "eos": 2, "decoder_start": 1, "forced_eos": 2, "forced_bos": 1}
_STAGES: dict[str, tuple[int, ...]] = {  # lists with one entry per stage
    r"hidden_sizes|embed_dims?|neck_hidden_sizes|dims|encoder_hidden_sizes": (16, 32, 48, 64, 64, 64, 64, 64),
    r"num_(attention_)?heads": (1, 2, 2, 4, 4, 4),
    r"conv_dim|tdnn_dim": (32,) * 20,
    r"image_size": (32,) * 3,
}


def small_config(kind: type, model_type: str, *, vary: bool) -> Any:
    """A small configuration of the class `kind`; `vary`: lists with one entry per layer show every kind of layer."""
    mend = MENDS.get(model_type, {})
    return _made(kind, mend, vary=vary)


def _made(kind: type, mend: dict[str, Any], *, vary: bool) -> Any:
    default = _default(kind, mend)
    given: dict[str, Any] = {}
    around = dict(vars(default))
    spare = iter(range(3, 60))
    for name in _parameters(kind, default):
        value = _attribute(default, name)
        if name in mend and not (isinstance(mend[name], dict) and is_config(value)):
            given[name] = mend[name]
        elif is_config(value):
            given[name] = _made(type(value), mend.get(name, {}), vary=vary)
        elif _TOKEN.match(name):
            given[name] = _token(name, value, spare)
        elif whole(value):
            given[name] = small(name, value, around)
        elif isinstance(value, (list, tuple)) and value:
            changed = _list(name, value, around, vary=vary)
            if changed is not None:
                given[name] = changed
    given |= {name: value for name, value in mend.items() if name not in given}
    return kind(**{name: value for name, value in given.items() if value is not ...})


def _default(kind: type, mend: dict[str, Any]) -> Any:
    """The class's own configuration; where its own values do not stand together, the mend goes in at once."""
    try:
        return kind()
    except Exception:  # each class has its own checks
        return kind(**{name: value for name, value in mend.items() if value is not ... and not isinstance(value, dict)})


def _parameters(kind: type, default: Any) -> list[str]:
    """What the class can be given: its fields where it is a dataclass, else the arguments of its constructor."""
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.init]
    else:
        names = list(inspect.signature(kind.__init__).parameters)[1:]
    return [name for name in names if _attribute(default, name) is not None]


def _attribute(config: Any, name: str) -> Any:
    if name in vars(config):  # a configuration whose layers differ refuses to be asked for what differs
        return vars(config)[name]
    try:
        return getattr(config, name, None)
    except (AttributeError, KeyError, NotImplementedError, ValueError):
        return None


def _token(name: str, value: Any, spare: Any) -> Any:
    """A special token: inside the vocabulary, and no two kinds alike where the name says which it is."""
    if value is None:
        return ...
    stem = re.sub(r"_(token_)?(id|ids|index|indices)$", "", name)
    number = _KNOWN_TOKENS.get(stem, next(spare))
    if isinstance(value, (list, tuple)):
        return type(value)([number])
    return number if whole(value) and (value >= 0 or stem == "pad") else value


def _list(name: str, value: Any, around: dict[str, Any], *, vary: bool) -> Any:
    """A list made small, or None where the class is better left to make it."""
    depths = {other for key, other in around.items() if is_depth(key, other)}
    if all(whole(item) for item in value):
        if name in ("depths", "depth", "num_blocks_per_stage"):
            return type(value)(min(item, 3) for item in value)
        stages = next((given for pattern, given in _STAGES.items() if re.fullmatch(pattern, name)), None)
        if stages is not None and ("depths" in around or len(value) not in depths):
            return type(value)(stages[place] for place in range(len(value)))
    if len(value) in depths and len(value) != LAYERS:
        if not vary:
            return None
        numbers = all(whole(item) for item in value) and len(set(value)) < len(value)
        return _of_each_kind(type(value)(small(name, item, around) for item in value) if numbers else value)
    if depths and value == sorted(value, key=repr) and all(whole(item) for item in value) and "layer" in name:
        return type(value)(item for item in value if item < LAYERS)
    return None


def _of_each_kind(values: Any) -> Any:
    """Four entries in which every kind of layer is there, in the order in which they first came."""
    kinds: list[Any] = []
    for item in values:
        if item not in kinds:
            kinds.append(item)
    if kinds == list(values) and all(whole(item) for item in values):  # numbers of layers
        return type(values)(values[:LAYERS])
    return type(values)((kinds * LAYERS)[:LAYERS]) if len(kinds) < LAYERS else type(values)(kinds[:LAYERS])


def is_config(value: object) -> bool:
    """Whether `value` is a configuration of transformers."""
    return any(each.__name__ == "PreTrainedConfig" for each in type(value).__mro__)


__all__ = ["VOCABULARY", "is_config", "small_config"]
