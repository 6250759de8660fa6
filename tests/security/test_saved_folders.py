"""A folder that says identikit saved it: weights, plan, configuration, history. All of it is data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from identikit.errors import IdentikitError, IdentikitWarning, ModelError, PlanError, SaveError
from identikit.saving.original import read_matter
from security.conftest import tiny_vit
from security.traps import Bomb, change, pickled, python_that_touches, refused

WEIGHTS, PLAN, CONFIGURATION = "identikit-weights.safetensors", "plan.json", "configuration.json"
Spoil = Callable[[Path], object]


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bert` and `vit` in the plan form, each without a part."""
    place = tmp_path_factory.mktemp("plans")
    without = ik.remove(tiny.model("classifier"), "bert.encoder.layer.1")
    ik.save(without, place / "bert", format="plan")
    ik.save(ik.remove(tiny_vit().eval(), "blocks.0.mlp"), place / "vit", format="plan")
    return place


@pytest.fixture
def saved(plans: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of them, to be spoiled."""
    return lambda name: Path(shutil.copytree(plans / name, tmp_path / "downloaded" / name))


def test_they_load_as_they_are(plans: Path) -> None:
    assert len(ik.load(plans / "bert").bert.encoder.layer) == 3  # type: ignore[union-attr,arg-type]
    assert ik.load(plans / "vit") is not None


@pytest.mark.parametrize("bare", [True, False], ids=["bare", "zip"])
def test_weights_that_are_a_pickle(bare: bool, saved: Callable[[str], Path], bomb: Bomb) -> None:
    place = saved("bert")
    if bare:
        (place / WEIGHTS).write_bytes(pickled(bomb))
    else:
        torch.save({"weight": torch.ones(2), "bomb": bomb}, place / WEIGHTS)
    assert f"{WEIGHTS} is damaged" in refused(lambda: ik.load(place), ModelError)


def test_a_plan_s_tensors_that_are_a_pickle(saved: Callable[[str], Path], bomb: Bomb) -> None:
    place = saved("bert")
    edit = {"op": "mean", "at": "bert.encoder.layer.1", "options": {"value": f"sha256:{'0' * 32}"}}
    change(place / PLAN, edits=[edit])
    (place / "plan.safetensors").write_bytes(pickled(bomb))
    assert "plan.safetensors is damaged" in refused(lambda: ik.load(place), PlanError)
    assert "plan.safetensors is damaged" in refused(lambda: ik.Plan.read(place / PLAN), PlanError)


def edits(at: str, **options: Any) -> Spoil:
    return lambda place: change(place / PLAN, fingerprint="", edits=[{"op": "identity", "at": at, "options": options}])


SPOILED: dict[str, tuple[Spoil, str]] = {
    "a path as a place": (edits("../../../secret"), "a place is a dotted path"),
    "an attribute as a place": (edits("bert.__class__"), 'no layer "bert.__class__"'),
    "the model's own parts": (edits("bert._modules.encoder"), 'no layer "bert._modules.encoder"'),
    "a path in an option": (edits("bert.encoder.layer.1", file="../x"), "must be a short plain value, and no path"),
    "a class that is none": (lambda place: change(place / PLAN, model="__builtins__"), "no library here can make"),
    "a function for a class": (lambda place: change(place / PLAN, model="pipeline"), "no library here can make"),
    "another class": (lambda place: change(place / PLAN, model="AutoModel"), "no library here can make"),
    "a module": (lambda place: change(place / PLAN, model="logging"), "no library here can make"),
    "a deep configuration": (lambda place: (place / CONFIGURATION).write_text("[" * 10**5), "nested too deeply"),
    "a list": (lambda place: (place / CONFIGURATION).write_text("[]"), "it is no JSON object"),
    "NaN": (lambda place: (place / CONFIGURATION).write_text('{"a": NaN}'), "holds NaN"),
    "sizes in words": (lambda place: change(place / CONFIGURATION, hidden_size="big"), "can be made from the config"),
    "fewer layers": (lambda place: change(place / CONFIGURATION, num_hidden_layers=1), 'no layer "bert.encoder.la'),
    "another size": (lambda place: change(place / CONFIGURATION, hidden_size=8), "holds bert."),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled(name: str, saved: Callable[[str], Path]) -> None:
    spoil, said = SPOILED[name]
    place = saved("bert")
    spoil(place)
    assert said in refused(lambda: ik.load(place), IdentikitError)


def test_code_beside_a_plan_is_not_run(saved: Callable[[str], Path], flag: Path, tmp_path: Path) -> None:
    place = saved("bert")
    (place / "mine.py").write_text(python_that_touches(flag) + "class Mine: ...\n")
    own = {"AutoConfig": "mine.Mine", "AutoModelForSequenceClassification": "mine.Mine"}
    change(place / CONFIGURATION, auto_map=own)
    assert ik.load(place) is not None
    change(place / PLAN, model="Mine")
    assert "no library here can make a Mine" in refused(lambda: ik.load(place), ModelError)
    (place / "modules.json").write_text(json.dumps([{"path": "", "type": "mine.Mine"}]))
    assert "brings its own code (mine.Mine)" in refused(lambda: ik.load(place), ModelError)


@pytest.mark.parametrize(
    "arguments",
    [{"checkpoint_path": "{}"}, {"pretrained": True}, {"pretrained_cfg_overlay": {"file": "{}"}}, {"cache_dir": "{}"}],
    ids=lambda given: next(iter(given)),
)
def test_arguments_of_timm_that_open_files(arguments: Any, saved: Callable[[str], Path], bomb: Bomb) -> None:
    """A file's own word must not make timm open another file, which older ones unpickle."""
    place = saved("vit")
    torch.save({"bomb": bomb}, place / "evil.pth")
    given = json.loads(json.dumps(arguments).replace("{}", str(place / "evil.pth")))
    held = json.loads((place / CONFIGURATION).read_text())["model_args"]
    change(place / CONFIGURATION, model_args=held | given)
    assert f"{next(iter(given))} is no part of a timm model's" in refused(lambda: ik.load(place), ModelError)


@pytest.mark.parametrize("source", ["hf-hub:someone/model", "local-dir:/tmp", "hf_hub:someone/model"])
def test_an_architecture_of_timm_that_is_fetched(source: str, saved: Callable[[str], Path]) -> None:
    place = saved("vit")
    change(place / CONFIGURATION, architecture=source)
    assert f"{source} is no part of a timm model's" in refused(lambda: ik.load(place), ModelError)


def test_a_history_that_is_none(saved: Callable[[str], Path]) -> None:
    """The model is whole without it, so it is told and left; what is told does not steer a terminal."""
    place = saved("bert")
    for text in ("[" * 10**5, "{", '{"\\u001b]0;x\\u0007": 1, "\\u001b]0;x\\u0007": 2}', "[]", '{"format": 1e999}'):
        (place / "identikit.json").write_text(text)
        with pytest.warns(IdentikitWarning, match="The model is loaded without its history") as told:
            ik.load(place)
        said = str(told[0].message)
        assert "\n" not in said
        assert "\x1b" not in said


def test_front_matter_is_no_code(flag: Path) -> None:
    """YAML can name Python functions, and grow without end."""
    tag = f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{flag}]]"
    assert read_matter(f"---\nlicense: {tag}\nlanguage: !!python/name:os.system x\n---\n".encode()) == {"language": "x"}
    growing = [f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]" for a, b in pairwise("abcdefghi")]
    assert read_matter("\n".join(["---", "a: &a [x, x]", *growing, "---", ""]).encode()) == {"a": ("x", "x")}


def test_companions_that_are_links_are_not_taken_along(saved: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    place = saved("bert")
    for name in ("README.md", "tokenizer.json", "LICENSE"):
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(tmp_path / "secret")
        model = tiny.model("classifier")
        said = refused(lambda model=model: ik.save(model, tmp_path / "new", like=place), SaveError)  # type: ignore[misc]
        assert "is a link to" in said
        assert not (tmp_path / "new").exists()
        (place / name).unlink()
