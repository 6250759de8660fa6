"""Values that Python takes out of a tensor at once, `.tolist()` and `.numpy()`: the dispatcher sees no operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_NAMES = ("tolist", "numpy", "__array__", "__dlpack__")


class PythonReads(TorchFunctionMode):
    """Inside, `read` is told of every tensor whose values are taken so."""

    def __init__(self, read: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self._read = read

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _NAMES and isinstance(args[0], torch.Tensor):
            self._read(args[0])
        return func(*args, **(kwargs or {}))
