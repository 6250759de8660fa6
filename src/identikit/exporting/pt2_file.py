"""A graph as torch.export's own file: written, loaded and run by torch alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.errors import SaveError
from identikit.exporting.graph import Graph
from identikit.exporting.quiet import quietly
from identikit.exporting.signature import Signature, Tensors
from identikit.files import Unfailing


def require(model: nn.Module) -> None:
    """Nothing but torch is needed."""


def write(graph: Graph, signature: Signature, file: Path, opset: int | None) -> None:
    """Write `graph` to `file`. Raises SaveError for an opset, which only ONNX has, and for what torch cannot write."""
    if opset is not None:
        raise SaveError(f"opset={opset} is for .onnx; {file.name} has none. Leave it out.")
    try:
        with quietly(), file.open("xb") as written:
            whole: Any = Unfailing(written)
            torch.export.save(graph.program, whole)
            whole.settle()
    except (torch.OutOfMemoryError, OSError):
        raise
    except Exception as cause:  # whatever the serialiser raises on an operation or a constant it does not know
        raise SaveError(f"torch.export.save cannot write {file.name}: {' '.join(str(cause).split())[:300]}") from cause


def opened(file: Path, signature: Signature) -> Callable[[Tensors], tuple[torch.Tensor, ...]]:
    """What `file` computes. Raises SaveError where torch does not load it."""
    try:
        with quietly():
            module = torch.export.load(str(file)).module()
    except Exception as cause:
        raise SaveError(f"torch.export.load does not read {file.name}: {' '.join(str(cause).split())[:300]}") from cause

    def run(tensors: Tensors) -> tuple[torch.Tensor, ...]:
        args, kwargs = signature.given(tensors)
        with torch.no_grad():
            found = module(*args, **kwargs)
        return found if isinstance(found, tuple) else (found,)

    return run
