"""State dicts under the names that another library gives the same weights: read and written by a table of names."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.errors import BlockError, did_you_mean
from identikit.nn.shape_text import dtype_text, kind_text, size_text

State = dict[str, torch.Tensor]

# torch counts batches since 0.4.1; weights that are older say nothing of it
_MAY_LACK = ".num_batches_tracked"
_BUILD = "Give a whole state dict, to a network of its depth and options."


@dataclass(frozen=True)
class KeyMap:
    """What a network's modules are called elsewhere.

    Args:
        source: where; messages name it.
        names: rows of module names: ours, theirs, and what theirs was called in older versions. `{b}` stands for a
            number, `{b+1}` for one more: `("body.stage{s}.{b}.branch", "layer{s}.layer{b+1}")`.
        pointwise: our linear layers that are convolutions of size 1 there, with a weight `[out, in, 1, 1]`.

    Example:
        >>> KeyMap("timm", (("body.stage{s}.conv", "stages.{s-1}.conv"),)).theirs("body.stage1.conv.weight")
        ('stages.0.conv.weight',)
    """

    source: str
    names: tuple[tuple[str, ...], ...]
    pointwise: tuple[str, ...] = ()

    def theirs(self, key: str) -> tuple[str, ...]:
        """What our `key` is called there: the present name, then older ones.

        Raises:
            BlockError: if no row names the module.
        """
        module, _, tensor = key.rpartition(".")
        for ours, *theirs in self.names:
            if found := re.fullmatch(_pattern(ours), module):
                numbers = {name: int(number) for name, number in found.groupdict().items()}
                return tuple(f"{_filled(name, numbers)}.{tensor}" for name in theirs)
        raise BlockError(
            f'"{key}" has no name in {self.source}, whose networks have no such layer. Use load_state_dict.'
        )

    def read(self, state_dict: Mapping[str, Any], network: nn.Module) -> State:
        """`state_dict` under our names, checked against `network`; the values are not copied.

        The prefixes `module.` and `_orig_mod.` that DataParallel and torch.compile put before every key are dropped.
        Where the counts of batches are missing (weights older than torch 0.4.1), the network's own stand in.

        Raises:
            BlockError: for a key that is unknown, missing or there under two names; for a value that is no tensor, of
                another size, or that could not be copied without loss.
        """
        owner, own = type(network).__name__, network.state_dict()
        if not isinstance(state_dict, Mapping):
            raise BlockError(f"{owner}: {kind_text(state_dict)} is no state dict. Use torch.load(path) for a file.")
        given = _without_prefix(state_dict)
        names = {key: self.theirs(key) for key in own}
        self._check_keys(owner, given, names)
        found = {key: given[name] for key, either in names.items() for name in either if name in given}
        for key, value in found.items():
            theirs = next(name for name in names[key] if name in given)
            if reason := _unfit(value, own[key], self._shape_there(key, own[key])):
                raise BlockError(f'{owner}: "{theirs}" {reason}')
        return {key: found.get(key, value).reshape(value.shape) for key, value in own.items()}

    def write(self, network: nn.Module) -> State:
        """The state dict of `network` under their names, for `load_state_dict` there."""
        return {
            self.theirs(key)[0]: value.reshape(self._shape_there(key, value))
            for key, value in network.state_dict().items()
        }

    def _shape_there(self, key: str, value: torch.Tensor) -> tuple[int, ...]:
        module, _, tensor = key.rpartition(".")
        return (*value.shape, 1, 1) if module in self.pointwise and tensor == "weight" else tuple(value.shape)

    def _check_keys(self, owner: str, given: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> None:
        known = {name for either in names.values() for name in either}
        for name, value in given.items():
            if name not in known:
                hint = _hint(name, given, known, ours=names)
                raise BlockError(f'{owner}: unknown key "{name}" in a state dict of {self.source}.{hint}')
            if not isinstance(value, torch.Tensor):
                raise BlockError(f'{owner}: "{name}" is {kind_text(value)}, not a tensor. Give the plain state dict.')
        for either in names.values():
            there = [name for name in either if name in given]
            if len(there) > 1:
                raise BlockError(f'{owner}: "{there[0]}" and "{there[1]}" are one weight under two names. Drop one.')
            if not there and not either[0].endswith(_MAY_LACK):
                raise BlockError(f'{owner}: the state dict lacks the key "{either[0]}" of {self.source}. {_BUILD}')


def _unfit(value: torch.Tensor, ours: torch.Tensor, shape: tuple[int, ...]) -> str | None:
    """Why the value cannot be copied into ours, or would lose more than digits."""
    if value.shape != shape:
        return (
            f"is {size_text(value.shape)} in the state dict, {size_text(shape)} in this network. "
            "Build it with the sizes of the weights; exchange layers after loading."
        )
    if _kind(value) != _kind(ours):
        return f"holds {dtype_text(value)}, in this network {dtype_text(ours)}. Give the weights as they were trained."
    if value.layout != torch.strided:
        return "is sparse. Use .to_dense()."
    if value.is_meta:
        return "is on the meta device and holds no values. Load the file to another device."
    return 'finds this network on the meta device. Use .to_empty(device="cpu") first.' if ours.is_meta else None


def _kind(value: torch.Tensor) -> tuple[bool, bool, bool]:
    """Floating, complex, bool, or else whole numbers."""
    return value.is_floating_point(), value.is_complex(), value.dtype == torch.bool


def _hint(name: str, given: Mapping[str, Any], known: Iterable[str], *, ours: Container[str]) -> str:
    for key, value in given.items():  # a checkpoint, which holds the weights beside other things
        if isinstance(value, Mapping) and value and all(isinstance(each, torch.Tensor) for each in value.values()):
            return f' Pass state_dict["{key}"].'
    if name in ours:
        return " That is its name here: use load_state_dict."
    return f"{did_you_mean(name, sorted(known))} {_BUILD}"


def _pattern(name: str) -> str:
    return re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(name))


def _filled(name: str, numbers: Mapping[str, int]) -> str:
    return re.sub(r"\{(\w)([+-]1)?\}", lambda found: str(numbers[found[1]] + int(found[2] or 0)), name)


def _without_prefix(state_dict: Mapping[Any, Any]) -> dict[str, Any]:
    """Every key as a string, without the names of wrappers that all of them begin with."""
    given = {str(key): value for key, value in state_dict.items()}
    found = re.match(r"((module|_orig_mod)\.)+", next(iter(given), ""))
    if found is None or not all(key.startswith(found[0]) for key in given):
        return given
    return {key.removeprefix(found[0]): value for key, value in given.items()}
