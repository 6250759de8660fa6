"""What torch's exporter, onnxscript and onnxruntime say while they work, kept quiet: each by whose it is."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr

from identikit.families.hushed import hushed

_THEIRS = r"(onnxscript|onnx_ir|torch\.onnx|torch\.export|torch\._export|torch\._dynamo)\."
_LOGGERS = ("torch.onnx", "torch.export", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")


@contextmanager
def quietly() -> Iterator[None]:
    """For the time of a call into these libraries: their deprecations and notes are not the user's to mend."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # torch pickles a class of its own that it has deprecated; the place shown is the standard library's copyreg.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.filterwarnings("ignore", category=category, module=_THEIRS)
        stack.enter_context(redirect_stderr(io.StringIO()))  # torch.export prints its graph so far before it raises
        for library in _LOGGERS:
            stack.enter_context(hushed(library))
        yield
