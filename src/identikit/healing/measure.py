"""How far the student's output is from the teacher's: what is compared, and by what; padding is left out.

Sources: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531), for logits
and their temperature; Ba and Caruana 2014, "Do deep nets really need to be deep?" (arXiv:1312.6184), for values as
they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from identikit.batches import Batch
from identikit.errors import ModelError
from identikit.healing.spread import Spread
from identikit.metrics.distances import divergence, divergence_each
from identikit.metrics.fidelity import Fidelity, arranged
from identikit.metrics.outputs import shape
from identikit.metrics.positions import counting, wide

_SAID = {
    "cosine": "1 - cosine of {}",
    "logits": "KL of {} (nats)",
    "sigmoid": "KL of {}, yes or no each (nats)",
    "values": "unexplained share of {}",
}


@dataclass
class Measure:
    """How outputs are compared. `how`: "cosine" (1 - cosine), "logits" (KL to the teacher in nats), "sigmoid" (the same
    for logits that are a yes or no each) or "values" (mean square over the teacher's variance). `source`: which part.
    """

    how: str
    source: str
    spread: Spread

    def __str__(self) -> str:
        return _SAID[self.how].format(self.source.replace("_", " "))

    def rows(self, output: Any, batch: Batch, index_n: torch.Tensor | None = None) -> tuple[torch.Tensor, Any]:
        """The part that is compared, [positions that count, width], and which those are (None: all).

        `index_n`: the teacher's, for the student's output.
        """
        value = Fidelity(_kind(self.how)).part(output, source=self.source)[2]
        value_rtc = _laid_out(value, self.how)
        flat = wide(value_rtc.reshape(-1, value_rtc.shape[-1]))
        if index_n is None:
            mask = counting(output, batch, value_rtc) if value.ndim == 3 else None
            index_n = None if mask is None or bool(mask.all()) else mask.flatten().nonzero().flatten()
        return (flat if index_n is None else flat[index_n.to(flat.device)]), index_n

    def distance(self, taught_nc: torch.Tensor, own_nc: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """The distance at each position: [positions]. Raises ModelError for outputs of different shapes."""
        if taught_nc.shape != own_nc.shape:
            raise ModelError(
                f"the {self.source} of student and teacher differ in shape ({shape(own_nc)} and {shape(taught_nc)}, "
                "positions by width): one cannot learn from the other. Take the teacher that the student was made from."
            )
        taught = taught_nc.to(own_nc.device)
        if self.how == "cosine":
            return 1.0 - functional.cosine_similarity(taught, own_nc, dim=-1)
        if self.how == "values":
            return (taught - own_nc).square().mean(dim=-1) / self.spread.value
        by = divergence if self.how == "logits" else divergence_each
        return by(taught / temperature, own_nc / temperature) * temperature**2


def measure_of(output: Any, compare: str | None) -> Measure:
    """How the teacher's `output` is compared; `compare` is the user's word, else the first that it has decides.

    A sentence embedding by its direction; logits as a distribution; a hidden state or a tensor of which nothing says
    what it is (logits or features: both are met by it) by its values. Raises MetricError where there is none of these.
    """
    _, source, value = Fidelity(_kind(compare)).part(output)
    if compare is None:
        single = value.ndim == 1 or value.shape[-1] == 1
        by_name = {"sentence_embedding": "cosine", "logits": "values" if single else "logits"}
        compare = by_name.get(source, "values")
    if compare == "logits":
        arranged(value, compare, metric="heal")  # refuses a single number
    return Measure(compare, source, Spread())


def _kind(how: str | None) -> str | None:
    return None if how == "values" else how


def _laid_out(value: torch.Tensor, how: str) -> torch.Tensor:
    """[rows, positions, width]."""
    if how != "values":
        return arranged(value, how, metric="heal")
    if value.ndim == 3:
        return value
    return value.reshape(len(value), 1, -1)
