"""Architectures that break a rule others keep: a number in a constant, lists of parts, a cache nobody declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
import small_net
from identikit.errors import RoleError, SaveError
from identikit.families.anatomy import anatomy_of
from wide import build, run
from wide.decoding import CLOSE, off, ways
from wide.reference import skipping
from wide.stacks import stacks_of
from zoo.pictures import ResNet

pytestmark = pytest.mark.filterwarnings("ignore")  # what a library says while it is built is no matter of ours


def same(one: Any, other: Any) -> bool:
    return torch.equal(one["logits"], other["logits"])


# A constant, or what a layer holds, hangs on the layer's number: no smaller configuration says what is left.
INEXPRESSIBLE = {
    "diffllama": "model.layers.1",  # lambda
    "modernbert-decoder": "model.layers.0",  # the first layer has no norm
    "gpt_neox_japanese": "gpt_neox_japanese.layers.3",  # the last layer alone has a bias
    "hrm_text": "model.L_module.layers.0",  # one depth for two stacks
}


@pytest.mark.parametrize("kind", [*list(INEXPRESSIBLE)[:3], pytest.param("hrm_text", marks=pytest.mark.long)])
def test_what_no_configuration_can_say_is_no_checkpoint_and_travels_as_a_plan(kind: str, tmp_path: Path) -> None:
    model, batch = build("causal-lm", kind)
    ik.remove(model, INEXPRESSIBLE[kind], inputs=batch)
    left = run(model, batch)
    with pytest.raises(SaveError, match='format="plan"'):
        ik.save(model, tmp_path / "checkpoint", inputs=batch)
    assert list(tmp_path.iterdir()) == []
    ik.save(model, tmp_path / "plan", "plan", inputs=batch)
    assert same(run(ik.load(tmp_path / "plan"), batch), left)


def test_without_its_last_layer_a_diffllama_is_a_checkpoint(tmp_path: Path) -> None:
    """The constants of the layers before it stay what they were."""
    model, batch = build("causal-lm", "diffllama")
    ik.remove(model, "model.layers.3", inputs=batch)
    ik.save(model, tmp_path / "checkpoint", inputs=batch)
    assert same(run(type(model).from_pretrained(tmp_path / "checkpoint").eval(), batch), run(model, batch))  # type: ignore[attr-defined]


def test_the_first_block_of_an_rwkv_norms_what_enters_and_cannot_be_spared_in_a_file(tmp_path: Path) -> None:
    model, batch = build("causal-lm", "rwkv")
    (stack,) = stacks_of(model, lambda: run(model, batch))
    with skipping(model, stack, ["rwkv.blocks.0"]):
        expected = run(model, batch)
    with ik.bypass(model, "rwkv.blocks.0", inputs=batch):
        assert same(run(model, batch), expected)
    ik.remove(model, "rwkv.blocks.0", inputs=batch)
    with pytest.raises(SaveError, match=r"has missing keys: rwkv.blocks.0.attention.key.weight"):
        ik.save(model, tmp_path / "checkpoint", inputs=batch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["xlm", "flaubert"])
def test_lists_of_parts_are_no_layers_and_each_part_is_a_branch(kind: str) -> None:
    """A layer is spread over four lists. Zeros in its attention are zeros in what its last product gives."""
    model, batch = build("masked-lm", kind)
    assert list(ik.sites(model, inputs=batch)) == []
    with pytest.raises(RoleError, match=r'Say which you mean: as_="identity" or as_="zero"\.$'):
        ik.bypass(model, "transformer.layer_norm1.1", inputs=batch)
    for place, last in (("attentions.1", "out_lin"), ("ffns.1", "lin2")):
        with ik.bypass(model, f"transformer.{place}", inputs=batch) as handle:
            assert [edit.op for edit in handle.plan] == ["zero"]
            without = run(model, batch)
        product = model.get_submodule(f"transformer.{place}.{last}")
        kept = [value.detach().clone() for value in product.parameters()]
        for value in product.parameters():
            value.data.zero_()
        assert same(run(model, batch), without)
        for value, old in zip(product.parameters(), kept, strict=True):
            value.data.copy_(old)


PARTS = {
    ("masked-lm", "ibert"): [f"ibert.encoder.layer.1.{part}" for part in ("attention", "attention.self", "output")],
    ("causal-lm", "deepseek_v4"): [f"model.layers.1.{part}" for part in ("self_attn", "mlp")],
}


@pytest.mark.parametrize("kind", PARTS, ids=lambda kind: kind[1])
def test_parts_whose_stream_is_rescaled_or_mixed_are_asked_for(kind: tuple[str, str]) -> None:
    """I-BERT's sums are of values with their scales, DeepSeek's hyper-connections mix several streams."""
    model, batch = build(*kind)
    for place in PARTS[kind]:
        with pytest.raises(RoleError, match=r'Say which you mean: as_="identity" or as_="zero"\.$'):
            ik.bypass(model, place, inputs=batch)
    (stack,) = stacks_of(model, lambda: run(model, batch))
    with skipping(model, stack, [stack.blocks[1]]):
        expected = run(model, batch)
    with ik.bypass(model, stack.blocks[1], inputs=batch):
        assert same(run(model, batch), expected)


@pytest.mark.parametrize("kind", ["granitemoe", "rwkv"])
def test_a_scan_carries_no_cache_from_pass_to_pass(kind: str) -> None:
    """GraniteMoE's layers take a cache that their signature does not show, RWKV's write into their state."""
    model, batch = build("causal-lm", kind)
    batches = [dict(batch.kwargs), {name: value[:1] for name, value in batch.kwargs.items()}]
    (stack,) = stacks_of(model, lambda: run(model, batch))
    found = ik.scan(model, batches, metrics="kl", progress=False)
    for place in stack.blocks[1:]:  # the plain loop's own hook cannot stand for RWKV's first block, which norms
        _, edited = small_net.by_hand(model, batches, [place], "kl")
        assert found.find(place).edited == pytest.approx(float(np.mean(edited)), rel=1e-4)  # type: ignore[union-attr]


def test_a_granitemoe_decodes_with_its_cache_without_its_first_layer() -> None:
    model, batch = build("causal-lm", "granitemoe")
    assert ways(model, batch) == ["step", "generate"]
    with ik.bypass(model, "model.layers.0", inputs=batch):
        assert max(off(model, batch, way) for way in ("step", "generate")) < CLOSE
    ik.remove(model, "model.layers.0", inputs=batch)
    assert max(off(model, batch, way) for way in ("step", "generate")) < CLOSE


@pytest.mark.parametrize("kind", ["roformer", "cpmant"])
def test_equal_tokens_do_not_mean_equal_logits(kind: str) -> None:
    """A cache that is wrong by little gives the same tokens: logits are compared, step by step."""
    model, batch = build("causal-lm", kind)
    blocks = stacks_of(model, lambda: run(model, batch))[0].blocks
    known = ways(model, batch)
    with ik.bypass(model, blocks[0], inputs=batch):
        assert all(off(model, batch, way) < CLOSE for way in known)


def test_a_fresh_batch_norm_hides_whether_the_layer_before_it_is_the_branch() -> None:
    """It divides by sqrt(1 + 1e-5): at float32 tolerance conv2 looks like what is added. Trained, it is not."""
    torch.manual_seed(0)
    model, x = ResNet().eval(), torch.randn(2, 3, 32, 32)
    block = model.layer1[1]
    verdict = anatomy_of(model, x).verdict("layer1.1.conv2")
    with ik.bypass(model, "layer1.1.bn2", inputs=x), torch.no_grad():
        absent = model(x)
    if verdict.role == "branch":  # zeros pass through such a norm as zeros: it is true, of this model
        with ik.bypass(model, "layer1.1.conv2", inputs=x), torch.no_grad():
            assert torch.equal(model(x), absent)
    block.bn2.running_mean.fill_(0.01)
    assert anatomy_of(model, x).verdict("layer1.1.conv2").role == "unproved"
    assert anatomy_of(model, x).verdict("layer1.1.bn2").role == "branch"


class Named(nn.Module):
    """Calls its identity by keyword, as its signature allows."""

    def __init__(self, identity: nn.Module) -> None:
        super().__init__()
        self.identity, self.head = identity, nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.identity(input=x))


def test_the_compilers_pass_that_takes_identities_out() -> None:
    """torch's own pass fails on `identity(input=x)`; identikit's Identity, which it does not know, it leaves alone."""
    from torch._inductor.fx_passes.pre_grad import remove_identity

    x = torch.randn(2, 4)
    with pytest.raises(AssertionError):
        remove_identity(torch.fx.symbolic_trace(Named(nn.Identity())))
    model = Named(ik.nn.Identity(name="input"))
    assert torch.equal(remove_identity(torch.fx.symbolic_trace(model))(x), model(x))


@pytest.mark.long
def test_an_edited_model_goes_through_the_whole_compiler() -> None:
    """Not the graph alone: the code that Inductor writes of a bypass and of an Identity."""
    net, x = nn.Sequential(Named(ik.nn.Identity(name="input")), nn.Tanh(), nn.Linear(3, 3)), torch.randn(2, 4)
    torch._dynamo.reset()
    with ik.bypass(net, "2", inputs=x):
        torch.testing.assert_close(torch.compile(net, fullgraph=True)(x), net(x))
    torch._dynamo.reset()
