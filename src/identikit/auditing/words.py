"""What findings say alike: shapes, lists of names, and what to write instead of an operation in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from identikit.auditing.tape import Step

_SIGNS = {"add_": "+=", "sub_": "-=", "mul_": "*=", "div_": "/="}
#: Operations that put a value in place of another without reading it.
_FILLS = ("copy_", "fill_", "zero_", "index_put_", "_index_put_impl_", "index_copy_", "index_fill_", "masked_fill_")


def fills(step: Step) -> bool:
    """Whether an operation in place puts a value in place of another without reading it."""
    return step.name in _FILLS or _into_out(step)


def in_place(step: Step) -> str:
    """An operation in place as it is written in Python: "+=", "relu_", "mul(out=)"."""
    if _into_out(step):
        return f"{step.name}(out=)"
    return "=" if fills(step) else _SIGNS.get(step.name, step.name)


def instead(step: Step) -> str:
    """What to write instead of an operation in place."""
    where, name = step.visit.name, step.name
    if getattr(step.visit.module, "inplace", False) is True:
        return f"Use {type(step.visit.module).__name__}(inplace=False) for {where}."
    if name in _SIGNS:
        sign = _SIGNS[name]
        return f"In {where} write y = y {sign[0]} x, which makes a new value, instead of y {sign} x."
    if _into_out(step):
        return f"In {where} call {name} without out=, which makes a new value."
    if name in _FILLS or not hasattr(torch.Tensor, name.rstrip("_")):
        return f"In {where} write into a copy: x = x.clone()."
    return f"In {where} use {name.rstrip('_')}, which makes a new value, instead of {name}."


def _into_out(step: Step) -> bool:
    return not step.name.endswith("_") and bool(step.written)


def shape(tensor: torch.Tensor) -> str:
    """A shape as Python writes it."""
    return str(tuple(tensor.shape))


def listed(names: Sequence[str], most: int = 3) -> str:
    """`"a", "b" and 4 more`."""
    quoted = [f'"{name}"' for name in names]
    if len(quoted) <= most:
        return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
    return f"{', '.join(quoted[: most - 1])} and {len(quoted) - most + 1} more"
