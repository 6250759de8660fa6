"""Published ways to choose layers, written from their papers' descriptions, for benchmarks/quality.py.

Each takes a Subject and how many layers go, and gives their paths. All see the same data; none sees what is reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from quality_case import Gone, Subject, streams

SEEDS = 5  # of the random choice
Chooser = Callable[[Subject, int], Gone]


def block_influence(subject: Subject, drop: int) -> Gone:
    """ShortGPT (Men et al. 2024, arXiv 2403.03853): one pass; the layers that turn the hidden state least.

    Influence = 1 - the mean over positions of the cosine between what enters a layer and what leaves it.
    """
    seen = streams(subject, subject.positions)
    turned = [
        1 - torch.nn.functional.cosine_similarity(before.double(), after.double(), dim=1).mean().item()
        for before, after in zip(seen.before, seen.after, strict=True)
    ]
    return subject.paths(np.argsort(turned, kind="stable")[:drop].tolist())


def angular_span(subject: Subject, drop: int) -> Gone:
    """Gromov et al. 2024 (arXiv 2403.17887): the run of `drop` neighbours with the smallest angle across it.

    Angle = arccos(cosine) / pi at the last position of each example, averaged. Where a chain is shorter than the run,
    the longest runs of the chains are taken in the order of their angle (the paper knows one chain alone).
    """
    return span(subject, drop, subject.last, lambda cosine: torch.arccos(cosine.clamp(-1, 1)) / torch.pi)


def span(
    subject: Subject, drop: int, pick: Callable[..., torch.Tensor], distance: Callable[[torch.Tensor], torch.Tensor],
    *, first: int = 0,
) -> Gone:  # fmt: skip
    """The run of neighbours over which `distance` of the cosine is smallest; it begins at layer `first` or later."""
    seen = streams(subject, pick)

    def across(run: tuple[int, ...]) -> float:
        entered, left = seen.before[run[0]].double(), seen.after[run[-1]].double()
        return distance(torch.nn.functional.cosine_similarity(entered, left, dim=1)).mean().item()

    chosen: list[int] = []
    while len(chosen) < drop:
        length, runs = drop - len(chosen), list[tuple[int, ...]]()
        while not runs:
            runs = [
                chain[at : at + length] for chain in subject.runs for at in range(len(chain) - length + 1)
                if chain[at] >= first and not set(chosen) & set(chain)
            ]  # fmt: skip
            length -= 1
        chosen += min(runs, key=across)
    return subject.paths(chosen)


def one_shot(subject: Subject, drop: int) -> Gone:
    """Shortened LLaMA's PPL (Kim et al. 2024, arXiv 2402.02834): each layer left out alone; the cheapest go at once.

    Perplexity where there is one, else the subject's metric.
    """
    alone = [subject.cost([path]) for path in subject.layers]
    return subject.paths(np.argsort(alone, kind="stable")[:drop].tolist())


def taylor(subject: Subject, drop: int) -> Gone:
    """Shortened LLaMA's Taylor (the same paper): |weight x gradient of the loss|, summed over a layer's weights.

    Gradients are summed over the data to choose on. Without the paper's rule that keeps a 32-layer model's first four
    and last two blocks: of eight or six layers it would leave too few to choose from.
    """
    if "taylor" not in subject.memo:
        subject.memo["taylor"] = _slopes(subject)
    return subject.paths(np.argsort(subject.memo["taylor"], kind="stable")[:drop].tolist())


def _slopes(subject: Subject) -> list[float]:
    model = subject.model
    model.zero_grad(set_to_none=True)
    with torch.enable_grad():
        for batch in subject.batches:
            subject.loss(batch.call(model), batch).backward()
    worth = []
    for path in subject.layers:
        parts = [each for each in model.get_submodule(path).parameters() if each.grad is not None]
        worth.append(sum(float((each.detach() * each.grad).abs().sum()) for each in parts))
    model.zero_grad(set_to_none=True)
    return worth


def sleb(subject: Subject, drop: int) -> Gone:
    """SLEB (Song et al. 2024, arXiv 2402.09025): again and again the layer without which the model is best goes.

    With all that are left scored anew each time; here every layer may go, the first and the last too.
    """
    gone: list[str] = []
    for _ in range(drop):
        left = [path for path in subject.layers if path not in gone]
        gone.append(min(left, key=lambda path: subject.cost([*gone, path])))
    return tuple(sorted(gone, key=subject.layers.index))


def last_layers(subject: Subject, drop: int) -> Gone:
    """Truncation: the last ones."""
    return subject.layers[len(subject.layers) - drop :]


def at_random(seed: int) -> Chooser:
    """Any of them."""

    def choose(subject: Subject, drop: int) -> Gone:
        numbers = np.random.default_rng(1000 * seed + drop).permutation(len(subject.layers))[:drop]
        return subject.paths(numbers.tolist())

    return choose


RIVALS: dict[str, Chooser] = {
    "block influence": block_influence,
    "angular span": angular_span,
    "SLEB": sleb,
    "perplexity one-shot": one_shot,
    "Taylor": taylor,
    "last layers": last_layers,
    **{f"random {seed}": at_random(seed) for seed in range(SEEDS)},
}
