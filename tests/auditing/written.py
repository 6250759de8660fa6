"""A model written as one function, for tests; and its findings in three words each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit import audit

X = torch.randn(4, 8)


class Lambda(nn.Module):
    """A forward given as a function of the module and its inputs; layers and parameters by name."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.function(self, *inputs, **named)


def kinds(model: nn.Module, inputs: Any) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.kind, finding.module) for finding in audit(model, inputs)]
