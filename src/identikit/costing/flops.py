"""FLOPs as torch's FlopCounterMode counts them, and when its number would be wrong: None instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from identikit.structure.operations import memory, only_looks
from identikit.structure.packed import packed
from identikit.structure.trees import leaves

# Words in the names of operations on several tensors that multiply no matrices: they move, choose, compare, normalise.
_NO_PRODUCTS = frozenset(
    [
        *("cat", "stack", "diag", "copy", "fill", "set", "resize", "complex", "polar", "dequantize", "quantize"),
        *("index", "gather", "take", "put", "scatter", "select", "masked", "embedding", "sampler"),
        *("norm", "unpool2d", "unpool3d", "pool2d", "pool3d", "prelu", "rrelu", "glu", "floor", "rsub", "copysign"),
        *("eq", "ne", "lt", "le", "gt", "ge", "isin", "equal", "allclose", "bucketize", "searchsorted", "loss"),
        *("bernoulli", "binomial", "normal", "linspace", "logspace", "entropy", "lift"),
    ]
)
# Words in the names of operations that multiply one matrix by itself, or take it apart.
_OF_ONE_MATRIX = frozenset(["linalg", "matrix", "cholesky", "inverse", "svd", "qr", "lu", "eigvals", "eigh", "geqrf"])
_TORCHS_OWN = ("aten", "prim", "prims")


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Scores and weighted sum for query [batch, heads, tokens, width]; keys may have fewer heads. Masks cut nothing."""
    batch, heads, tokens, width = query
    return 2 * batch * heads * tokens * key[-2] * (width + value[-1])


def _groups(rows: Sequence[int], weights: Sequence[int], *_: Any, **__: Any) -> int:
    """Rows [n, k] shared out among weights [groups, k, m] (mixtures of experts), and the other ways round."""
    times = rows[0] if len(rows) == len(weights) == 3 else 1
    return 2 * times * rows[-2] * rows[-1] * weights[-1]


def _triangle(matrix: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
    """n squared for each right-hand side. Source: Golub and Van Loan, Matrix Computations (2013), section 3.1."""
    return math.prod(out_shape) * matrix[-1]


# torch has no formula for these on a processor, and older versions none for keys of fewer heads.
_FORMULAS = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_grouped_mm": _groups,
    "linalg_solve_triangular": _triangle,
}


class Flops:
    """The running count of a pass under `mode`, call by call.

    Counted are products of matrices (2 m k n), convolutions and attention: what FlopCounterMode counts; element by
    element work is not. An operation that may multiply and that the counter does not know (the fused encoder layer of
    torch, cells of recurrent networks, quantised products, kernels of other libraries) makes a call's count unknown.
    """

    def __init__(self) -> None:
        aten = torch.ops.aten
        formulas = {getattr(aten, name): formula for name, formula in _FORMULAS.items() if hasattr(aten, name)}
        self.mode = FlopCounterMode(display=False, custom_mapping=formulas)
        self.mode.mod_tracker = _NoModules()  # type: ignore[assignment]
        self._open: list[_Call] = []
        self._read: set[int] = set()

    def begin(self) -> None:
        """A call begins."""
        self._open.append(_Call(self.mode.get_total_flops()))

    def end(self) -> int | None:
        """What was counted in the call that ends; None: the counter did not know all of it."""
        call = self._open.pop()
        if self._open:
            self._open[-1].known &= call.known
        return self.mode.get_total_flops() - call.start if call.known else None

    def note(self, func: Any, inputs: list[torch.Tensor], result: Any) -> bool:
        """One operation that ran, as the last of all modes sees it; whether the counter knew what it does."""
        if not only_looks(func):
            self._read.update(memory(tensor) for tensor in inputs if tensor.ndim > 1)
        known = func._overloadpacket in self.mode.flop_registry or not _may_multiply(func, inputs, result)
        if self._open:
            self._open[-1].known &= known
        return known

    def believable(self, module: nn.Module, count: int | None) -> int | None:
        """`count`; None where it is 0 and none of the layer's matrices was seen by any operation."""
        weights = (*module.parameters(), *(value for _, value in packed(module)))
        matrices = [value for value in weights if value.ndim > 1]
        unseen = bool(matrices) and not any(memory(value) in self._read for value in matrices)
        return None if count == 0 and unseen else count


class _NoModules(nullcontext[None]):
    """In place of what tells the counter which module runs: its hooks fail on weights that are handed to a module."""

    parents = frozenset({"Global"})


class _Call:
    """One open call: the count when it began, and whether the counter knew every operation since."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.known = True


def _may_multiply(func: Any, inputs: list[torch.Tensor], result: Any) -> bool:
    """Whether an operation without a formula may be a product of matrices."""
    if func.namespace not in _TORCHS_OWN:
        exchange = "c10d" in func.namespace  # between processes: nothing is computed
        return not exchange and any(isinstance(made, torch.Tensor) for _, made in leaves(result))
    if torch.Tag.pointwise in func.tags or only_looks(func):
        return False
    words = func._schema.name.partition("::")[2].split("_")
    if not _NO_PRODUCTS.isdisjoint(words):
        return False
    return not _OF_ONE_MATRIX.isdisjoint(words) or sum(_holds_numbers(tensor) for tensor in inputs) > 1


def _holds_numbers(tensor: torch.Tensor) -> bool:
    """Whether these may be factors: floating, complex, or quantised to a byte; not indices, not masks."""
    dtype = tensor.dtype
    one_byte = dtype.itemsize == 1 and dtype is not torch.bool
    return tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized or one_byte
