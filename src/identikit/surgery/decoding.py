"""Does an edited model still decode with its cache? It is made by the library and indexed by the layers' numbers.

Nothing is asked of a model that does not decode, or whose cached logits were not the uncached ones before the edit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.families.plain import Family
from identikit.structure.compare import equal
from identikit.structure.stacks import stacks_around

CLOSE = 1e-3  # of the largest logit
_NOISE, _NOISE_SHORT = 30, 5  # times as far as before the edit; in 16 bits that is far already
_STEPS = 8  # of rounding in 16 bits: before the edit, or after it, all of them may happen to agree
_SHORT = (torch.float16, torch.bfloat16)
T = TypeVar("T")


@dataclass(frozen=True)
class Gap:
    """How far the logits with a cache are from those without, as a share of the largest; infinite where it fails."""

    size: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Decoded:
    """The gap of each way to decode: as the library's `generate` does it, and step by step."""

    gaps: tuple[Gap, ...] = ()
    close: float = CLOSE

    @property
    def in_doubt(self) -> bool:
        """Whether any differs by more than rounding."""
        return any(gap.size > self.close for gap in self.gaps)

    def worse_than(self, before: Decoded) -> Gap | None:
        """A way that the edit broke, if any: one that worked `before`."""
        pairs = zip(self.gaps, before.gaps, strict=False)
        noise = _NOISE if self.close == CLOSE else _NOISE_SHORT
        broken = (now for now, old in pairs if old.size < math.inf and now.size > max(self.close, noise * old.size))
        return next(broken, None)


def decodes(family: Family, model: nn.Module, places: Iterable[str]) -> bool:
    """Whether an edit at `places` can be told by how the model decodes: it does, and they are in a stack for that."""
    return any(family.decodes(model, path) for path in stacks_around(model, places))


def decoded(anatomy: Anatomy) -> Decoded:
    """How the watched model decodes as it is now."""
    return decoded_from(anatomy.family, anatomy.model, anatomy.batch)


def decoded_from(family: Family, model: nn.Module, batch: Batch) -> Decoded:
    """How a model decodes; no gaps where there is no decoding to speak of."""
    decoder = family.decoder(model, batch)
    if decoder is None:
        return Decoded()
    generated, why = _tried(decoder.generated)
    if generated is None:
        return Decoded((Gap(math.inf, why),) * 2)
    tokens, logits = generated
    plain, why = _tried(lambda: decoder.plain(tokens))
    if plain is None:
        return Decoded((Gap(math.inf, why),) * 2)
    stepped, why = _tried(lambda: decoder.stepped(tokens))
    close = _close(model, plain.dtype)
    typical = close > CLOSE
    return Decoded((_gap(logits, plain, typical=typical), _gap(stepped, plain, why, typical=typical)), close)


def require_as_before(after: Decoded, before: Decoded, edited: str, fix: str) -> None:
    """Raise RoleError where the model, `edited`, does not decode as it did before."""
    broken = after.worse_than(before)
    if broken is not None:
        raise RoleError(
            f"{edited}, {_said(broken)}; it was left as it was. {fix} (It is not asked of a model that decodes without "
            "one: generation_config.use_cache = False.)"
        )


def lost_by_loading(again: nn.Module, saved: nn.Module, family: Family, batch: Batch) -> str:
    """What is wrong with the decoding of the model that was loaded `again`, and was not with the `saved` one; or ""."""
    found = decoded_from(family, again, batch)
    broken = found.worse_than(decoded_from(family, saved, batch)) if found.in_doubt else None
    return _said(broken) if broken is not None else ""


class Decoding:
    """How a model decodes before it grows."""

    def __init__(self, anatomy: Anatomy) -> None:
        self._anatomy = anatomy
        self._logits = self._generated()[0]
        self._before = decoded(anatomy) if self._logits is not None else Decoded()

    def broken(self, *, unchanged: bool) -> str | None:
        """What is wrong with the decoding of the grown model, if anything.

        `unchanged`: it must find what it found before; else, with a cache, what it finds without one.
        """
        if self._logits is None:
            return None
        now = decoded(self._anatomy)
        broken = now.worse_than(self._before)
        if broken is None and unchanged:
            logits, why = self._generated()
            broken = None if logits is not None and equal(logits, self._logits) else Gap(math.inf, why)
        return _said(broken) if broken is not None else None

    def _generated(self) -> tuple[torch.Tensor | None, str]:
        decoder = self._anatomy.family.decoder(self._anatomy.model, self._anatomy.batch)
        return _tried(lambda: decoder.generated()[1]) if decoder is not None else (None, "")


def _said(gap: Gap) -> str:
    return f"it no longer decodes with a cache ({gap.why})" if gap.why else "with a cache it decodes something else"


def _gap(cached: torch.Tensor | None, plain: torch.Tensor, why: str = "", *, typical: bool = False) -> Gap:
    """How far the logits [steps, rows, vocabulary] are apart; a token that may not be chosen has none.

    `typical`: the median over steps and rows instead of the largest. In 16 bits rounding may send a token of one row to
    another expert; a cache that holds something else shows in every row.
    """
    if cached is None or cached.shape != plain.shape:
        return Gap(math.inf, why)
    asked = plain.isfinite() & (cached != -math.inf)
    if not bool(cached[asked].isfinite().all()):
        return Gap(math.inf, "its scores are not finite")
    each = torch.where(asked, cached.double() - plain.double(), 0).abs().amax(-1)
    apart = each.median() if typical else each.max()
    return Gap(float(apart / plain.double().nan_to_num(0, 0, 0).abs().max().clamp_min(1e-30)))


def _close(model: nn.Module, dtype: torch.dtype) -> float:
    """How far apart rounding alone may bring two logits, as a share of the largest."""
    dtypes = {dtype, *(value.dtype for value in model.parameters())}
    return max([CLOSE, *(_STEPS * torch.finfo(short).eps for short in _SHORT if short in dtypes)])


def _tried(find: Callable[[], T]) -> tuple[T | None, str]:
    """What `find` finds; or None, and why it fails."""
    try:
        return find(), ""
    except Exception as cause:  # whatever generate raises for a model, a cache or these inputs, it does not decode
        lines = str(cause).strip().splitlines() or [""]
        return None, f"{type(cause).__name__}: {lines[0]}".rstrip(". ")
