"""Mean ablation: one vector of features over examples and positions, padding left out, in the layer's place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import DataError, PlanError, RoleError
from identikit.replacing.mean import RunningMean
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from replacing.replaced_models import batches, resnet, run, seen
from zoo import case


def value_of(handle: object, place: str) -> torch.Tensor:
    """The mean that a handle's plan holds for `place`."""
    plan = handle.plan  # type: ignore[attr-defined]
    return plan.tensors[next(edit for edit in plan if edit.at == place).tensors["value"]]


def tokens(model: nn.Module, name: str, rows: int, length: int, padded: int, *, seed: int) -> Batch:
    """A batch of the zoo's architecture `name` whose second row ends in padding."""
    ids = torch.randint(1, 100, (rows, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[1, length - padded :] = 0
    kwargs = {"input_ids": ids, "attention_mask": mask}
    if name == "t5":
        kwargs |= {"decoder_input_ids": ids + 1, "decoder_attention_mask": mask.flip(0)}
    return Batch(kwargs=kwargs, examples=rows)


def test_the_running_mean_is_the_mean() -> None:
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 1e6
    mean = RunningMean(3)
    for part in rows.split([1, 30, 0, 19]):
        mean.add(part)
    torch.testing.assert_close(mean.value, rows.double().mean(0))


@pytest.mark.parametrize("place", ["layer2.0", "layer1.1", "layer3.0.conv2", "bn1"])
def test_of_a_picture_it_is_one_number_a_channel(place: str) -> None:
    model, data = resnet(), batches()
    with bypass(model, place, as_="mean", data=data) as handle:
        value = value_of(handle, place)
        [(_, output)] = seen(model, place, data[1])
    outputs = torch.cat([y.movedim(1, -1).flatten(0, -2) for batch in data for _, y in seen(model, place, batch)])
    torch.testing.assert_close(value, outputs.mean(0), rtol=1e-4, atol=1e-5)
    assert torch.equal(output, value.reshape(1, -1, 1, 1).expand_as(output))


@pytest.mark.parametrize(
    ("name", "place", "mask"),
    [
        ("bert", "bert.encoder.layer.1.attention", "attention_mask"),
        ("llama", "model.layers.2.mlp", "attention_mask"),
        ("t5", "encoder.block.1.layer.1", "attention_mask"),
        ("t5", "decoder.block.1.layer.2", "decoder_attention_mask"),
        ("t5", "decoder.block.1.layer.1.EncDecAttention", "decoder_attention_mask"),
    ],
)
def test_padding_is_left_out_on_either_side(name: str, place: str, mask: str) -> None:
    """Encoder and decoder see as many tokens here: only the way the layer depends on its inputs tells them apart."""
    model = case(name).build()
    data = [tokens(model, name, 2, 5, 2, seed=1), tokens(model, name, 3, 4, 1, seed=2)]
    kept = []
    for batch in data:
        [(_, output)] = seen(model, place, batch)
        kept.append(output[batch.kwargs[mask].bool()])
    with bypass(model, place, as_="mean", data=data, inputs=data[0]) as handle:
        torch.testing.assert_close(value_of(handle, place), torch.cat(kept).mean(0), rtol=1e-4, atol=1e-5)


def test_tokens_first_and_torchs_own_padding_are_understood() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0).eval()
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    batch = Batch((torch.randn(5, 2, 16),), {"src_key_padding_mask": padding}, examples=2)
    [(_, output)] = seen(model, "layers.0", batch)
    with bypass(model, "layers.0", as_="mean", data=[batch], inputs=batch) as handle:
        torch.testing.assert_close(value_of(handle, "layers.0"), output[~padding.T].mean(0), rtol=1e-4, atol=1e-5)


def test_a_branch_with_other_outputs_keeps_them_out() -> None:
    """Attention returns its weights too: nobody reads them, so None stands there."""
    entry = case("bert")
    model = entry.build()
    batch, place = entry.inputs(model), "bert.encoder.layer.1.attention.self"
    with bypass(model, place, as_="mean", data=[batch], inputs=batch) as handle:
        bypassed = run(model, batch)
    expected = value_of(handle, place)
    with torch.no_grad():
        hook = model.get_submodule(place).register_forward_hook(
            lambda module, args, output: (expected.expand_as(output[0]), *output[1:])
        )
        torch.testing.assert_close(run(model, batch), bypassed)
        hook.remove()


def test_a_layer_whose_shape_no_input_tells_runs_and_cannot_be_removed() -> None:
    entry = case("llama")
    model = entry.build()
    batch, place = entry.inputs(model), "model.embed_tokens"
    with bypass(model, place, as_="mean", data=[batch], inputs=batch) as handle:
        [(_, output)] = seen(model, place, batch)
        assert torch.equal(output, value_of(handle, place).expand_as(output))
    with pytest.raises(RoleError, match="nothing else tells its output's shape"):
        remove(model, handle.plan, inputs=batch)


def test_a_mean_removed_leaves_a_buffer_and_no_parameter() -> None:
    model, data = resnet(), batches()
    with bypass(model, "layer2.0", as_="mean", data=data) as handle:
        bypassed = run(model, data[0])
    assert remove(model, handle.plan, inputs=data[0]) is model
    assert [torch.equal(one, other) for one, other in zip(run(model, data[0]), bypassed, strict=True)] == [True]
    stand_in = model.get_submodule("layer2.0")
    assert dict(stand_in.named_buffers()).keys() == {"replacement.value"}
    assert not list(stand_in.parameters())


def test_later_layers_may_write_into_it() -> None:
    """The zoo's network in place adds to what a layer hands it; the mean stays what it is."""
    entry = case("in_place")
    model = entry.build()
    batch = entry.inputs(model)
    with bypass(model, "layers.1", as_="mean", data=[batch], inputs=batch) as handle:
        first, kept = run(model, batch), value_of(handle, "layers.1").clone()
        assert torch.equal(run(model, batch)[0], first[0])
        assert torch.equal(value_of(handle, "layers.1"), kept)


def test_refusals() -> None:
    model, data = resnet(), batches()
    cases = [
        ({}, DataError, 'as_="mean" is worked out from data. Pass it: data=[batch, ...].'),
        ({"data": []}, DataError, "data is empty: this list has length 0. Give at least one example."),
        (
            {"data": data, "options": {"side": "both"}},
            PlanError,
            'mean at "layer2.0" has no option "side"; there are axis, stride, value.',
        ),
        (
            {"data": [data[0] * float("nan")]},
            DataError,
            'what "layer2.0" makes of a list of 1 batch is not finite. Look at the data, or at the weights.',
        ),
    ]
    for given, kind, text in cases:
        with pytest.raises(kind) as error:
            bypass(model, "layer2.0", as_="mean", **{"inputs": data[0], **given})
        assert str(error.value) == text
    with pytest.raises(PlanError) as wrong:
        bypass(model, "layer2.1", inputs=data[0], options={"down": "average"})
    known = "'mean' or 'shortcut' or 'adapter' or 'resample'"
    assert str(wrong.value) == f"options= are for as_={known}; as_=None has none."


def test_what_is_padding_everywhere_teaches_nothing() -> None:
    entry = case("bert")
    model = entry.build()
    batch = entry.inputs(model)
    nothing = torch.zeros_like(batch.kwargs["attention_mask"])
    empty = Batch(kwargs={**batch.kwargs, "attention_mask": nothing}, examples=2)
    with pytest.raises(DataError, match="or on padding alone"):
        bypass(model, "bert.encoder.layer.1", as_="mean", data=[empty], inputs=batch)
