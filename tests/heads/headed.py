"""Small classifiers with the heads that people write, and what each of them takes in the full model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from zoo import weigh


class LeNet(nn.Module):
    """The head in forward itself: three Linear layers with functions between them and behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(8 * 25, 24), nn.Linear(24, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        x = torch.flatten(F.max_pool2d(torch.tanh(self.conv2(x)), 2), 1)
        return F.log_softmax(self.fc3(F.relu(self.fc2(F.relu(self.fc1(x))))), dim=1)


class AlexLike(nn.Module):
    """AlexNet's outline: a pooling that leaves a map, a flatten, a head that begins with a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        linear = (nn.Linear(72, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, 5))
        self.classifier = nn.Sequential(nn.Dropout(), *linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Squeezed(nn.Sequential):
    """The pooling comes last, behind a 1x1 convolution that gives the scores of every place."""

    def __init__(self) -> None:
        head = (nn.Dropout(), nn.Conv2d(8, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), *head)


class NormFirst(nn.Module):
    """ConvNeXt's outline: a norm between the pooling and the flatten, all in one Sequential with the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.GroupNorm(1, 8), nn.Flatten(1), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.stem(x)))


class Recurrent(nn.Module):
    """The last state of an LSTM is the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.fc = nn.Embedding(20, 8), nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(self.embedding(ids))[0][:, -1])


class Clamped(nn.Module):
    """What follows the head would let small features through: only noise shows that it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 12, 3), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).mean((2, 3))).clamp(-50, 50)


class AtEveryPlace(nn.Module):
    """Scores for every token, then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(8, 12), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.tanh(self.body(x))).mean(1)


class OneScore(nn.Module):
    """A single score, its last dimension squeezed away."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(8, 12), nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.body(x))).squeeze(1)


class InADict(nn.Module):
    """A dictionary with the scores under `logits`, and something beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = torch.relu(self.body(x))
        return {"maps": maps, "logits": self.fc(maps.amax((2, 3)))}


def mlp() -> nn.Module:
    """Nothing is pooled: the last Linear layer is the head."""
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 3), nn.Softmax(-1))


def _pictures() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


Taken = Callable[[torch.Tensor], torch.Tensor]
HEADED: dict[str, tuple[Callable[[], nn.Module], Any, str, Taken, tuple[str, ...]]] = {
    "lenet": (LeNet, _pictures(), "fc1", lambda x: x, ("fc1", "fc2", "fc3")),
    "alexnet": (AlexLike, _pictures(), "classifier", lambda x: x, ("classifier",)),
    "squeezenet": (Squeezed, _pictures(), "3", lambda x: x.mean((2, 3)), ("3",)),
    "convnext": (NormFirst, _pictures(), "classifier.2", lambda x: x, ("classifier.2",)),
    "lstm": (Recurrent, torch.arange(14).view(2, 7), "fc", lambda x: x, ("fc",)),
    "clamp": (Clamped, _pictures(), "fc", lambda x: x, ("fc",)),
    "tokens": (AtEveryPlace, _rows(2, 5, 8), "fc", lambda x: x.mean(1), ("fc",)),
    "score": (OneScore, _rows(2, 8), "fc", lambda x: x, ("fc",)),
    "dict": (InADict, _pictures(), "fc", lambda x: x, ("fc",)),
    "mlp": (mlp, _rows(2, 4, 8), "4", lambda x: x, ("4",)),
}
"""Builder, inputs, the layer whose input are the features, how they are pooled then, the layers that go."""


def headed(name: str) -> nn.Module:
    """Equal models at every call, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return weigh(HEADED[name][0]())


def what_it_takes(model: nn.Module, inputs: Any, layer: str) -> torch.Tensor:
    """What the layer of a full model takes, by a hook: nothing of identikit has a part in it."""
    seen: list[torch.Tensor] = []
    hook = model.get_submodule(layer).register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    with torch.no_grad():
        model(**inputs) if isinstance(inputs, dict) else model(inputs)
    hook.remove()
    return seen[0]
