"""Block influence: the numbers of hooks by hand, padding and final norms left out, one pass for all, errors named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from identikit.batches import Batch, as_batch
from identikit.errors import MetricError, NotReachedError, RoleError
from identikit.families.anatomy import anatomy_of
from identikit.scoring import influence
from laws.snapshot import Snapshot
from scoring.cheap import plans, streams, together
from zoo import ZOO, Case, case
from zoo.from_transformers import ids, mask

TEXTS = [entry for entry in ZOO if entry.name in ("llama", "gpt2", "bert", "qwen3", "mixtral", "bloom", "gemma3")]


def scored(model: nn.Module, *batches: Batch, paths: list[str] | None = None) -> dict[str, Any]:
    anatomy = anatomy_of(model, batches[0])
    return influence.scores(anatomy, batches, plans(anatomy, paths))


def by_hand(entered: torch.Tensor, left: torch.Tensor, counts: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """1 - the mean cosine over the positions that count: [rows]."""
    cosines = F.cosine_similarity(entered.double(), left.double(), dim=dim).flatten(1)
    return 1 - (cosines * counts).sum(1) / counts.sum(1)


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in TEXTS])
def test_of_tokens(entry: Case) -> None:
    """Hooks by hand; the padding of the second row does not count."""
    model = entry.build()
    batch = entry.inputs(model)
    found = scored(model, batch, batch)
    assert list(found) == entry.blocks()
    for path, (entered, left) in streams(model, batch, entry.blocks()).items():
        expected = by_hand(entered, left, mask())
        assert np.allclose(found[path], [*expected, *expected], atol=1e-6, rtol=0)
        assert not np.allclose(by_hand(entered, left, torch.ones_like(mask()))[1], expected[1], atol=1e-4)


@pytest.mark.parametrize("name", ["vit", "encoder_post_norm", "encoder_pre_norm"])
def test_of_tokens_that_all_count(name: str) -> None:
    model = case(name).build()
    batch = case(name).inputs(model)
    if name != "vit":
        batch = replace(batch, args=batch.args[:1], kwargs={})
    found = scored(model, batch)
    for path, (entered, left) in streams(model, batch, found).items():
        assert np.allclose(found[path], by_hand(entered, left, torch.ones(entered.shape[:2])), atol=1e-6, rtol=0)


def test_of_pictures() -> None:
    """The features of a picture lie in dimension 1; each pixel counts."""
    model = case("resnet").build()
    batch = case("resnet").inputs(model)
    found = scored(model, batch)
    seen = streams(model, batch, found)
    assert len(seen) == 9
    for path, (entered, left) in seen.items():
        expected = by_hand(entered, left, torch.ones(len(entered), entered[0, 0].numel()), dim=1)
        assert np.allclose(found[path], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["in_place", "tuples"])
def test_of_layers_that_write_into_their_input_or_return_more(name: str) -> None:
    """What entered is what the layer was given, before it wrote there."""
    model = case(name).build()
    batch = case(name).inputs(model)
    found = scored(model, batch)
    assert len(found) == 4
    for path, (entered, left) in streams(model, batch, found).items():
        dim = 1 if entered.ndim == 4 else -1  # pictures have their features there
        counts = torch.ones(len(entered), entered.numel() // len(entered) // entered.shape[dim])
        assert np.allclose(found[path], by_hand(entered, left, counts, dim), atol=1e-6, rtol=0)


def test_more_padding_changes_nothing() -> None:
    model = case("bert").build()
    batch = case("bert").inputs(model)
    padded = {name: F.pad(value, (0, 5)) for name, value in batch.kwargs.items()}
    found, again = scored(model, batch), scored(model, replace(batch, kwargs=padded))
    for path in found:
        assert np.allclose(found[path], again[path], atol=1e-6, rtol=0)


def test_the_encoder_and_the_decoder_have_masks_of_their_own() -> None:
    model = case("bart").build()
    batch = case("bart").inputs(model)
    wider = {**batch.kwargs, **{name: F.pad(batch.kwargs[name], (0, 4)) for name in ("input_ids", "attention_mask")}}
    found, again = scored(model, batch), scored(model, replace(batch, kwargs=wider))
    assert any("encoder" in path for path in found)
    assert any("decoder" in path for path in found)
    for path in found:
        assert np.allclose(found[path], again[path], atol=1e-5, rtol=0), path


def test_the_final_norm_is_no_part_of_the_last_block() -> None:
    """`hidden_states[-1]` of a LLaMA stands behind the norm: what others measure there is another number."""
    model: Any = case("llama").build()
    batch = case("llama").inputs(model)
    found = scored(model, batch)["model.layers.3"]
    with torch.no_grad():
        states = model(**batch.kwargs, output_hidden_states=True, use_cache=False).hidden_states
    normed = by_hand(states[-2], states[-1], mask())
    assert np.abs(found - normed.numpy()).min() > 1e-3


def test_one_pass_for_all_blocks_and_the_model_as_it_was() -> None:
    model = case("bert").build().train()
    batch = case("bert").inputs(model)
    anatomy = anatomy_of(model, batch)
    made = plans(anatomy)
    passes: list[int] = []
    model.get_submodule("bert.embeddings").register_forward_hook(lambda *_: passes.append(1))
    before = Snapshot(model)
    influence.scores(anatomy, [batch, batch, batch], made)
    assert before.changes(model) == []
    assert len(passes) == 3
    assert model.training


def test_rows_of_one_example_are_averaged() -> None:
    """A pair of sentences is two rows next to each other."""
    model = case("bert").build()
    four = Batch(
        kwargs={"input_ids": torch.cat([ids(), ids(seed=1)]), "attention_mask": mask().repeat(2, 1)}, examples=4
    )
    alone, paired = scored(model, four), scored(model, replace(four, examples=2))
    for path in alone:
        assert np.allclose(paired[path], alone[path].reshape(2, 2).mean(1), atol=1e-9, rtol=0)


@pytest.mark.parametrize("tokens", [3, 4, 8])
def test_a_model_that_takes_its_tokens_first(tokens: int) -> None:
    """Inside it is [tokens, rows, features]: as many tokens as rows, fewer, twice as many."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
            self.layers = nn.ModuleList([layer, nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.transpose(0, 1)
            for layer in self.layers:
                x = layer(x)
            return x.transpose(0, 1)

    torch.manual_seed(0)
    model = Turned().eval()
    batch = as_batch(torch.randn(4, tokens, 8))
    found = scored(model, batch)
    for path, (entered, left) in streams(model, batch, found).items():
        expected = by_hand(entered.transpose(0, 1), left.transpose(0, 1), torch.ones(4, tokens))
        assert np.allclose(found[path], expected, atol=1e-6, rtol=0)


def test_a_run_of_blocks_is_compared_from_its_start_to_its_end() -> None:
    model = case("bert").build()
    batch = case("bert").inputs(model)
    anatomy = anatomy_of(model, batch)
    blocks = anatomy.blocks()
    made = together(anatomy, blocks[:1], blocks[1:3], blocks[:4])
    found = influence.scores(anatomy, [batch], made)
    seen = streams(model, batch, blocks)
    assert np.allclose(found[blocks[0]], scored(model, batch)[blocks[0]], atol=0)
    expected = by_hand(seen[blocks[1]][0], seen[blocks[2]][1], mask())
    assert np.allclose(found[f"{blocks[1]} + {blocks[2]}"], expected, atol=1e-6, rtol=0)
    with pytest.raises(RoleError, match=r'encoder\.layer\.1" runs between them, and influence compares what enters'):
        influence.scores(anatomy, [batch], together(anatomy, [blocks[0], blocks[2]]))


def test_what_is_no_whole_block_is_refused_with_the_way_out() -> None:
    model = case("llama").build()
    anatomy = anatomy_of(model, case("llama").inputs(model))
    text = r'"model\.layers\.1\.mlp" is a branch, and influence compares .* Use method="exact" or method="taylor"\.'
    with pytest.raises(RoleError, match=text):
        influence.scores(anatomy, [anatomy.batch], plans(anatomy, ["model.layers.1.mlp"]))
    for op, ways in (("zero", 'method="exact" or method="taylor"'), ("resample", 'method="exact"')):
        text = rf'^"model\.layers\.1" is taken out as "{op}", and influence compares .* Use {ways}\.$'
        with pytest.raises(RoleError, match=text):
            influence.scores(anatomy, [anatomy.batch], plans(anatomy, ["model.layers.1"], op))


class Picky(nn.Module):
    """Two blocks; the second one may be skipped, and the first one may give what is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x)
        return x if x.shape[0] == 1 else self.layers[1](x)


def test_an_error_is_no_score() -> None:
    model = Picky().eval()
    good, bad = torch.randn(3, 4), torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, torch.inf, 0.0, 0.0]])
    anatomy = anatomy_of(model, good)
    made = plans(anatomy, ["layers.0", "layers.1"])
    with pytest.raises(
        MetricError, match=r'influence of "layers\.0" is NaN for example 1 of a batch \(1 of 2 examples'
    ):
        influence.scores(anatomy, [as_batch(bad)], made)
    with pytest.raises(NotReachedError, match=r'"layers\.1" did not run on the 2nd batch of the data'):
        influence.scores(anatomy, [as_batch(good), as_batch(good[:1])], made)


def test_a_row_of_padding_alone_is_refused() -> None:
    model = case("bert").build()
    batch = case("bert").inputs(model)
    anatomy = anatomy_of(model, batch)
    empty = replace(batch, kwargs={**batch.kwargs, "attention_mask": mask() * torch.tensor([[1], [0]])})
    with pytest.raises(MetricError, match=r"row 1 of a batch is all padding .* leave it out of the data"):
        influence.scores(anatomy, [empty], plans(anatomy))


def test_positions_without_a_direction() -> None:
    """Two zeros: left as it was. A zero and something else: replaced."""
    zero, one = torch.zeros(1, 3), torch.ones(1, 3)
    assert influence.turn(zero, zero).item() == 0.0
    assert influence.turn(zero, one).item() == influence.turn(one, zero).item() == 1.0
    assert influence.turn(one, -one).item() == 2.0
    assert abs(influence.turn(one.bfloat16(), one.bfloat16() * 3).item()) < 1e-3
