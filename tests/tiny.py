"""Tiny model folders on disk, as a user would have them: config, weights, tokenizer. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zoo import weigh

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
ANIMATE = ("the", "a", "cat", "dog", "bird", "man", "sat", "ran", "sings", "flew")
OTHER = ("on", "in", "mat", "house", "sky", "song", "old", "new")
WORDS = (*SPECIAL, *ANIMATE, *OTHER)
IDS = torch.tensor([[5, 7, 11, 15, 6, 19], [6, 8, 12, 15, 5, 20]])
PAIRS = """one,two,score
the cat sat on the mat,a cat sat on a mat,4.5
the old dog ran,a bird flew in the sky,0.5
a man sings a song,the man sings,4.0
the bird flew,the cat sat in the house,1.0
a new house,the old house,3.0
the dog ran in the house,a dog ran,3.5
"""


def tokenizer() -> Any:
    """A word tokenizer with every special token and a chat template."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    names = ("pad_token", "bos_token", "eos_token", "unk_token", "mask_token")
    special = dict(zip(names, SPECIAL, strict=True))
    made = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special)
    made.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    return made


def model(kind: str, *, layers: int = 4, **extra: Any) -> Any:
    """A tiny model: "classifier", "masked", "embedding" (BERT), "causal" (LLaMA) or "diff" (DiffLlama)."""
    import transformers as t

    size = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2}
    size |= {"intermediate_size": 24, "max_position_embeddings": 34}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    makers = {
        "classifier": lambda: t.BertForSequenceClassification(t.BertConfig(**size, num_labels=3, **extra)),
        "masked": lambda: t.BertForMaskedLM(t.BertConfig(**size, **extra)),
        "embedding": lambda: t.BertModel(t.BertConfig(**size, **extra), add_pooling_layer=False),
        "causal": lambda: t.LlamaForCausalLM(t.LlamaConfig(**size, **special, num_key_value_heads=2, **extra)),
        "diff": lambda: t.DiffLlamaForCausalLM(t.DiffLlamaConfig(**size, **special, num_key_value_heads=2, **extra)),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return weigh(makers[kind]())


def folder(path: Path, kind: str, **extra: Any) -> Path:
    """A transformers folder of that kind at `path`."""
    model(kind, **extra).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def pairs(path: Path) -> Path:
    """A CSV of six pairs of sentences with scores."""
    path.write_text(PAIRS)
    return path
