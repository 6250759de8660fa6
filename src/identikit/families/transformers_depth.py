"""Bring a configuration in step with a shortened stack: propose, then prove by building the model without memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn

from identikit.families.transformers_config import config_tree, configs_on_the_way, is_model
from identikit.families.transformers_proposals import Change, Cut, Proposal, proposals
from identikit.families.transformers_quiet import silenced

MOST_PROPOSALS = 200
Shapes = Mapping[str, tuple[int, ...]]
Undo = Callable[[], None]


def resize(model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Undo:
    """Change the configurations of `model` in place until they say what is left of `stack`; returns the undo.

    Each configuration on the way from the stack to the model is brought in step for itself, the innermost first
    (an encoder may hold a copy). Of all proposals the first that builds a model with the very same state dict keys
    and shapes is taken; where none does, the one that comes nearest, so that the forward still runs: whether a
    checkpoint can say it is for saving to judge, which loads it again and compares.
    """
    cut = Cut(stack, tuple(keep), depth)
    undos: list[Undo] = []
    try:
        levels = configs_on_the_way(model, stack)
        for place, (module, config) in enumerate(levels):
            proposal = _best(module, config, cut)
            if proposal is None and not _covered(config, levels[place + 1 :]):
                proposal = _guess(config, cut)
            undos.append(_apply(proposal or ()))
    except BaseException:
        _undo_all(undos)
        raise
    return lambda: _undo_all(undos)


def _best(module: nn.Module, config: Any, cut: Cut) -> Proposal | None:
    """The first proposal that is proved, else the one that comes nearest; None where the module cannot be built."""
    wanted = _shapes(module)
    best: Proposal | None = None
    least = 0
    for proposal in islice(proposals(config, cut), MOST_PROPOSALS):
        difference = _difference(module, config, proposal, wanted)
        if difference == 0:
            return proposal
        if difference is not None and (best is None or difference < least):
            best, least = proposal, difference
    return best


def _covered(config: Any, outer: Sequence[tuple[nn.Module, Any]]) -> bool:
    """Whether `config` is part of an outer one, whose proof will decide it."""
    return any(config is part for _, above in outer for part in config_tree(above))


def _guess(config: Any, cut: Cut) -> Proposal:
    """Where nothing can be proved: the first count that speaks of layers, with its lists."""
    return next(islice(proposals(config, cut), 1, None), ())


def _difference(module: nn.Module, config: Any, proposal: Proposal, wanted: Shapes) -> int | None:
    """How many weights of `module` differ from one built from the changed configuration; None: it cannot be built."""
    undo = _apply(proposal)
    try:
        built = _shapes(_built(module, copy.deepcopy(config)))
    except Exception:  # a configuration or a constructor that refuses the proposal refutes it, whatever it raises
        return None
    finally:
        undo()
    return sum(built.get(name) != shape for name, shape in wanted.items()) + len(built.keys() - wanted.keys())


def _built(module: nn.Module, config: Any) -> nn.Module:
    """The module as its class builds it from `config`: no memory, no weights, no random numbers drawn."""
    from transformers.initialization import no_init_weights

    if not is_model(module):
        raise TypeError(f"{type(module).__name__} is not built from a configuration alone")
    with silenced(), torch.random.fork_rng(devices=[]), torch.device("meta"), no_init_weights():
        for part in config_tree(config):
            validate = getattr(part, "validate", None)  # what saving asks of it; not every configuration has it
            if callable(validate):
                validate()
        model: nn.Module = type(module)(config)
    return model


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items() if hasattr(value, "shape")}


def _apply(proposal: Sequence[Change]) -> Undo:
    """Write the new values; the undo puts back what each configuration's `__dict__` held, bit for bit."""
    held = [(change.config, change.name, vars(change.config)[change.name]) for change in proposal]
    for change in proposal:
        vars(change.config)[change.name] = change.value

    def undo() -> None:
        for config, name, value in held:
            vars(config)[name] = value

    return undo


def _undo_all(undos: list[Undo]) -> None:
    while undos:
        undos.pop()()
