"""Early exit: heads after some of the blocks, and in evaluation a sample leaves at the first that is sure of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.captured import is_captured
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import shape_text

PER = ("sample", "batch")
When = Callable[[torch.Tensor], torch.Tensor]


class Exited(NamedTuple):
    """What left: `output` [N, ...], and `taken` [N], for each sample the exit it took (0 is the first)."""

    output: torch.Tensor
    taken: torch.Tensor


class EarlyExit(nn.Module):
    """Run blocks one after the other; heads between them answer as soon as they are sure.

    While training, a call returns the outputs of all exits, a list, first exit first: the loss is their weighted sum.
    In evaluation it returns `Exited(output, taken)`, and the blocks after the last exit that was needed do not run.
    `all_exits(x)` gives the list in either mode, to choose a threshold with.

    Under torch.compile, torch.export and tracing, where no value can end the call, every block runs and the outputs are
    selected: the same result, with no arithmetic saved.

    Args:
        blocks: the trunk, in order; each takes what the one before returned.
        exits: a head for the number of the block that it stands behind. The last block needs one.
        threshold: an exit is taken above this softmax probability of the likeliest class: at 0 always the first exit,
            at 1 always the last.
        when: in place of the threshold, a function of an exit's output that gives one boolean a sample, such as low
            entropy (the paper's rule): `lambda y: torch.distributions.Categorical(logits=y).entropy() < 0.5`.
        per: "sample": those that are sure leave, the others go on in a smaller batch. "batch": all leave together, at
            the first exit that is sure of every one.

    Shape:
        [N, ...] in; exits give one shape, [N, classes] unless `when` is given.

    Raises:
        BlockError: if exits name no block or leave the last one out, the outputs of two exits differ in shape, or
            `when` gives something other than one boolean a sample.

    Source: Teerapittayanon et al. 2016 (BranchyNet), arXiv 1709.01686.

    Example:
        >>> net = EarlyExit([nn.Linear(4, 8), nn.Linear(8, 8)], {0: nn.Linear(8, 3), 1: nn.Linear(8, 3)}, threshold=0)
        >>> net.eval()(torch.ones(2, 4)).taken
        tensor([0, 0])
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        exits: Mapping[int, nn.Module],
        *,
        threshold: float = 0.9,
        when: When | None = None,
        per: str = "sample",
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.exits = nn.ModuleDict({str(number): exits[number] for number in sorted(exits)})
        one_of("EarlyExit", "per", per, PER)
        if not 0 <= threshold <= 1:
            raise BlockError(f"EarlyExit: threshold={threshold} is no probability. Give 0 to 1, or a rule: when=.")
        self._check_exits(list(exits))
        self.threshold, self.when, self.per = threshold, when, per

    def _check_exits(self, numbers: list[int]) -> None:
        if not len(self.blocks):
            raise BlockError("EarlyExit: no blocks. Give the trunk as a list of modules.")
        last = len(self.blocks) - 1
        for number in numbers:
            if number not in range(last + 1):
                raise BlockError(f"EarlyExit: an exit for block {number}, but the blocks are 0 to {last}.")
        if last not in numbers:
            raise BlockError(
                f"EarlyExit: block {last} is the last and has no exit, so nothing would read it. Add exits[{last}]."
            )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | Exited:
        """While training the outputs of all exits; in evaluation the one each sample took."""
        if self.training:
            return self.all_exits(x)
        return self._selected(x) if is_captured(x) else self._shortened(x)

    def all_exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The output of every exit for every sample, first exit first."""
        outputs = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if str(number) in self.exits:
                outputs.append(self.exits[str(number)](x))
        return outputs

    def _shortened(self, x: torch.Tensor) -> Exited:
        """Samples leave as soon as they may; blocks run on those that are left."""
        going = torch.arange(x.shape[0], device=x.device)
        order, outputs, taken = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        for number, block in enumerate(self.blocks):
            x = block(x)
            if str(number) not in self.exits:
                continue
            y = self.exits[str(number)](x)
            _check_same(len(taken), y, (outputs or [y])[0])
            stay = torch.zeros_like(going, dtype=torch.bool) if self._is_last(number) else ~self._may_leave(y)
            order.append(going[~stay])
            outputs.append(y[~stay])
            taken.append(torch.full_like(order[-1], len(taken)))
            going, x = going[stay], x[stay]
            if not going.numel():
                break
        back = torch.cat(order).argsort()
        return Exited(torch.cat(outputs)[back], torch.cat(taken)[back])

    def _is_last(self, number: int) -> bool:
        return number == len(self.blocks) - 1

    def _selected(self, x: torch.Tensor) -> Exited:
        """Every exit for all samples; the first that is sure of a sample is written last."""
        *early, output = self.all_exits(x)
        taken = output.new_full((output.shape[0],), len(early), dtype=torch.int64)
        for position, y in reversed(list(enumerate(early))):
            _check_same(position, y, output)
            leaving = self._may_leave(y)
            output = torch.where(leaving.reshape(-1, *(1,) * (y.ndim - 1)), y, output)
            taken = torch.where(leaving, position, taken)
        return Exited(output, taken)

    def _may_leave(self, y: torch.Tensor) -> torch.Tensor:
        """One boolean a sample."""
        if self.when is not None:
            sure = self.when(y)
            if sure.dtype != torch.bool or sure.shape != y.shape[:1]:
                kind = str(sure.dtype).removeprefix("torch.")
                raise BlockError(
                    f"EarlyExit: when= gave {kind} of shape {list(sure.shape)} for {y.shape[0]} samples. "
                    "Give one boolean a sample."
                )
        else:
            if y.ndim != 2:
                raise BlockError(
                    f"EarlyExit: an exit gave {shape_text(y)}, and a threshold needs [N, classes]. "
                    "Say when an exit is sure: when=."
                )
            sure = y.float().softmax(1).amax(1) > self.threshold
        return sure if self.per == "sample" else sure.all().expand_as(sure)

    def extra_repr(self) -> str:
        """Where the exits are and what takes them."""
        rule = f"threshold={self.threshold:g}" if self.when is None else "when=given"
        return f'after blocks {", ".join(self.exits)}, {rule}, per="{self.per}"'


def _check_same(position: int, y: torch.Tensor, first: torch.Tensor) -> None:
    if y.shape[1:] != first.shape[1:]:
        raise BlockError(
            f"EarlyExit: exit {position} gives {list(y.shape[1:])} a sample, another {list(first.shape[1:])}. "
            "Give heads with outputs of one size."
        )
