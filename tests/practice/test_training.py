"""Training goes on, through a bypass and after a removal: gradient checkpointing, a plain loop, the Trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import identikit as ik
import tiny
from practice.where import INPUTS, PLACE, logits, steps, without


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**INPUTS).logits.square().mean().backward()
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_transformers_checkpointing_gives_the_same_gradients_through_a_bypass(kind: str) -> None:
    place = PLACE if kind == "causal" else "bert.encoder.layer.1"
    plain, saving = tiny.model(kind), tiny.model(kind)
    saving.activation_checkpointing_enable()
    saving.train()
    for module in saving.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with ik.bypass(plain, place), ik.bypass(saving, place):
        expected, found = gradients(plain), gradients(saving)
    assert found.keys() == expected.keys()
    assert not any(name.startswith(f"{place}.") for name in found)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert saving.training
    ik.remove(saving, place)
    assert saving.is_activation_checkpointing
    steps(saving)


def test_a_plain_models_own_checkpointing() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = checkpoint(layer, x, use_reentrant=False)
            return x

    model, x = Net(), torch.randn(4, 8)
    expected = model.layers[2](model.layers[0](x))
    with ik.bypass(model, "layers.1", inputs=x):
        found = model(x)
        found.square().mean().backward()
    assert torch.equal(found, expected)
    assert [layer[0].weight.grad is not None for layer in model.layers] == [True, False, True]
    ik.remove(model, "layers.1", inputs=x)
    model(x).square().mean().backward()
    assert torch.equal(model(x), expected)


def test_steps_under_a_bypass_change_every_layer_but_the_bypassed_one() -> None:
    model = tiny.model("causal")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with ik.bypass(model, PLACE):
        first, second = steps(model)
    assert second < first
    same = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert same == {name for name in before if name.startswith(f"{PLACE}.")}


def test_the_trainer_takes_a_pruned_checkpoint_as_any_other(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    ik.save(ik.remove(tiny.model("causal"), PLACE), tmp_path / "short")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "short")
    assert torch.equal(logits(model), logits(without("causal", 1)))
    row = {"input_ids": tiny.IDS[0], "labels": tiny.IDS[0]}
    how = TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=1, report_to=[], use_cpu=True,
        disable_tqdm=True, save_strategy="no", learning_rate=1e-2, logging_steps=1,
    )  # fmt: skip
    trainer = Trainer(model=model, args=how, train_dataset=[row] * 4)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    trainer.save_model(str(tmp_path / "trained"))
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    assert again.config.num_hidden_layers == 3
    assert torch.equal(logits(again), logits(model))
