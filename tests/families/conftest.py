"""What the tests of families share: a stack shortened by hand, and a tokenizer on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from torch import nn

Shorten = Callable[[nn.Module, str, Sequence[int]], int]


@pytest.fixture
def shorten() -> Shorten:
    """Keep only some layers of a ModuleList or Sequential; returns how many there were."""

    def cut(model: nn.Module, stack: str, keep: Sequence[int]) -> int:
        layers = model.get_submodule(stack)
        parent, _, name = stack.rpartition(".")
        kept = [layers.get_submodule(str(layer)) for layer in keep]
        fewer = nn.Sequential(*kept) if isinstance(layers, nn.Sequential) else nn.ModuleList(kept)
        setattr(model.get_submodule(parent), name, fewer)
        return len(layers)  # type: ignore[arg-type]

    return cut


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer, its chat template, a licence and a README beside the weights of some other model."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "the", "cat", "sat"])}
    inner = Tokenizer(WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    folder = tmp_path / "like"
    tokenizer.save_pretrained(folder)
    for name in ("LICENSE", "README.md", "model.safetensors", "pytorch_model.bin", "run.py", "vocab.bin"):
        (folder / name).write_bytes(b"something")
    return folder
