"""What one watched pass shows of the layers that a rewrite may touch: who made a tensor, who reads it, what forbids."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from identikit.structure.operations import memory
from identikit.structure.trees import leaves
from identikit.structure.watch import Call, Watched

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class View:
    """The facts of one pass over `model`, asked for by path."""

    def __init__(self, model: nn.Module, watched: Watched) -> None:
        self.model, self.watched = model, watched
        self.modules = dict(model.named_modules(remove_duplicate=False))  # "" is the model itself
        self._places = Counter(id(module) for module in self.modules.values())
        self._owners = Counter(memory(value) for _, value in model.named_parameters(remove_duplicate=False))
        self._returned = {memory(leaf) for _, leaf in leaves(watched.output) if isinstance(leaf, torch.Tensor)}

    def forbids(self, path: str) -> str | None:
        """Why a layer, with all in it, must stay as it is; None where nothing forbids."""
        inner = (self.forbids_alone(each) for each, _ in self.modules[path].named_modules(prefix=path))
        return next((why for why in inner if why is not None), None)

    def forbids_alone(self, path: str) -> str | None:
        """Why a layer, whatever is in it, must stay as it is; None where nothing forbids."""
        module, name = self.modules[path], f'"{path}"'
        if self._places[id(module)] > 1:
            return f"{name} stands in {self._places[id(module)]} places"
        if path in self.watched.patched:
            return f"{name} has a forward of its own on the instance"
        if any(getattr(module, hooks, None) for hooks in _HOOKS):
            return f"{name} has a hook"
        if hasattr(module, "parametrizations"):
            return f"{name} has a parametrised weight"
        return None

    def called_once(self, path: str) -> str | None:
        """Why a layer is not one that is called once, for a sentence; None where it is."""
        calls = len(self.watched.by_path.get(path, []))
        return None if calls == 1 else f'"{path}" is called {calls} times'

    def linear(self, call: Call) -> bool:
        """Whether a call was one product with the layer's own weight, and nothing after it."""
        module = call.module
        if not isinstance(module, nn.Linear | _ConvNd) or not plain(call):
            return False
        weight = module._parameters.get("weight")
        if weight is None or type(weight) is not nn.Parameter or not weight.is_floating_point():
            return False
        made = memory(call.output)
        born = self.watched.born.get(made)
        if born is None or memory(weight) not in {memory(value) for value in self.watched.operations[born][0]}:
            return False  # the weight was changed first (standardised), or something was done with the product
        inside = (read for read in self.watched.reads.get(made, []) if call.start <= read.tick <= call.end)
        return not any(read.mutates for read in inside)

    def weights_bound(self, path: str) -> str | None:
        """Why the weights of a layer may not be changed: somebody else holds or reads them."""
        (call,) = self.watched.by_path[path]
        for name, value in self.modules[path]._parameters.items():
            if value is None:
                continue
            if self._owners[memory(value)] > 1:
                return f'the {name} of "{path}" is shared'
            if any(not call.start <= read.tick <= call.end for read in self.watched.reads.get(memory(value), [])):
                return f'the {name} of "{path}" is read elsewhere'
        return None

    def maker(self, tensor: torch.Tensor) -> Call | None:
        """The call that made `tensor`: of those that returned it the one that ended first."""
        made = [call for call, _ in self.watched.makers.get(id(tensor), [])]
        return min(made, key=lambda call: call.end, default=None)

    def taker(self, tensor: torch.Tensor, maker: Call) -> Call | None:
        """The innermost call that takes `tensor` and hands it to nobody else."""
        taken = [call for call, _ in self.watched.takers.get(id(tensor), []) if not call.within(maker)]
        taken = [call for call in taken if not any(value is tensor for _, value in call.tensors_out())]
        return max(taken, key=lambda call: call.start, default=None)

    def read_elsewhere(self, tensor: torch.Tensor, maker: Call, reader: Call) -> str | None:
        """Who else sees `tensor`, made by `maker` and read by `reader`; None where nobody does."""
        name = f'the output of "{maker.path}"'
        if memory(tensor) in self._returned:
            return f"{name} is an output of the model"
        reads = self.watched.readers(tensor, outside=maker)
        if any(not reader.start <= read.tick <= reader.end for read in reads):
            return f"{name} is read by something else too"
        passed = [*self.watched.takers.get(id(tensor), []), *self.watched.makers.get(id(tensor), [])]
        hooked = (call for call, _ in passed if any(getattr(call.module, hooks, None) for hooks in _HOOKS))
        seen = next(hooked, None)
        return None if seen is None else f'a hook on "{seen.path}" sees {name}'


def plain(call: Call) -> bool:
    """Whether a call took one tensor by position, and nothing else, and returned one."""
    one_in = len(call.args) == 1 and not call.kwargs and isinstance(call.args[0], torch.Tensor)
    return one_in and isinstance(call.output, torch.Tensor)
