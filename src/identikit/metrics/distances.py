"""How two values at one position are compared: shared probability, shared direction, divergence. Exact where equal."""

from __future__ import annotations

import torch
from torch.nn import functional


def overlap(full_nc: torch.Tensor, edited_nc: torch.Tensor) -> torch.Tensor:
    """The sum of the smaller of the two softmax probabilities, in 0 to 1 (one minus the total variation distance)."""
    apart = (functional.softmax(full_nc, dim=-1) - functional.softmax(edited_nc, dim=-1)).abs().sum(dim=-1)
    return (1.0 - 0.5 * apart).clamp(0.0, 1.0)


def overlap_each(full_nc: torch.Tensor, edited_nc: torch.Tensor) -> torch.Tensor:
    """The same for logits that each stand for a yes or no of their own (sigmoid), averaged over them."""
    return (1.0 - (full_nc.sigmoid() - edited_nc.sigmoid()).abs()).mean(dim=-1).clamp(0.0, 1.0)


def cosine(full_nc: torch.Tensor, edited_nc: torch.Tensor) -> torch.Tensor:
    """The cosine, negative ones as 0. Two vectors of zeros are equal (1); a vector of zeros and another are not (0)."""
    return signed_cosine(full_nc, edited_nc).clamp(0.0, 1.0)


def signed_cosine(first_nc: torch.Tensor, second_nc: torch.Tensor) -> torch.Tensor:
    """The cosine in -1 to 1, from the distance of the two directions, which is exact where they are equal."""
    one, two = _direction(first_nc), _direction(second_nc)
    value = 1.0 - 0.5 * (one - two).square().sum(dim=-1)
    empty = (one == 0).all(dim=-1) != (two == 0).all(dim=-1)
    return torch.where(empty, torch.zeros_like(value), value)


def divergence(full_nc: torch.Tensor, edited_nc: torch.Tensor) -> torch.Tensor:
    """KL(full || edited) of the two softmax distributions, in nats, 0 or more."""
    log_full, log_edited = functional.log_softmax(full_nc, dim=-1), functional.log_softmax(edited_nc, dim=-1)
    terms = log_full.exp() * (log_full - log_edited)
    # A class that the full model rules out (logit -inf) adds nothing; `== 0` lets NaN through, to be reported.
    terms = torch.where(log_full.exp() == 0, torch.zeros_like(terms), terms)
    return terms.sum(dim=-1).clamp_min(0.0)


def divergence_each(full_nc: torch.Tensor, edited_nc: torch.Tensor) -> torch.Tensor:
    """The same for logits that each stand for a yes or no of their own (sigmoid), summed over them."""
    yes = full_nc.sigmoid() * (functional.logsigmoid(full_nc) - functional.logsigmoid(edited_nc))
    no = (-full_nc).sigmoid() * (functional.logsigmoid(-full_nc) - functional.logsigmoid(-edited_nc))
    return (yes + no).sum(dim=-1).clamp_min(0.0)


def _direction(value_nc: torch.Tensor) -> torch.Tensor:
    """Unit vectors; scaled by the largest entry first, so that squares neither overflow nor vanish."""
    largest = value_nc.abs().amax(dim=-1, keepdim=True)
    scaled = value_nc / torch.where(largest == 0, torch.ones_like(largest), largest)
    length = scaled.square().sum(dim=-1, keepdim=True).sqrt()
    return scaled / torch.where(length == 0, torch.ones_like(length), length)
