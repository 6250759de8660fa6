"""Early exit: heads after some of the blocks, and in evaluation a sample leaves at the first that is sure of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.captured import is_captured
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import dtype_text, kind_text, shape_text

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
    `all_exits(x)` gives the list in either mode, to choose a threshold with. Outputs are copies: a head that hands the
    stream on, or a view of it, is not edited by a block behind it that works in place.

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
        [N, ...] in; exits give one shape, [N, classes] with two classes or more unless `when` is given.

    Raises:
        BlockError: if exits name no block or leave the last one out, the outputs of two exits differ in shape, or
            `when` gives something other than a tensor of one boolean a sample.

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
        if not isinstance(exits, Mapping):
            raise BlockError(f"EarlyExit: exits= is {kind_text(exits)}. Say behind which block each is: {{2: head}}.")
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
        outputs: list[torch.Tensor] = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if str(number) in self.exits:
                outputs.append(_answer(self.exits[str(number)], x, outputs).clone())
        return outputs

    def _shortened(self, x: torch.Tensor) -> Exited:
        """Samples leave as soon as they may; blocks run on those that are left."""
        going = torch.arange(x.shape[0], device=x.device)
        order, outputs, taken = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        for number, block in enumerate(self.blocks):
            x = block(x)
            if str(number) not in self.exits:
                continue
            y = _answer(self.exits[str(number)], x, outputs)
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
            leaving = self._may_leave(y)
            output = torch.where(leaving.reshape(-1, *(1,) * (y.ndim - 1)), y, output)
            taken = torch.where(leaving, position, taken)
        return Exited(output, taken)

    def _may_leave(self, y: torch.Tensor) -> torch.Tensor:
        """One boolean a sample."""
        sure = _sure(y, self.threshold) if self.when is None else _told(self.when, y)
        return sure if self.per == "sample" else sure.all().expand_as(sure)

    def extra_repr(self) -> str:
        """Where the exits are and what takes them."""
        rule = f"threshold={self.threshold:g}" if self.when is None else "when=given"
        return f'after blocks {", ".join(self.exits)}, {rule}, per="{self.per}"'


def _answer(head: nn.Module, x: torch.Tensor, before: list[torch.Tensor]) -> torch.Tensor:
    """What a head gives, which must be a tensor like those of the exits before."""
    y: Any = head(x)
    if isinstance(y, fx.Proxy):  # a graph being traced by fx has no shapes to compare
        return y  # type: ignore[return-value]
    if not isinstance(y, torch.Tensor):
        raise BlockError(
            f"EarlyExit: exit {len(before)} gives {kind_text(y)}, not a tensor. Wrap it in a module that picks one."
        )
    if before and y.shape[1:] != before[0].shape[1:]:
        raise BlockError(
            f"EarlyExit: exit {len(before)} gives {list(y.shape[1:])} a sample, another {list(before[0].shape[1:])}. "
            "Give heads with outputs of one size."
        )
    return y


def _sure(y: torch.Tensor, threshold: float) -> torch.Tensor:
    """Where the likeliest class is above the threshold. Of one class alone, every sample would be sure."""
    if y.ndim != 2 or y.shape[1] < 2:
        raise BlockError(
            f"EarlyExit: an exit gave {shape_text(y)}, and a threshold needs [N, classes], at least two of them. "
            "Say when an exit is sure: when=."
        )
    return y.float().softmax(1).amax(1) > threshold


def _told(when: When, y: torch.Tensor) -> torch.Tensor:
    """What the user's rule says, which must be one boolean a sample."""
    sure: Any = when(y)
    if not isinstance(sure, torch.Tensor):
        found = repr(sure)
    elif sure.dtype != torch.bool or sure.shape != y.shape[:1]:
        found = f"{dtype_text(sure)} of shape {list(sure.shape)}"
    else:
        return sure
    raise BlockError(f"EarlyExit: when= gave {found} for {y.shape[0]} samples. Give a tensor of one boolean a sample.")
