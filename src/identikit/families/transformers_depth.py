"""Bring a configuration in step with a shortened or grown stack: propose, then prove by building without memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from identikit.families.layered import follow, layered_weights
from identikit.families.transformers_config import config_tree, configs_on_the_way, is_model
from identikit.families.transformers_decoding import cache_slots, may_decode
from identikit.families.transformers_proposals import Change, Cut, Proposal, proposals
from identikit.families.transformers_quiet import nothing_drawn, silenced

MOST_PROPOSALS = 200
MOST_THAT_FIT = 50  # models built to look for one whose layers say the same of themselves
Shapes = Mapping[str, tuple[int, ...]]
Undo = Callable[[], None]


@dataclass(frozen=True)
class Fit:
    """How near a model built from a proposal comes to the edited one.

    `apart`: how many weights, how many plain attributes differ. `layered`: weights beside the stack that hold a part
    for each layer, with the dimension; they do not count as different. `sizes`: what their modules say of themselves.
    """

    proposal: Proposal
    apart: tuple[int, int]
    layered: Mapping[str, int]
    sizes: Mapping[str, Any]


def resize(model: nn.Module, stack: str, keep: Sequence[int], depth: int) -> Undo:
    """Change the configurations of `model` in place until they say what `stack` became; returns the undo.

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
            best = _best(module, config, cut)
            covered = best is not None or _covered(config, levels[place + 1 :])
            undos.append(_apply(best.proposal if best else () if covered else _guess(config, cut), module))
            if best:
                undos.append(follow(module, best.layered, cut.keep, cut.depth, best.sizes))
    except BaseException:
        _undo_all(undos)
        raise
    return lambda: _undo_all(undos)


def _best(module: nn.Module, config: Any, cut: Cut) -> Fit | None:
    """The first proposal that is proved, else the one that comes nearest; None where the module cannot be built.

    What the weights' shapes leave open (a window, a scale, positions or none) the modules' plain attributes tell.
    """
    shapes, attributes = _shapes(module), _attributes(module)
    best: Fit | None = None
    fitting = 0
    for proposal in islice(proposals(config, cut), MOST_PROPOSALS):
        fit = _fit(module, config, proposal, cut, shapes, attributes)
        if fit is not None and (best is None or fit.apart < best.apart):
            best = fit
        fitting += fit is not None and fit.apart[0] == 0
        if (fit is not None and fit.apart == (0, 0)) or fitting == MOST_THAT_FIT:
            break
    return best


def _cache_holds(module: nn.Module, config: Any, proposal: Proposal, cut: Cut) -> bool:
    """Whether a cache has a place for each layer of a grown stack, where it had one before; else nothing is asked."""
    if len(cut.keep) <= cut.depth or not may_decode(module) or cache_slots(config) < cut.depth:
        return True
    undo = _apply(proposal)
    try:
        return cache_slots(config) >= len(cut.keep)
    finally:
        undo()


def _covered(config: Any, outer: Sequence[tuple[nn.Module, Any]]) -> bool:
    """Whether `config` is part of an outer one, whose proof will decide it."""
    return any(config is part for _, above in outer for part in config_tree(above))


def _guess(config: Any, cut: Cut) -> Proposal:
    """Where nothing can be proved: the first count that speaks of layers, with its lists."""
    return next(islice(proposals(config, cut), 1, None), ())


def _fit(
    module: nn.Module, config: Any, proposal: Proposal, cut: Cut, shapes: Shapes, attributes: Mapping[str, Any]
) -> Fit | None:
    """How near `module` is to one built from the changed configuration; None: it cannot be built."""
    undo = _apply(proposal)
    try:
        built, readable = _built(module, copy.deepcopy(config)), _reads_back(config)
    except Exception:  # a configuration or a constructor that refuses the proposal refutes it, whatever it raises
        return None
    finally:
        undo()
    own, said = _shapes(built), _attributes(built)
    layered = layered_weights(shapes, own, len(cut.keep), cut.depth)
    unlike = [name for name, shape in shapes.items() if own.get(name) != shape and name not in layered]
    there = {name.rpartition(".")[0] for name in layered}
    other = [name for name, value in attributes.items() if name in said and said[name] != value]
    sizes = {name: said[name] for name in other if name.partition(":")[0] in there and isinstance(said[name], int)}
    weights = len(unlike) + len(own.keys() - shapes.keys())
    cached = weights > 0 or _cache_holds(module, config, proposal, cut)
    told = len(other) - len(sizes) + (not cached) + (not readable)
    return Fit(proposal, (weights, told), layered, {name.replace(":", "."): value for name, value in sizes.items()})


def _built(module: nn.Module, config: Any) -> nn.Module:
    """The module as its class builds it from `config`: no memory, no weights, no random numbers drawn."""
    if not is_model(module):
        raise TypeError(f"{type(module).__name__} is not built from a configuration alone")
    with silenced(), torch.random.fork_rng(devices=[]), torch.device("meta"), nothing_drawn():
        for part in config_tree(config):
            validate = getattr(part, "validate", None)  # what saving asks of it; not every configuration has it
            if callable(validate):
                validate()
        model: nn.Module = type(module)(config)
    return model


def _reads_back(config: Any) -> bool:
    """Whether a configuration that was written down is taken when it is read: some check their lists only then."""
    try:
        type(config).from_dict(config.to_dict())
    except Exception:  # whatever it raises
        return False
    return True


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items() if hasattr(value, "shape")}


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What the modules say of themselves in plain values, by path: the kind of attention, a window, a scale."""
    found: dict[str, Any] = {}
    for path, each in module.named_modules():
        found[path] = type(each)
        for name, value in vars(each).items():
            if isinstance(value, (int, float, str)) and not name.startswith("_") and name != "training":
                found[f"{path}:{name}"] = value
    return found


def _apply(proposal: Sequence[Change], reading: nn.Module | None = None) -> Undo:
    """Write the new values; the undo puts back what each `__dict__` held, bit for bit.

    A list of the configuration that a module of `reading` holds as its own attribute (the numbers of the layers that
    attend to pictures) is exchanged there too.
    """
    held: list[tuple[dict[str, Any], str, Any]] = []
    for change in proposal:
        old = vars(change.config)[change.name]
        homes = [(vars(change.config), change.name)]
        if reading is not None and isinstance(old, (list, dict)):
            homes += [(vars(each), name) for each in reading.modules() for name, v in vars(each).items() if v is old]
        for home, name in homes:
            held.append((home, name, home[name]))
            home[name] = change.value

    def undo() -> None:
        for home, name, value in reversed(held):
            home[name] = value

    return undo


def _undo_all(undos: list[Undo]) -> None:
    while undos:
        undos.pop()()
