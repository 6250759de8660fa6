"""Does a grown model still decode with its cache? Its layers have new numbers, and the cache is indexed by them."""

from __future__ import annotations

import torch

from identikit.families.anatomy import Anatomy
from identikit.structure.compare import equal


class Decoding:
    """How a model decodes before it grows; nothing is asked of one that does not decode, or not as it should."""

    def __init__(self, anatomy: Anatomy) -> None:
        self._anatomy = anatomy
        self._before = _tried(anatomy, cached=True)[0]
        self._consistent = self._before is not None and self._as_without(self._before)

    def broken(self, *, unchanged: bool) -> str | None:
        """What is wrong with the decoding of the grown model, if anything.

        `unchanged`: it must find what it found before; else, with a cache, what it finds without one.
        """
        if self._before is None or not (unchanged or self._consistent):
            return None
        now, why = _tried(self._anatomy, cached=True)
        if now is None:
            return f"it no longer decodes with a cache ({why})"
        if not (equal(now, self._before) if unchanged else self._as_without(now)):
            return "with a cache it decodes something else"
        return None

    def _as_without(self, logits: torch.Tensor) -> bool:
        plain = _tried(self._anatomy, cached=False)[0]
        if plain is None or plain.shape != logits.shape:
            return False
        gap = (plain.double() - logits.double()).abs().nan_to_num(0, 0, 0).max()
        return bool(gap <= 1e-3 * plain.double().nan_to_num(0, 0, 0).abs().max())


def _tried(anatomy: Anatomy, *, cached: bool) -> tuple[torch.Tensor | None, str]:
    """The logits of a few steps, or None and why there are none."""
    try:
        return anatomy.family.decoded(anatomy.model, anatomy.batch, cached=cached), "it makes no logits"
    except Exception as cause:  # whatever generate raises for a model, a cache or these inputs, it does not decode
        lines = str(cause).strip().splitlines() or [""]
        return None, f"{type(cause).__name__}: {lines[0]}".rstrip(". ")
