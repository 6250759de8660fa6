"""The learning rate where none is given: the wider the layers, the smaller.

Yang et al. 2022, "Tensor Programs V" (arXiv:2203.03466): under Adam the best rate of a matrix falls with the number of
its inputs. The exponent and the constant were tried on a sentence model 384 wide (2.6e-4 against 1e-4) and a language
model 128 wide (2e-3 against 8e-4); at 768 and 4,096 they give 9e-5 and 8e-6, as is usual there.
"""

from __future__ import annotations

import itertools

from torch import nn

from identikit.healing.weights import learning

RATE, EXPONENT = 2.0, 1.5
HIGHEST = 2e-3
ADAPTED = 10.0  # adapters begin at nothing, and take larger steps
HIGHEST_ADAPTED = 5e-3


def rate_for(model: nn.Module, *, adapters: bool = False) -> float:
    """The rate for `model`: by the number of inputs that half of its weights have at most."""
    matrices = [value for value in learning(model).values() if value.ndim > 1]
    sizes = sorted((value.shape[1], value.numel()) for value in matrices)
    passed = itertools.accumulate(size for _, size in sizes)
    half = sum(size for _, size in sizes) / 2
    width = next((width for (width, _), so_far in zip(sizes, passed, strict=True) if so_far >= half), 1)
    found = RATE / max(1, width) ** EXPONENT
    found = min(HIGHEST_ADAPTED, ADAPTED * found) if adapters else min(HIGHEST, found)
    return float(f"{found:.2g}")
