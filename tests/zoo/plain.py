"""The plain half of the zoo: modules as people write them, with the shapes of code that editors stumble over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from identikit.batches import Batch

WIDTH = 16
TOKENS = 6


def vectors(model: nn.Module) -> Batch:
    """Four vectors [4, width]."""
    return Batch(args=(_normal(4, WIDTH),), examples=4)


def sequences(model: nn.Module) -> Batch:
    """Two sequences of vectors [2, tokens, width]."""
    return Batch(args=(_normal(2, TOKENS, WIDTH),), examples=2)


def masked_sequences(model: nn.Module) -> Batch:
    """The same, and which tokens are padding (true: ignore)."""
    padding = torch.arange(TOKENS) >= torch.tensor([[TOKENS], [TOKENS - 2]])
    return Batch(args=(_normal(2, TOKENS, WIDTH),), kwargs={"padding": padding}, examples=2)


def tokens(model: nn.Module) -> Batch:
    """Two rows of token ids."""
    return Batch(args=(torch.randint(0, 32, (2, TOKENS), generator=torch.Generator().manual_seed(0)),), examples=2)


def images(model: nn.Module) -> Batch:
    """Two pictures of 16 by 16."""
    return Batch(args=(_normal(2, 3, 16, 16),), examples=2)


class Residual(nn.Module):
    """x + f(norm(x)): the block that all others here are made of."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Nested(nn.Module):
    """Blocks in a Sequential in a ModuleList in a module."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(Residual(), Residual(), Residual()) for _ in range(2))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


class Attending(Residual):
    """A block that hands out its attention as well: (hidden, attention)."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        attention = (x @ x.mT / WIDTH**0.5).softmax(-1)
        return super().forward(attention @ x / 2 + x), attention


class Tuples(nn.Module):
    """Blocks with a second output that nothing reads; the model returns a tuple too."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Attending() for _ in range(4))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for block in self.blocks:
            x, _ = block(x)
        return self.head(x), x


class Named(Residual):
    """A block that returns a dictionary."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"hidden": super().forward(x), "size": x.norm(dim=-1)}


class Dicts(nn.Module):
    """Blocks with dictionaries as outputs; the model returns one too."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Named() for _ in range(4))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        for block in self.blocks:
            x = block(x)["hidden"]
        return {"logits": self.head(x), "hidden": x}


class Conditioned(Residual):
    """A block with several inputs; the first two have the same shape, only one of them is the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = nn.Linear(WIDTH, WIDTH)

    def forward(self, context: torch.Tensor, x: torch.Tensor, *, keep: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x + torch.tanh(self.reads(context)) * keep)


class SeveralInputs(nn.Module):
    """The context comes first and is the same for all blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.context = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(Conditioned() for _ in range(4))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        context, keep = self.context(x), x.abs().mean(-1, keepdim=True)
        for block in self.blocks:
            x = block(context, x, keep=keep)
        return self.head(x)


class ByName(nn.Module):
    """A chain in a ModuleDict."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: Residual() for name in ("first", "second", "third")})
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts.values():
            x = part(x)
        return self.head(x)


class Tied(nn.Module):
    """The head shares the embedding's weight, and the blocks share one bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, WIDTH)
        self.blocks = nn.ModuleList(Residual() for _ in range(4))
        for block in self.blocks:
            block.down.bias = self.blocks[0].down.bias
        self.head = nn.Linear(WIDTH, 32, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Shared(nn.Module):
    """One block stands at two places of its stack: an edit of the module is an edit of both."""

    def __init__(self) -> None:
        super().__init__()
        again = Residual()
        self.layers = nn.ModuleList([again, Residual(), again, Residual()])
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Classifier(nn.Module):
    """torch.nn's own encoder with a head on the mean of the tokens."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        x = self.encoder(x, src_key_padding_mask=padding)
        if padding is None:
            return self.head(x.mean(1))
        keep = (~padding).unsqueeze(-1).to(x.dtype)
        return self.head((x * keep).sum(1) / keep.sum(1))


Entry = tuple[str, Callable[[], nn.Module], Callable[[nn.Module], Batch], tuple[str, ...], tuple[str, ...]]
PLAIN: tuple[Entry, ...] = (
    ("encoder_post_norm", lambda: Classifier(norm_first=False), sequences, ("encoder.layers",), ()),
    ("encoder_pre_norm", lambda: Classifier(norm_first=True), masked_sequences, ("encoder.layers",), ()),
    ("nested", Nested, vectors, ("stages", "stages.0", "stages.1"), ()),
    ("tuples", Tuples, sequences, ("blocks",), ()),
    ("dicts", Dicts, sequences, ("blocks",), ()),
    ("several_inputs", SeveralInputs, sequences, ("blocks",), ()),
    ("by_name", ByName, vectors, ("parts",), ()),
    ("tied", Tied, tokens, ("blocks",), ()),
    ("shared", Shared, vectors, ("layers",), ()),
)
"""Name, builder, inputs, stacks, blocks that must be refused (of these, none)."""


def _normal(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0))
