"""What `features` refuses: each in one line that names what was found and what to do, the model as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import identikit as ik
from identikit.errors import IdentikitError, InputsError, RoleError
from laws.snapshot import Snapshot
from zoo import case


class FunctionHead(nn.Module):
    """The last weights are no layer: they are multiplied in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.weight = nn.Linear(8, 12), nn.Parameter(torch.randn(3, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(torch.relu(self.body(x)), self.weight)


class TwoHeads(nn.Module):
    """The scores are the mean of two heads', as in a distilled model."""

    def __init__(self, take: bool) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Linear(8, 12), nn.Linear(12, 3), nn.Linear(12, 3)
        self.take = take

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.relu(self.body(x))
        first, second = (tokens[:, 0], tokens[:, 1]) if self.take else (tokens, tokens)
        return (self.one(first) + self.two(second)) / 2


class Tempered(nn.Module):
    """The scores are divided by a temperature, and stand in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc, self.heat = nn.Linear(8, 12), nn.Linear(12, 3), nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.fc(self.body(x)) / self.heat}


class Choices(nn.Module):
    """One score for each of several choices: the rows of the head are no examples."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(8, 12), nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.fc(self.body(x.flatten(0, 1))).view(len(x), -1)}


class Several(nn.Module):
    """Two results, and nothing says which is which."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.fc(x), x


PROVED = "no head was proved in {}: its scores are not made by layers of their own from one vector of features. "
REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "function": (
        FunctionHead,
        torch.randn(2, 8),
        PROVED.format("FunctionHead") + "Name a layer to end at: at=...",
    ),
    "two heads": (
        lambda: TwoHeads(False),
        torch.randn(2, 8),
        PROVED.format("TwoHeads") + 'Name a layer to end at: at="body".',
    ),
    "two heads, two tokens": (
        lambda: TwoHeads(True),
        torch.randn(2, 4, 8),
        PROVED.format("TwoHeads") + 'Name a layer to end at: at="body".',
    ),
    "temperature": (Tempered, torch.randn(2, 8), PROVED.format("Tempered") + 'Name a layer to end at: at="body".'),
    "choices": (Choices, torch.randn(2, 4, 8), PROVED.format("Choices") + 'Name a layer to end at: at="body".'),
    "several": (
        Several,
        torch.randn(2, 8),
        "Several returns 2 tensors (0, 1), and nothing says which of them holds class scores. "
        "Name a layer to end at: at=...",
    ),
    "only a head": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 3)),
        torch.randn(2, 2, 4),
        "Sequential is nothing but a head: without it, it would return its input.",
    ),
    "a single layer": (
        lambda: nn.Linear(8, 3),
        torch.randn(2, 8),
        PROVED.format("Linear") + "Name a layer to end at: at=...",
    ),
    "tokens": (
        lambda: case("llama").build(),
        None,
        "LlamaForCausalLM predicts tokens: without its head, `generate` would return garbage without a word. "
        'Instead take the inner model (model.model), or name a layer to end at: at="model.norm".',
    ),
    "text to text": (
        lambda: case("bart").build(),
        None,
        "BartForConditionalGeneration predicts tokens: without its head, `generate` would return garbage without a "
        "word. Instead take the inner model (model.model), or name a layer to end at: "
        'at="model.decoder.layers.3".',
    ),
    "every place": (
        lambda: case("unet").build(),
        torch.randn(2, 3, 16, 16),
        "UNet gives 2 x 2 x 16 x 16 values, not one row of scores per example, so no pooled features lie in front of "
        'its last layer. Name a layer to end at: at="up.1".',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_the_model_stays(name: str) -> None:
    build, inputs, message = REFUSED[name]
    torch.manual_seed(0)
    model = build().eval()
    before, state = Snapshot(model), torch.get_rng_state()
    with pytest.raises(RoleError) as error:
        ik.features(model, inputs=inputs)
    assert str(error.value) == message
    assert before.changes(model) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_a_base_model_has_no_scores() -> None:
    from transformers import BertConfig, BertModel

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=32, **size)).eval()
    with pytest.raises(RoleError, match=r"^BertModel returns 2 tensors \(last_hidden_state, pooler_output\), and"):
        ik.features(model)


def test_weights_without_values() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(InputsError) as error:
        ik.features(model, inputs=torch.zeros(2, 8))
    assert str(error.value) == (
        "the weights of Sequential have no values (meta device), so no cut could be proved. Load them, then cut."
    )


def test_no_example() -> None:
    with pytest.raises(IdentikitError, match="Pass one example of it"):
        ik.features(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)))
