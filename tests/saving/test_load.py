"""`load`: checkpoints, plan folders and plain modules come back with their plan; what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import identikit as ik
import tiny
from identikit.errors import IdentikitError, InputsError, ModelError, PlaceError, PlanError, RoleError, SaveError
from identikit.plan import Plan
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from tiny import IDS
from zoo import weigh

X = torch.linspace(-1, 1, 12).reshape(3, 4)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        output = model(input_ids=IDS)
    return output[0]


@pytest.mark.parametrize("second", ["checkpoint", "plan"])
@pytest.mark.parametrize("first", ["checkpoint", "plan"])
def test_a_second_removal_on_a_loaded_model(first: Any, second: Any, bert: Any, tmp_path: Path) -> None:
    """Places mean the model as it is now; the plan that is carried speaks of the model first loaded."""
    ik.save(bert, tmp_path / "one", first)
    again = ik.load(tmp_path / "one")
    ik.remove(again, "bert.encoder.layer.1")
    ik.save(again, tmp_path / "two", second)
    last = ik.load(tmp_path / "two")
    assert carried(last).plan.places == ("bert.encoder.layer.1", "bert.encoder.layer.2")  # type: ignore[union-attr]
    together = ik.remove(tiny.model("classifier"), "bert.encoder.layer.[1,2]")
    assert torch.equal(logits(last), logits(together))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("shift", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x * self.scale + self.shift


class Counting(Plain):
    """Goes through its layers by number: a removed layer leaves a stand-in in its slot."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(4):
            x = self.layers[number](x)
        return x / len(self.layers)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class Branching(Plain):
    """Layers with a branch inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Branch() for _ in range(4))


def plain(kind: type[nn.Module] = Plain) -> nn.Module:
    return weigh(kind())


def saved(model: nn.Module, folder: Path, form: Any) -> torch.Tensor:
    ik.save(model, folder, form, inputs=X)
    with torch.no_grad():
        return model(X)


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize("places", ["layers.0", "layers.[1,2]", "layers.3", []])
def test_a_plain_module(places: str, form: Any, tmp_path: Path) -> None:
    model = ik.remove(plain(), places, inputs=X) if places else plain()
    expected = saved(model, tmp_path / "x", form)
    fresh = Plain()
    for given in (None, X):
        fresh = Plain()
        again = ik.load(tmp_path / "x", fresh, inputs=given)
        assert again is fresh
        assert torch.equal(again(X), expected)
    with pytest.raises(ModelError, match=r"plain nn\.Module, whose code is yours\. Pass it: model=\.\.\."):
        ik.load(tmp_path / "x")


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize("place", ["layers.1", "layers.3"])
def test_a_stand_in_is_replayed_with_an_example_only(place: str, form: Any, tmp_path: Path) -> None:
    """Shortening would fit the weights' names (at the end of the stack), and compute something else."""
    model = ik.remove(plain(Counting), place, inputs=X)
    expected = saved(model, tmp_path / "x", form)
    fresh = Counting()
    before = Snapshot(fresh)
    with pytest.raises(InputsError, match=rf'"identity at {place}", which takes one example of the input to replay'):
        ik.load(tmp_path / "x", fresh)
    assert before.changes(fresh) == []
    assert torch.equal(ik.load(tmp_path / "x", Counting(), inputs=X)(X), expected)


def test_a_second_removal_on_a_plain_module(tmp_path: Path) -> None:
    saved(ik.remove(plain(), "layers.1", inputs=X), tmp_path / "one", "plan")
    again = ik.remove(ik.load(tmp_path / "one", Plain()), "layers.1", inputs=X)
    expected = saved(again, tmp_path / "two", "plan")
    last = ik.load(tmp_path / "two", Plain())
    assert torch.equal(last(X), expected)
    assert carried(last).plan.places == ("layers.1", "layers.2")  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_an_inner_edit(form: Any, tmp_path: Path) -> None:
    """A branch that became zero: the slot stays, without its weights."""
    model = ik.remove(plain(Branching), "layers.1.branch", inputs=X)
    expected = saved(model, tmp_path / "x", form)
    assert torch.equal(ik.load(tmp_path / "x", Branching(), inputs=X)(X), expected)


def test_an_inner_edit_that_is_only_bypassed(tmp_path: Path) -> None:
    """A layer that still runs, for its output's shape, cannot be left out: refused, and nothing is written."""
    model = plain(Branching)
    with ik.bypass(model, "layers.1.branch.1", inputs=X), pytest.raises(RoleError) as error:
        ik.save(model, tmp_path / "x", "plan", inputs=X)
    assert 'the bypassed "layers.1.branch.1" still runs' in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    model = tiny.model("causal", tie_word_embeddings=True)
    ik.save(ik.remove(model, "model.layers.1"), tmp_path / "x", "plan")
    again: Any = ik.load(tmp_path / "x")
    assert again.lm_head.weight is again.model.embed_tokens.weight
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)


def test_a_dtype_for_each_weight(tmp_path: Path) -> None:
    model: Any = plain()
    model.scale.data = model.scale.data.double()
    ik.save(ik.remove(model, "layers.2", inputs=X), tmp_path / "x", "plan", inputs=X)
    again: Any = ik.load(tmp_path / "x", Plain())
    assert again.scale.dtype == torch.float64
    assert again.layers[0].weight.dtype == torch.float32


def refuse(kind: type[IdentikitError], folder: Path, model: nn.Module | None = None, **how: Any) -> str:
    """The refusal of a folder; the model handed in is as it was."""
    before = Snapshot(model) if model is not None else None
    with pytest.raises(kind) as error:
        ik.load(folder, model, **how)
    assert before is None or before.changes(model) == []  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_weights_of_another_model(form: Any, tmp_path: Path) -> None:
    saved(ik.remove(plain(), "layers.1", inputs=X), tmp_path / "x", form)
    name = "model.safetensors" if form == "checkpoint" else "identikit-weights.safetensors"
    weights = load_file(tmp_path / "x" / name)
    save_file({**weights, "layers.9.weight": torch.zeros(1)}, tmp_path / "x" / name)
    for inputs in (None, X):
        assert "layers.9.weight is on one side only" in refuse(SaveError, tmp_path / "x", Plain(), inputs=inputs)
    save_file({**weights, "scale": torch.zeros(5)}, tmp_path / "x" / name)
    says = refuse(SaveError, tmp_path / "x", Plain(), inputs=X)
    assert says.endswith("holds scale as 5; this Plain has 4.")
    del weights["shift"]
    save_file(weights, tmp_path / "x" / name)
    assert "shift is on one side only" in refuse(SaveError, tmp_path / "x", Plain())
    (tmp_path / "x" / name).write_bytes(b"no tensors here")
    assert "is damaged" in refuse(ModelError, tmp_path / "x", Plain())


def edit(at: str, op: str = "identity") -> dict[str, Any]:
    return {"op": op, "at": at, "options": {}}


def hostile(**changes: Any) -> str:
    value: dict[str, Any] = {"format": "identikit.plan", "version": 1, "model": "", "fingerprint": "", "weights": ""}
    return json.dumps({**value, "edits": [edit("layers.1")], **changes})


HOSTILE = {
    "truncated": (hostile()[:40], PlanError, "is damaged"),
    "no JSON object": ("[]", PlanError, "is no plan"),
    "a number": (hostile(edits=5), PlanError, '"edits" must be a list'),
    "wrong types": (hostile(edits=[{"op": 1, "at": []}]), PlanError, "must be texts"),
    "an unknown key": (hostile(run="rm"), PlanError, "unknown key 'run'"),
    "an unknown edit": (hostile(edits=[edit("layers.1", "exec")]), PlanError, "no edit is called"),
    "an edit of another version": (hostile(edits=[edit("layers.1", "adapter")]), IdentikitError, "adapter"),
    "a path": (hostile(edits=[edit("../../etc/passwd")]), PlanError, "a place is a dotted path"),
    "no such layer": (hostile(edits=[edit("layers.7")]), PlaceError, 'no layer "layers.7" in Plain'),
    "a place that means several": (hostile(edits=[edit("layers.*")]), PlanError, "may mean several"),
    "an absurd number": (hostile(edits=[edit("layers." + "9" * 900)]), PlaceError, "no layer"),
    "NaN": (hostile(version=1).replace("1,", "NaN,", 1), PlanError, "NaN"),
    "another model": (hostile(fingerprint="0" * 16, model="Other"), IdentikitError, "for a Other of another structure"),
}


@pytest.mark.parametrize("inputs", [None, X], ids=["shortened", "replayed"])
@pytest.mark.parametrize(("text", "kind", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_plan(text: str, kind: Any, says: str, inputs: Any, tmp_path: Path) -> None:
    saved(ik.remove(plain(), "layers.1", inputs=X), tmp_path / "x", "plan")
    (tmp_path / "x" / "plan.json").write_text(text)
    assert says in refuse(kind, tmp_path / "x", Plain(), inputs=inputs)


def test_a_hostile_plan_beside_a_checkpoint(bert: Any, tmp_path: Path) -> None:
    ik.save(bert, tmp_path / "x")
    (tmp_path / "x" / "plan.json").write_text('{"format": "identikit.plan", "version": 1, "edits": [{"op": "x"')
    assert "is damaged" in refuse(PlanError, tmp_path / "x")


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ("[1, 2]", "it is no JSON object"),
        ('{"model_type": "bert", "hidden_size": NaN}', "holds NaN"),
        ('{"model_type": "bert", "hidden_size": "wide"}', "can be made from the configuration"),
        ('{"model_type": "bert", "hidden_size": 30, "num_attention_heads": 7}', "can be made from the configuration"),
        ('{"model_type": "nothing"', "is damaged"),
        ("{}", "no library here can make a BertForSequenceClassification"),
    ],
)
def test_a_hostile_configuration(configuration: str, says: str, bert: Any, tmp_path: Path) -> None:
    ik.save(bert, tmp_path / "x", "plan")
    (tmp_path / "x" / "configuration.json").write_text(configuration)
    assert says in refuse(ModelError, tmp_path / "x")


def test_code_of_others_is_not_run(minilm_path: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = ik.remove(SentenceTransformer(str(minilm_path), device="cpu"), "0.model.encoder.layer.[1:6]")
    ik.save(model, tmp_path / "x", "plan")
    modules = json.loads((tmp_path / "x" / "modules.json").read_text())
    modules[1]["type"] = "evil.Pooling"
    (tmp_path / "x" / "modules.json").write_text(json.dumps(modules))
    assert "brings its own code (evil.Pooling)" in refuse(ModelError, tmp_path / "x")


def test_the_plan_of_a_folder_is_gone(bert: Any, tmp_path: Path) -> None:
    ik.save(bert, tmp_path / "x", "plan")
    (tmp_path / "x" / "plan.json").unlink()
    assert "cannot read the plan file" in refuse(PlanError, tmp_path / "x")


def test_no_folder(tmp_path: Path) -> None:
    assert 'no folder "' in refuse(ModelError, tmp_path / "nowhere")


def test_words_for_device_and_dtype(bert: Any, tmp_path: Path) -> None:
    ik.save(bert, tmp_path / "x", "plan")
    assert 'unknown dtype "float31". Did you mean "float32"?' in refuse(ModelError, tmp_path / "x", dtype="float31")
    assert 'unknown device "gpu"' in refuse(ModelError, tmp_path / "x", device="gpu")


def test_a_plan_folder_can_be_moved(bert: Any, tmp_path: Path, seen: Callable[[], dict[str, bytes]]) -> None:
    ik.save(bert, tmp_path / "x", "plan")
    shutil.move(tmp_path / "x", tmp_path / "y")
    before = seen()
    assert torch.equal(logits(ik.load(tmp_path / "y")), logits(bert))
    assert Plan.read(tmp_path / "y" / "plan.json").places == ("bert.encoder.layer.1",)
    assert seen() == before
