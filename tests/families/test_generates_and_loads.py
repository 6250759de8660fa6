"""What a family tells a model card: whether a model generates, and the Python that loads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

import tiny
from identikit.families import family_of
from identikit.families.transformers_files import loading_lines
from zoo import case


@pytest.mark.parametrize(
    ("name", "generates"),
    [("llama", True), ("gpt2", True), ("bart", True), ("bert", False), ("vit", False)],
)
def test_generates(name: str, generates: bool) -> None:
    model = case(name).build()
    assert family_of(model).generates(model) is generates


def test_what_holds_a_generating_model_generates() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    for kind, generates in (("causal", True), ("classifier", False)):
        outer = Wrapper(tiny.model(kind))
        assert family_of(outer).name == "wrapped"
        assert family_of(outer).generates(outer) is generates
    assert family_of(nn.Linear(2, 2)).generates(nn.Linear(2, 2)) is False


def test_a_model_with_code_of_its_own_is_loaded_by_its_automatic_class() -> None:
    made: Any = type("Mine", (), {"__module__": "transformers_modules.abc.modeling", "__init__": lambda self: None})()
    made.config = SimpleNamespace(auto_map={"AutoConfig": "c.MineConfig", "AutoModelForCausalLM": "modeling.Mine"})
    assert loading_lines(made) == (
        "from transformers import AutoModelForCausalLM\n\n"
        'model = AutoModelForCausalLM.from_pretrained("this folder", trust_remote_code=True)'
    )
    made.config = SimpleNamespace()
    assert "AutoModel.from_pretrained" in loading_lines(made)
