"""The learning rate where none is given: the wider the layers, the smaller.

Source: Yang et al. 2022, "Tensor Programs V" (arXiv:2203.03466): under Adam the best rate of a matrix falls with the
number of its inputs. The constant was tried on a sentence model 384 wide and a language model 128 wide.
"""

from __future__ import annotations

import itertools

from torch import nn

from identikit.healing.weights import learning

PER_WIDTH = 0.1
HIGHEST = 1e-3
ADAPTED = 5.0  # adapters begin at nothing, and take larger steps


def rate_for(model: nn.Module, *, adapters: bool = False) -> float:
    """The rate for `model`: by the number of inputs that half of its weights have at most."""
    matrices = [value for value in learning(model).values() if value.ndim > 1]
    sizes = sorted((value.shape[1], value.numel()) for value in matrices)
    passed = itertools.accumulate(size for _, size in sizes)
    half = sum(size for _, size in sizes) / 2
    width = next((width for (width, _), so_far in zip(sizes, passed, strict=True) if so_far >= half), 1)
    found = min(HIGHEST, PER_WIDTH / max(1, width))
    return float(f"{found * (ADAPTED if adapters else 1):.2g}")
