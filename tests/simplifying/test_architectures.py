"""Real architectures with random weights and statistics: what is found in them, and that nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

import identikit as ik
import zoo

from .held import done, dtype_of, names, picture, simplified, trained


def torchvision_model(name: str) -> nn.Module:
    import torchvision

    return trained(torchvision.models.get_model(name, weights=None, num_classes=5))


def timm_model(name: str, **options: Any) -> nn.Module:
    import timm

    return trained(timm.create_model(name, pretrained=False, num_classes=5, **options))


@pytest.mark.parametrize(
    ("name", "norms"), [("resnet18", 20), ("mobilenet_v3_small", 34), ("shufflenet_v2_x0_5", 56), ("mnasnet0_5", 52)]
)
def test_torchvision(name: str, norms: int) -> None:
    model = torchvision_model(name)
    found = simplified(model, picture(3, 32))
    assert len(done(found, "fold")) == norms
    assert not any(isinstance(each, nn.BatchNorm2d | nn.Dropout) for each in model.modules())
    assert found.left == ()


def test_norms_before_activations_stay_in_a_densenet() -> None:
    """Where the norm comes first, what it scales goes through a ReLU; half of them follow a convolution."""
    import torchvision

    model = trained(torchvision.models.DenseNet(8, (2, 2), 16, num_classes=5))
    found = simplified(model, picture(3, 32))
    assert done(found, "fold") == {
        "features.norm0": "features.conv0",
        **{
            f"features.denseblock{block}.denselayer{layer}.norm2": f"features.denseblock{block}.denselayer{layer}.conv1"
            for block in (1, 2)
            for layer in (1, 2)
        },
    }
    assert found.left == ()


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenetv3_small_050", "test_byobnet"])
def test_timm(name: str) -> None:
    model = timm_model(name)
    found = simplified(model, picture(3, 32))
    assert not any(isinstance(each, nn.BatchNorm2d | nn.BatchNorm1d) for each in model.modules())
    assert found.left == ()


def test_layer_scales_of_a_vision_transformer() -> None:
    model = timm_model("test_vit", init_values=0.5, drop_rate=0.1, img_size=32, patch_size=8)
    found = simplified(model, picture(3, 32))
    assert len(done(found, "fold")) == 2 * len(model.blocks)
    assert "LayerScale" not in names(model)


def test_repvgg_of_timm() -> None:
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    blocks = (ByoBlockCfg("rep", 2, 8, s=2, gs=0), ByoBlockCfg("rep", 2, 16, s=2, gs=4))
    config = ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=8)
    model = trained(ByobNet(config, num_classes=5))
    found = simplified(model, picture(3, 32))
    assert len(done(found, "branches")) == 5
    assert names(model).count("Conv2d") == 5
    assert found.after.parameters < found.before.parameters


@pytest.mark.parametrize("case", zoo.ZOO, ids=lambda case: case.name)
def test_the_zoo(case: zoo.Case) -> None:
    model, batch = case.build(), case.inputs(case.build())
    inputs = tuple(batch.args) or dict(batch.kwargs)
    before, generate = case.build(), hasattr(model, "generate")
    ik.simplify(model, inputs)
    found = ik.simplified(model)
    assert found is not None
    assert found.float64 is None if case.name == "mixtral" else found.float64 < 1e-9  # its experts have no float64
    assert found.own < 1e-4
    if generate:
        assert all(each.kind == "strip" for each in found.rewrites)
        assert found.same_state
    assert dtype_of(model) is dtype_of(before)


def test_dropouts_of_a_transformers_model_are_stripped() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    size = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**size, intermediate_size=16)).eval()
    ik.simplify(model)
    found = ik.simplified(model)
    assert found is not None
    assert {"bert.embeddings.dropout", "dropout", "bert.encoder.layer.0.output.dropout"} <= set(done(found, "strip"))
    assert found.own == 0
    assert found.same_state
