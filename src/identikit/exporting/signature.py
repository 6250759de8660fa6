"""What goes into a graph and comes out of it: the tensors of a call, flat, by the names that the forward has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from identikit.batches import Batch
from identikit.structure.trees import Path, at, leaves, rebuilt

Tensors = dict[str, torch.Tensor]  # the inputs by name
_TAKES_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Signature:
    """The tensors of one call by name. `inputs` and `outputs` say where in (args, kwargs) and in the output each lies.

    The first `positional` inputs are given by position. What is no tensor (switches, None) is part of the graph.
    """

    batch: Batch
    inputs: Mapping[str, Path]
    positional: int
    outputs: Mapping[str, Path]

    def tensors(self) -> Tensors:
        """The example's own."""
        whole = (self.batch.args, dict(self.batch.kwargs))
        return {name: at(whole, path) for name, path in self.inputs.items()}

    def arguments(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) of the model's own forward with `tensors` in their places."""
        by_path = {path: tensors[name] for name, path in self.inputs.items()}
        whole = (self.batch.args, dict(self.batch.kwargs))
        args, kwargs = rebuilt(whole, lambda path, leaf: by_path.get(path, leaf))
        return args, kwargs

    def given(self, tensors: Tensors) -> tuple[tuple[torch.Tensor, ...], Tensors]:
        """(args, kwargs) of the flat forward, which is the graph's."""
        names = list(self.inputs)
        args = tuple(tensors[name] for name in names[: self.positional])
        return args, {name: tensors[name] for name in names[self.positional :]}

    def picked(self, output: Any) -> tuple[Any, ...]:
        """The output's tensors, in the order of `outputs`."""
        return tuple(at(output, path) for path in self.outputs.values())


def flat_forward(forward: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """`forward` that takes and gives nothing but the signature's tensors; inspect.signature shows their names.

    A function, not a callable object: torch's tracer reads its code. One output stands alone, several make a tuple.
    """

    def flat(*args: Any, **kwargs: Any) -> Any:
        named = dict(zip(signature.inputs, args, strict=False)) | kwargs
        own_args, own_kwargs = signature.arguments(named)
        found = signature.picked(forward(*own_args, **own_kwargs))
        return found[0] if len(found) == 1 else found

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    flat.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in signature.inputs])  # type: ignore[attr-defined]
    return flat


def without_target(forward: Callable[..., Any], batch: Batch) -> Batch:
    """`batch` without what it is judged against (labels): the graph takes no answers. Needed arguments stay."""
    if batch.target is None:
        return batch
    parameters = inspect.signature(forward).parameters
    needed = {name for name, one in parameters.items() if one.default is one.empty and one.kind not in _TAKES_ANY}
    kept = {name: value for name, value in batch.kwargs.items() if value is not batch.target or name in needed}
    return replace(batch, kwargs=kept)


def signature_of(forward: Callable[..., Any], batch: Batch, output: Any) -> Signature:
    """The names of the tensors in `batch` and in `output`, which `forward` made of it.

    Outputs that are one of the inputs, handed back, are left out: they are known.
    """
    given = [(path, leaf) for path, leaf in leaves((batch.args, dict(batch.kwargs))) if _tensor(leaf)]
    inputs = _named([_input_name(forward, path) for path, _ in given], [path for path, _ in given])
    positional = sum(path[0] == 0 for path, _ in given)
    taken = {id(leaf) for _, leaf in given}
    made = [path for path, leaf in leaves(output) if _tensor(leaf) and id(leaf) not in taken]
    outputs = _named([_output_name(path) for path in made], made, taken=set(inputs))
    return Signature(batch, inputs, positional, outputs)


def _tensor(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor)


def _input_name(forward: Callable[..., Any], path: Path) -> tuple[str, str]:
    """The short name, and the full one where that is not unique."""
    kind, first, *rest = path
    name = str(first) if kind == 1 else _parameter(forward, int(first))
    words = [str(each) for each in rest if isinstance(each, str)]
    return (words[-1] if words else "_".join([name, *map(str, rest)])), "_".join([name, *map(str, rest)])


def _parameter(forward: Callable[..., Any], position: int) -> str:
    """What `forward` calls its argument at `position`."""
    parameters = list(inspect.signature(forward).parameters.values())
    for number, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            return f"{parameter.name}_{position - number}"
        if number == position:
            return parameter.name
    return f"input_{position}"


def _output_name(path: Path) -> tuple[str, str]:
    full = "_".join(map(str, path))
    full = full if full and not full[0].isdigit() else f"output_{full}".rstrip("_")
    return full, full


def _named(names: list[tuple[str, str]], paths: list[Path], taken: set[str] | None = None) -> dict[str, Path]:
    """Each path under its short name where that is free and unique, else its full one: all Python identifiers."""
    short = [one for one, _ in names]
    found: dict[str, Path] = {}
    for (one, full), path in zip(names, paths, strict=True):
        name = re.sub(r"\W", "_", one if short.count(one) == 1 else full)
        while name in found or name in (taken or ()):
            name = f"{name}_out" if taken else f"{name}_"
        found[name] = path
    return found
