"""What may stand for a layer on request, by name: a new one is a file like those imported here, and its class below."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from identikit.surgery.adapter import AsAdapter
from identikit.surgery.mean import AsMean
from identikit.surgery.resampled import AsResample
from identikit.surgery.shortcut import AsShortcut
from identikit.surgery.substitute import Substitute

_ALL = (AsMean(), AsShortcut(), AsAdapter(), AsResample())
SUBSTITUTES: Mapping[str, Substitute] = MappingProxyType({each.name: each for each in _ALL})
