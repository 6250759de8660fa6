"""The trained 8-layer LLaMA of benchmarks/quality.py, the texts it is judged on, and how: perplexity and KL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality_case import Subject
from quality_intervals import Floats
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from identikit.batches import Batch
from identikit.metrics import resolve

TOKENS = 128  # a block: what it was trained on
ROWS = 31  # a batch: 217 blocks of half of the text are 7 batches


@dataclass(frozen=True)
class Figures:
    """Of one model on one text, a number for each block: the mean loss of a token, and KL(full || it) a token."""

    loss: Floats
    kl: Floats


def opened(folder: Path) -> tuple[Any, Any]:
    """The model, which computes without a cache, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder / "tinyllama").eval()
    model.config.use_cache = False
    return model, AutoTokenizer.from_pretrained(folder / "tinyllama")


def halves(folder: Path, tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The text that it was not trained on, as blocks [217, 128]: to choose on, and to report on."""
    text = (folder / "shakespeare-val.txt").read_text()
    middle = len(text) // 2
    return _blocks(tokenizer, text[:middle]), _blocks(tokenizer, text[middle:])


def _blocks(tokenizer: Any, text: str) -> torch.Tensor:
    ids = torch.tensor(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    return ids[: len(ids) // TOKENS * TOKENS].view(-1, TOKENS)


@torch.no_grad()
def sampled(model: Any, tokenizer: Any, *, blocks: int, seed: int) -> torch.Tensor:
    """Text of the full model's own, [blocks, 128], each block drawn token by token after a line's end."""
    torch.manual_seed(seed)
    start = torch.full((blocks, 1), tokenizer("\n")["input_ids"][0])
    return model.generate(
        start, attention_mask=torch.ones_like(start), do_sample=True, top_k=0, use_cache=True, pad_token_id=0,
        min_new_tokens=TOKENS - 1, max_new_tokens=TOKENS - 1,
    )  # fmt: skip


def batches(ids: torch.Tensor) -> list[Batch]:
    parts = ids.split(ROWS)
    return [Batch(kwargs={"input_ids": rows, "labels": rows}, target=rows, examples=len(rows)) for rows in parts]


def subject(model: Any, ids: torch.Tensor) -> Subject:
    """The layers that may go, chosen by the perplexity of `ids`."""
    return Subject(
        name="tinyllama", model=model, batches=batches(ids), metric=resolve("perplexity"),
        layers=tuple(f"model.layers.{number}" for number in range(len(model.model.layers))),
        positions=lambda stream, batch: stream.flatten(0, 1), last=lambda stream, batch: stream[:, -1],
        loss=lambda output, batch: output.loss * batch.examples,
    )  # fmt: skip


@torch.no_grad()
def said_of(full: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The full model's log-probabilities: [blocks, tokens, characters]."""
    return torch.cat([full(input_ids=rows).logits.log_softmax(-1) for rows in ids.split(ROWS)])


@torch.no_grad()
def judged(model: nn.Module, ids: torch.Tensor, said: torch.Tensor) -> Figures:
    """What `model` makes of a text, of which the full model has `said`."""
    losses, kls = [], []
    for rows, known in zip(ids.split(ROWS), said.split(ROWS), strict=True):
        logits = model(input_ids=rows).logits.log_softmax(-1)
        losses.append(functional.nll_loss(logits[:, :-1].transpose(1, 2), rows[:, 1:], reduction="none").mean(1))
        kls.append((known.exp() * (known - logits)).sum(-1).mean(1))
    loss, kl = (np.asarray(torch.cat(each).double()) for each in (losses, kls))
    return Figures(loss, kl)
