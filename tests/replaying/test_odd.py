"""What a careless replay gets wrong: bit-equal to the plain loop, or noticed with a note and left to a safe engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from identikit.batches import Batch
from replaying import odd, odd_states, odd_ways
from replaying.held import compared

PLACES: list[str | tuple[str, ...]] = [f"layers.{number}" for number in range(odd.DEPTH)]
PLACES += [("layers.0", "layers.2"), "layers.1.up", "layers.2.norm", "stem"]

#: Which engine runs a model when "chain" was asked for, and what its note says; "suffix" where only that is wrong too.
STACKED = {"Net", "Shared", "Recurrent", "TimeFirst", "Defaults", "Scripted", "LongSkip", "LateSkip", "TwoStreams"}
STACKED |= {"Sorted", "Direct", "Captured", "ControlFlow", "Folded", "Reentrant"}
PLAIN = {"Auxiliary", "SharedBoard", "Inference"}
WHY = {
    "DrawsBefore": "the model draws random numbers",
    "DrawsInside": "the model draws random numbers",
    "DrawsBehind": "the model draws random numbers",
    "Counts": "the model keeps a state of its own between passes",
    "Remembers": "the model keeps a state of its own between passes",
    "BatchStatistics": "differs from the plain run on two examples",
    "BatchMean": "differs from the plain run on two examples",
    "Capacity": "differs from the plain run on two examples",
    "NumbersAlong": "hold a value that changes with the number of examples",
    "Automatic": "differs from the plain run on two examples",
    "HandsOutAll": "is read again later",
    "Queries": "a stream that holds no examples differs from branch to branch",
    "Reacting": "differs from the plain run on two examples",
    "Cached": "the model keeps a state of its own between passes",
    "KeyedByShape": "the model keeps a state of its own between passes",
}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in odd.ODD])
def test_never_wrong_without_a_word(kind: type[odd.Net]) -> None:
    name = kind.__name__
    for asked in ("suffix", "chain", "auto"):
        worst, engine, plans = compared(odd.built(kind), odd.batches(), PLACES, asked, "identity")
        assert plans >= 3
        assert worst <= (1 if engine.name == "chain" and name == "TimeFirst" else 0), (asked, engine.name)
        if name in PLAIN:
            assert engine.name == "loop"
            assert engine.notes[-1].endswith("differs from the plain run on two examples; scanned by the plain loop.")
        elif asked == "suffix":
            assert (engine.name, engine.notes) == ("suffix", [])
        elif asked == "chain":
            assert engine.name == ("chain" if name in STACKED else "suffix")
            assert bool(engine.notes) or name in STACKED
            assert WHY.get(name, "") in "".join(engine.notes)


def test_a_note_reaches_the_result() -> None:
    result = ik.scan(
        odd.built(odd_states.SharedBoard), odd.batches(), "layers.*.up", engine="chain", as_="zero", costs=False
    )
    assert {row.engine for row in result} == {"loop"}
    assert any(note.endswith("scanned by the plain loop.") for note in result.header.notes)


HOOKS: dict[str, Any] = {
    "a block's output": lambda net: net.layers[1].register_forward_hook(lambda module, args, output: output * 1.5),
    "a block's input": lambda net: net.layers[3].register_forward_pre_hook(lambda module, args: (args[0] + 1.0,)),
    "a part's output": lambda net: net.layers[2].up.register_forward_hook(lambda module, args, output: output - 1.0),
    "the model's output": lambda net: net.register_forward_hook(lambda module, args, output: output * 2.0),
}


@pytest.mark.parametrize("where", HOOKS)
def test_hooks_of_the_user(where: str) -> None:
    """They rewrite what goes from layer to layer, in a replay as in a pass."""
    for asked in ("suffix", "chain"):
        net = odd.built(odd.Net)
        HOOKS[where](net)
        worst, _, plans = compared(net, odd.batches(), PLACES, asked, "identity")
        assert plans == len(PLACES)
        assert worst == 0


def test_a_hook_that_keeps_what_it_sees() -> None:
    net, seen = odd.built(odd.Net), list[torch.Tensor]()
    net.layers[2].register_forward_hook(lambda module, args, output: seen.append(output))  # type: ignore[index, union-attr]
    assert compared(net, odd.batches(), PLACES, "chain", "identity")[0] == 0
    assert seen


def test_in_train_mode_dropout_is_off() -> None:
    """A scan judges the model in eval mode, whatever mode it is in."""
    net = odd.built(odd.Net)
    net.layers.insert(2, nn.Dropout(0.5))  # type: ignore[operator, union-attr]
    rows = [[row.edited for row in ik.scan(net, odd.batches(), PLACES[:2], engine="loop", costs=False)]]
    net.train()
    for engine in ("suffix", "chain"):
        rows.append([row.edited for row in ik.scan(net, odd.batches(), PLACES[:2], engine=engine, costs=False)])
    assert rows[0] == rows[1] == rows[2]
    assert net.training


def ids(rows: int, length: int, *, padded: bool = False, **more: Any) -> Batch:
    """Token ids with a mask; the last example of `padded` ones ends two tokens early."""
    mask = torch.ones(rows, length, dtype=torch.long)
    if padded:
        mask[-1, -2:] = 0
    given = {"input_ids": torch.randint(3, len(tiny.WORDS), (rows, length)), "attention_mask": mask, **more}
    return Batch(kwargs=given, examples=rows)


PADDED = [(3, 6, True), (3, 6, False), (3, 6, True), (2, 4, True), (1, 6, False)]


def padded(**more: Any) -> list[Batch]:
    return [ids(rows, length, padded=cut, **more) for rows, length, cut in PADDED]


@pytest.mark.parametrize("asked", ["suffix", "chain", "auto"])
@pytest.mark.parametrize("kind", ["classifier", "causal"])
def test_padding_comes_and_goes(kind: str, asked: str) -> None:
    """Some batches are padded, some are not (their mask is then left out on the way), some have another length."""
    model = tiny.model(kind)
    stack = "bert.encoder.layer" if kind == "classifier" else "model.layers"
    places: list[str | tuple[str, ...]] = [f"{stack}.{number}" for number in range(4)]
    inner = f"{stack}.1.attention" if kind == "classifier" else f"{stack}.1.mlp"
    worst, engine, plans = compared(model, padded(), [*places, inner], asked)
    assert plans == 5
    assert worst <= (1 if engine.name == "chain" and kind == "causal" else 0)  # eight channels a head: other last bits
    assert engine.name == asked or asked == "auto"


@pytest.mark.parametrize("asked", ["suffix", "chain"])
def test_all_streams_among_the_outputs(asked: str) -> None:
    """`output_hidden_states=True`, `output_attentions=True`: what each layer made is part of the output."""
    how = {"output_hidden_states": True, "output_attentions": True}
    places: list[str | tuple[str, ...]] = [f"bert.encoder.layer.{number}.output" for number in range(3)]
    model = tiny.model("classifier", attn_implementation="eager")
    worst, _, plans = compared(model, padded(**how), places, asked, "identity")
    assert plans == 3
    assert worst == 0


@pytest.mark.parametrize("asked", ["suffix", "chain"])
@pytest.mark.parametrize("how", ["cpu", "disk"])
def test_weights_that_are_elsewhere(how: str, asked: str, tmp_path: Path) -> None:
    """Behind accelerate's offload: the same rows as of the plain model, and the weights are away again."""
    from accelerate import cpu_offload, disk_offload

    places: list[str | tuple[str, ...]] = [f"model.layers.{number}" for number in range(4)]
    model = tiny.model("causal")
    if how == "cpu":
        cpu_offload(model, execution_device="cpu")
    else:
        disk_offload(model, tmp_path / "aside", execution_device="cpu")
    worst, engine, plans = compared(model, padded(), [*places, "model.layers.2.mlp"], asked)
    assert (plans, engine.name) == (5, asked)
    assert worst <= (1 if asked == "chain" else 0)
    assert all(value.is_meta for value in model.model.layers.parameters())


@pytest.mark.parametrize("asked", ["suffix", "chain"])
@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_what_torch_puts_around_a_model(wrap: Any, asked: str) -> None:
    plain = [row.edited for row in ik.scan(odd.built(odd.Net), odd.batches(), "layers.*", engine="loop", costs=False)]
    wrapped = wrap(odd.built(odd.Net))
    result = ik.scan(wrapped, odd.batches(), "layers.*", engine=asked, costs=False)
    assert [row.edited for row in result] == plain
    assert {row.engine for row in result} == {asked}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("asked", ["suffix", "chain"])
def test_the_fast_path_of_torchs_encoder(asked: str) -> None:
    """With nested tensors where something is padded: no layer's Python runs there; nothing is scored that did not."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
    encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=True).eval()
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[2, 3:] = True
    batches = [
        Batch((torch.randn(3, 5, 16),), {"src_key_padding_mask": mask}, None, 3)
        for mask in (padding, ~padding & padding)
    ]
    places: list[str | tuple[str, ...]] = [f"layers.{number}" for number in range(4)]
    worst, _, plans = compared(encoder, batches, places, asked, "identity")
    assert plans == 4
    assert worst <= 1


@pytest.mark.parametrize("asked", ["suffix", "chain"])
def test_a_metric_that_writes_into_the_output(asked: str) -> None:
    """The output may be what was recorded; the next layer's rows must not notice."""

    def spoils(output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        found = output["streams"][2].sum((1, 2)) + output["logits"].sum(1)
        for stream in output["streams"]:
            stream.zero_()
        return found

    def rows(engine: str) -> list[float]:
        net = odd.built(odd_ways.HandsOutAll)
        return [row.edited for row in ik.scan(net, odd.batches(), "layers.*", spoils, engine=engine, as_="identity")]

    assert rows(asked) == rows("loop")


@pytest.mark.parametrize("as_", ["zero", "mean", "identity"])
def test_what_stands_in_a_layers_place(as_: str) -> None:
    def rows(engine: str, at: Any) -> list[float]:
        net = odd.built(odd.Net)
        return [row.edited for row in ik.scan(net, odd.batches(), at, engine=engine, as_=as_, costs=False)]

    for at in ("layers.*", "layers.*.up"):
        assert rows("loop", at) == rows("suffix", at) == rows("chain", at)


@pytest.mark.parametrize("span", [2, 3])
def test_spans(span: int) -> None:
    def rows(engine: str) -> list[float]:
        net = odd.built(odd.Net)
        return [row.edited for row in ik.scan(net, odd.batches(), engine=engine, span=span, costs=False)]

    assert rows("loop") == rows("suffix") == rows("chain")
    assert len(rows("chain")) == odd.DEPTH - span + 1
