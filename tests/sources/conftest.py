"""Tiny model folders, written once: random weights, a tokenizer of a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = ["a", "the", "plane", "man", "is", "playing", "taking", "off", "flute", "large", "good", "bad", "film", "was"]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Words separated by spaces, with BERT's special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="[MASK]", model_max_length=32, **names)


@pytest.fixture(scope="session")
def plain_tokenizer() -> Any:
    """Words separated by spaces, no special token at all: none for padding either."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="a"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 32}


def saved(folder: Path, *parts: Any) -> Path:
    """Each part saved into `folder`."""
    for part in parts:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A bare BERT."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(**SMALL, max_position_embeddings=32)
    return saved(tmp_path_factory.mktemp("bert"), BertModel(config), tokenizer)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A BERT that says Negative or Positive."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    labels = {"Negative": 0, "Positive": 1}
    names = {number: label for label, number in labels.items()}
    config = BertConfig(**SMALL, max_position_embeddings=32, label2id=labels, id2label=names)
    return saved(tmp_path_factory.mktemp("classifier"), BertForSequenceClassification(config), tokenizer)


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A BERT that fills masks; it has no pooler."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(**SMALL, max_position_embeddings=32)
    return saved(tmp_path_factory.mktemp("masked"), BertForMaskedLM(config), tokenizer)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory, plain_tokenizer: Any) -> Path:
    """A LLaMA without a padding token."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SMALL, max_position_embeddings=64, pad_token_id=None, bos_token_id=None, eos_token_id=None)
    return saved(tmp_path_factory.mktemp("llama"), LlamaForCausalLM(config), plain_tokenizer)


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A T5."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 32}
    config = T5Config(**sizes, decoder_start_token_id=0, pad_token_id=0)
    return saved(tmp_path_factory.mktemp("t5"), T5ForConditionalGeneration(config), tokenizer)


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT that tells cats from dogs, numbered against the alphabet."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    sizes = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    labels = {"dog": 0, "cat": 1}
    names = {number: label for label, number in labels.items()}
    config = ViTConfig(**sizes, image_size=8, patch_size=4, label2id=labels, id2label=names)
    processor = ViTImageProcessor(size={"height": 8, "width": 8})
    return saved(tmp_path_factory.mktemp("vit"), ViTForImageClassification(config), processor)
