"""The values of a block's weights that end a branch (zero, or what makes a norm give zero) or let a stream pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from identikit.growing.attempt import NOT_RUN, Trial
from identikit.structure.noise import tensors
from identikit.structure.traceless import traceless
from identikit.structure.trees import at
from identikit.structure.watch import Watched


class Values:
    """The floating weights of a block: what they hold, what closes them, and the way back."""

    def __init__(self, block: nn.Module, closing: Mapping[str, float]) -> None:
        self._weights = {name: value for name, value in block.named_parameters() if value.is_floating_point()}
        self._before = {name: value.detach().clone() for name, value in self._weights.items()}
        self._buffers = {name: (value, value.detach().clone()) for name, value in block.named_buffers()}
        self._closing = closing
        self.names = list(self._weights)

    def close(self, names: Iterable[str]) -> None:
        """Zero, or what makes the norm they belong to give zero."""
        self._fill(names, lambda name: self._closing.get(name, 0.0))

    def open(self, names: Iterable[str]) -> None:
        """Ones (for a bias zero): a scale that changes nothing."""
        self._fill(names, lambda name: 0.0 if name.endswith("bias") else 1.0)

    @property
    def vectors(self) -> list[str]:
        """Norms, scales and biases."""
        return [name for name in self.names if self._weights[name].ndim <= 1]

    def exclude(self, name: str) -> None:
        """Leave this weight as it is from now on."""
        self.names.remove(name)

    def now(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """What these hold at present."""
        return {name: self._weights[name].detach().clone() for name in names}

    def set(self, held: Mapping[str, torch.Tensor]) -> None:
        """Let these hold what `now` gave."""
        with torch.no_grad():
            for name, value in held.items():
                self._weights[name].data.copy_(value)

    def put_back(self, names: Iterable[str]) -> None:
        """The values that the copied layer had."""
        self.set({name: self._before[name] for name in names})
        for value, before in self._buffers.values():
            value.data.copy_(before)

    def changed(self) -> list[str]:
        """The weights that hold something else than at first."""
        return [name for name, value in self._weights.items() if not _alike(value.detach(), self._before[name])]

    def _fill(self, names: Iterable[str], value_of: Callable[[str], float]) -> None:
        with torch.no_grad():
            for name in names:
                self._weights[name].data.fill_(value_of(name))


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _norms(block: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, nn.Parameter]]]:
    """The modules that own vectors (a norm, a scale) and nothing larger, by name."""
    for name, module in block.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if own and all(value.ndim <= 1 for value in own.values()):
            yield name, module, own


def closing_values(block: nn.Module, watched: Watched, path: str) -> dict[str, float]:
    """Where zero does not make a norm give zero, what does: minus one, for one whose weight is an offset from one."""
    found: dict[str, float] = {}
    for name, module, own in _norms(block):
        if not name:  # its own vectors stand between other layers; zero is right for a scale
            continue
        calls = watched.by_path.get(f"{path}.{name}")
        scale = next(iter(own))
        if not calls:
            continue
        before = {each: value.detach().clone() for each, value in own.items()}
        try:
            for value in (0.0, -1.0):
                for each, weight in own.items():
                    weight.data.fill_(value if each == scale else 0.0)
                with traceless(module):
                    gives = tensors(module(*calls[0].args, **calls[0].kwargs))
                if gives and all(not bool(each.any()) for each in gives):
                    found[f"{name}.{scale}"] = value
                    break
        except NOT_RUN:  # a module that asks for more than its arguments: zero is tried like everywhere
            continue
        finally:
            for each, weight in own.items():
                weight.data.copy_(before[each])
    return found


def norms_on_the_stream(trial: Trial, values: Values) -> list[str]:
    """The norms and scales through which the whole stream goes: closed, they alone leave nothing of it."""
    found = []
    for name, _, own in _norms(trial.block):
        names = [each for each in (f"{name}.{one}".lstrip(".") for one in own) if each in values.names]
        values.close(names)
        try:
            out = trial.run(trial.streams[1])
            gone = [not bool(at(out, path).any()) for path in trial.flow.streams]
        except NOT_RUN:
            gone = []
        values.put_back(names)
        if gone and all(gone):
            found.append(name)
    return found


def fill_dirac(block: nn.Module) -> bool:
    """Make every linear layer and convolution hand its input on, and every batch norm; whether that is possible.

    For a chain without a shortcut. Batch norms get the running statistics of values that are normalised already.
    """
    layers = [module for module in block.modules() if isinstance(module, (nn.Linear, _ConvNd))]
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    if not layers or not all(_hands_on(layer) for layer in layers):
        return False
    for norm in norms:
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
        if norm.affine:
            norm.weight.data.fill_((1 + norm.eps) ** 0.5)
            norm.bias.data.zero_()
    return True


def _hands_on(layer: nn.Linear | _ConvNd) -> bool:
    """Give a layer the weights that hand its input on; False where it has other sizes."""
    weight = layer.weight.data
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    if weight.shape[0] != weight.shape[1] * groups or getattr(layer, "transposed", False):
        return False
    if weight.ndim == 2:
        weight.copy_(torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device))
    else:
        nn.init.dirac_(weight, groups)
    if layer.bias is not None:
        layer.bias.data.zero_()
    return True
