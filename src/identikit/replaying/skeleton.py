"""A pass that computes no layer of a chain: it only finds out what each layer is given beside its stream.

What stands beside the stream (masks, positions) does not depend on it: `links.py` has seen to that. So the layers may
hand their streams on uncomputed while the arguments are recorded, and the full model becomes one more branch of the
stack. That saves a pass for each batch, and where weights lie on a disk, a reading of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.replaying.errors import NotReplayableError
from identikit.replaying.links import Segment
from identikit.replaying.passes import Passes
from identikit.replaying.recording import Recorder, Recording
from identikit.structure.override import Forward
from identikit.structure.trees import Path, at, rebuilt
from identikit.surgery.check import NOT_RUN


class _EndedError(Exception):
    """The last layer was reached: what comes after it is not asked for."""


class Skeleton:
    """Records passes in which the layers of `segment` hand their stream on."""

    def __init__(self, passes: Passes, recorder: Recorder, segment: Segment, outputs: Mapping[str, Any]) -> None:
        """`outputs`: what each layer returned once, as a pattern of what it returns."""
        self._passes = passes
        self._recorder = recorder
        self._outputs = outputs
        self._last = segment.links[-1].path
        # A layer takes its stream where the next one does (of the last one: where it does itself).
        ways = [link.carried for link in segment.links[1:]]
        self._ways = dict(zip([link.path for link in segment.links], [*ways, ways[-1]], strict=True))

    def recorded(self, number: int, batch: Batch) -> Recording:
        """The pass over a batch, up to the last layer.

        Raises NotReplayableError where the model does not run without what is left out.
        """
        run = self._passes.runner(batch, number)

        def until_the_end() -> Any:
            try:
                return run()
            except _EndedError:
                return None
            except NOT_RUN as cause:
                raise NotReplayableError(f"the model does not run while its layers hand on ({cause})") from cause

        return self._recorder.record(until_the_end, self._wrap)

    def _wrap(self, path: str, module: nn.Module, forward: Forward) -> Forward:
        if path not in self._ways:
            return forward
        streams = {out: place for place, out in self._ways[path].items()}

        def handing_on(*args: Any, **kwargs: Any) -> Any:
            if path == self._last:
                raise _EndedError
            return rebuilt(self._outputs[path], lambda out, leaf: self._leaf(out, leaf, streams, (args, kwargs)))

        return handing_on

    def _leaf(self, out: Path, leaf: Any, streams: Mapping[Path, Path], given: Any) -> Any:
        if out in streams:
            return at(given, streams[out])
        return None if isinstance(leaf, torch.Tensor) else leaf
