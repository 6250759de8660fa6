"""Text that the teacher writes itself, for a causal language model that is healed without any: drawn token by token
from its own distribution.

Source: Liu et al. 2023, "LLM-QAT: data-free quantization aware training" (arXiv:2305.17888): where a model has no
token that begins a text, each row begins with one drawn at random.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.families.transformers_config import all_configs
from identikit.families.transformers_decoding import may_decode
from identikit.families.transformers_quiet import silenced
from identikit.progress import Board
from identikit.structure.traceless import traceless
from identikit.structure.valueless import home_of

SELF = "self"
ROWS, TOKENS, AT_ONCE = 1024, 128, 64


def check_writer(teacher: nn.Module) -> None:
    """Raise DataError where the teacher cannot write by itself."""
    config: Any = getattr(teacher, "config", None)
    if not may_decode(teacher) or getattr(config, "is_encoder_decoder", False):
        raise DataError(
            f'data="self" is text that the teacher writes, and {type(teacher).__name__} is no causal language model. '
            "Give data: a list of batches (--data FILE)."
        )


def written(teacher: nn.Module, rows: int, *, seed: int, seconds: float | None, bars: Board) -> torch.Tensor:
    """Token ids [rows, tokens] that `teacher` wrote; fewer rows where `seconds` are over. It is left without a trace.

    -1 stands behind the token that ends a text.
    """
    model: Any = teacher
    length = min(TOKENS, _positions(model))
    start, parts, count = time.monotonic(), [], 0
    with traceless(teacher), silenced(), bars.bar("the teacher writes", rows) as bar:
        torch.manual_seed(seed)
        while count < rows:
            if seconds is not None and count >= 2 * AT_ONCE and time.monotonic() - start > seconds:
                break
            parts.append(_drawn(model, min(AT_ONCE, rows - count), length).cpu())
            count += len(parts[-1])
            bar.advance(len(parts[-1]))
    return torch.cat(parts)


def batches_of(ids: torch.Tensor, size: int) -> list[Batch]:
    """The rows as batches of `size`; what stands behind an end is padding."""
    mask = (ids >= 0).long()
    rows = zip(ids.clamp_min(0).split(size), mask.split(size), strict=True)
    return [Batch(kwargs={"input_ids": one, "attention_mask": real}, examples=len(one)) for one, real in rows]


def _drawn(model: Any, rows: int, length: int) -> torch.Tensor:
    """Rows of tokens, each drawn with the probability that the model gives it: no temperature, nothing cut off."""
    settings = type(model.generation_config)()  # none of the model's own taste: no top-k, no penalties
    settings.update(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, use_cache=True, max_length=length)
    settings.update(eos_token_id=None, pad_token_id=0, bos_token_id=None)
    own = model.generation_config
    begin = _begin(model, rows)
    model.generation_config = settings  # put back by `traceless`
    ids: torch.Tensor = model.generate(begin, attention_mask=torch.ones_like(begin), generation_config=settings)
    model.generation_config = own
    ends = _numbers(own.eos_token_id) or _numbers(getattr(model.config, "eos_token_id", None))
    ended = torch.zeros_like(ids, dtype=torch.long)
    for end in ends:
        ended += (ids == end).long()
    behind = ended.cumsum(dim=1) - ended > 0
    return ids.masked_fill(behind, -1)


def _begin(model: Any, rows: int) -> torch.Tensor:
    """What each row begins with: the token that begins a text, else one drawn from all that end none."""
    device = home_of(model) or torch.device("cpu")
    first = _numbers(model.generation_config.bos_token_id) or _numbers(getattr(model.config, "bos_token_id", None))
    if first:
        return torch.full((rows, 1), first[0], device=device)
    config = model.config.get_text_config(decoder=True)
    named = (getattr(config, f"{name}_token_id", None) for name in ("pad", "eos", "unk"))
    special = {number for value in named for number in _numbers(value)}
    plain = torch.tensor([number for number in range(config.vocab_size) if number not in special])
    return plain[torch.randint(len(plain), (rows, 1))].to(device)


def _numbers(value: Any) -> list[int]:
    several = value if isinstance(value, (list, tuple)) else [value]
    return [int(each) for each in several if isinstance(each, int) and each >= 0]


def _positions(model: Any) -> int:
    limits = [getattr(each, "max_position_embeddings", None) for each in all_configs(model)]
    return min([each for each in limits if isinstance(each, int) and each > 1], default=TOKENS)
