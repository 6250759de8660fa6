"""A model folder from a stranger: its weights are read, its code is not run, and nothing outside of it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from identikit.errors import ModelError
from identikit.sources import open_model
from security.traps import Bomb, change, pickled, python_that_touches, refused

CODE = "which could run code"
OWN = "brings its own code, which opening it would run. If you trust it, add --trust-remote-code."


def as_pickle(folder: Path, name: str, bomb: Bomb, **how: Any) -> None:
    """The weights of a folder as a pickle that holds a bomb too."""
    torch.save({**load_file(folder / "model.safetensors"), "bomb": bomb}, folder / name, **how)
    (folder / "model.safetensors").unlink()


def test_they_open_as_they_are(made: Path) -> None:
    for name in ("bert", "vit", "sentences"):
        assert open_model(made / name).model is not None


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "old"])
def test_pickled_shards(how: dict[str, Any], folder: Callable[[str], Path], bomb: Bomb) -> None:
    place = folder("bert")
    as_pickle(place, "pytorch_model-00001-of-00001.bin", bomb, **how)
    names = {"embeddings.word_embeddings.weight": "pytorch_model-00001-of-00001.bin"}
    change(place / "pytorch_model.bin.index.json", metadata={"total_size": 1}, weight_map=names)
    assert CODE in refused(lambda: open_model(place), ModelError)


PICKLES = {
    "zip": lambda file, bomb: torch.save({"bomb": bomb}, file),
    "old": lambda file, bomb: torch.save({"bomb": bomb}, file, _use_new_zipfile_serialization=False),
    "bare": lambda file, bomb: file.write_bytes(pickled(bomb)),
}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "weights.pth"])
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_of_timm(
    kind: str, name: str, folder: Callable[[str], Path], bomb: Bomb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever timm is here: older ones unpickle all there is."""
    from timm.models import _helpers

    own = torch.load
    monkeypatch.setattr(_helpers, "_torch_load", lambda path, **_: own(path, weights_only=False), raising=False)
    place = folder("vit")
    (place / "model.safetensors").unlink()
    PICKLES[kind](place / name, bomb)
    assert CODE in refused(lambda: open_model(place), ModelError)


def test_plain_weights_of_timm_in_a_pickle_are_read(folder: Callable[[str], Path]) -> None:
    place = folder("vit")
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    before = open_model(place).model.state_dict()
    (place / "model.safetensors").unlink()
    torch.testing.assert_close(open_model(place).model.state_dict(), before)


def test_a_pickle_in_a_part_of_a_sentence_model(folder: Callable[[str], Path], bomb: Bomb) -> None:
    place = folder("sentences")
    as_pickle(place / "2_Dense", "pytorch_model.bin", bomb)
    assert CODE in refused(lambda: open_model(place), ModelError)


@pytest.mark.parametrize("named", ["../other/model.safetensors", "{}/other/model.safetensors", "a/../../other/x"])
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_that_leads_out_of_the_folder(named: str, index: str, folder: Callable[[str], Path]) -> None:
    place = folder("bert")
    other = place.parent / "other"
    other.mkdir()
    weights = load_file(place / "model.safetensors")
    (place / "model.safetensors").rename(other / "model.safetensors")
    named = named.format(place.parent)
    change(place / index, metadata={"total_size": 1}, weight_map=dict.fromkeys(weights, named))
    said = refused(lambda: open_model(place), ModelError)
    assert f'{index}" names {named}, outside of its folder, which is not read.' in said


@pytest.mark.parametrize("path", ["../bert", "/", "..\\bert", "C:\\x", "a/../../bert"])
def test_a_part_that_leads_out_of_the_folder(path: str, folder: Callable[[str], Path]) -> None:
    folder("bert")
    place = folder("sentences")
    parts = json.loads((place / "modules.json").read_text())
    parts[0]["path"] = path
    (place / "modules.json").write_text(json.dumps(parts))
    assert f'modules.json" names {path}, outside of its folder' in refused(lambda: open_model(place), ModelError)


def test_code_that_the_settings_name(
    folder: Callable[[str], Path], flag: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    place = folder("bert")
    (place / "mine.py").write_text(python_that_touches(flag) + "class Mine: ...\n")
    change(place / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.Mine", "mine.Mine"]})
    open_model(place)  # the library has a tokenizer of its own for this model, and takes it
    change(place / "tokenizer_config.json", tokenizer_class="Mine")
    open_model(place)
    own = {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}
    change(place / "config.json", auto_map=own, architectures=["Mine"], model_type="mine")
    assert refused(lambda: open_model(place), ModelError) == f'"{place}" {OWN}'


def test_code_that_a_part_of_a_sentence_model_names(
    folder: Callable[[str], Path], flag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where Python would find it, and where the library takes the name of a function for a setting."""
    (tmp_path / "mine.py").write_text(python_that_touches(flag) + "class Mine: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    place = folder("sentences")
    change(place / "2_Dense/config.json", activation_function="mine.Mine")
    assert refused(lambda: open_model(place), ModelError) == (
        f'"{place}/2_Dense/config.json" names the activation mine.Mine, which is code: without your word for it '
        "sentence-transformers would compute with Tanh instead. If you trust it, add --trust-remote-code."
    )
    change(place / "2_Dense/config.json", activation_function="torch.nn.modules.activation.GELU")
    assert type(open_model(place).model[2].activation_function) is torch.nn.GELU
    parts = json.loads((place / "modules.json").read_text())
    (place / "modules.json").write_text(json.dumps([*parts[:2], {**parts[2], "type": "mine.Mine"}]))
    assert "brings its own code (mine.Mine)" in refused(lambda: open_model(place), ModelError)


DEEP = "[" * 100_000
DAMAGE: dict[str, tuple[str, str, str, str]] = {
    "deep": ("bert", "config.json", DEEP, "cannot be read as JSON"),
    "a list": ("bert", "config.json", "[]", "is not a JSON object. Copy it again."),
    "deep parts": ("sentences", "modules.json", DEEP, "is damaged"),
    "parts of nothing": ("sentences", "modules.json", '[{"path": ""}]', "is damaged"),
    "parts in a text": ("sentences", "modules.json", '"abc"', "is damaged"),
    "deep, of timm": ("vit", "config.json", DEEP, "cannot be read as JSON"),
    "another's arguments": ("vit", "config.json", '{"architecture": "x", "model_args": 3}', "timm cannot load"),
    "no network": ("vit", "config.json", '{"architecture": "hf-hub:a/b"}', "timm cannot load"),
    "index of a list": ("bert", "model.safetensors.index.json", '{"weight_map": [1]}', "does not say which file holds"),
    "index of a text": ("bert", "model.safetensors.index.json", '{"weight_map": "ab"}', "does not say which file"),
    "index of numbers": ("bert", "model.safetensors.index.json", '{"weight_map": {"a": 1}}', "lacks 1 of 1 weight"),
    "deep index": ("bert", "model.safetensors.index.json", DEEP, "cannot be read as JSON"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_settings_that_are_none(name: str, folder: Callable[[str], Path]) -> None:
    kind, file, text, said = DAMAGE[name]
    place = folder(kind)
    if "index" in file:
        (place / "model.safetensors").unlink()
    (place / file).write_text(text)
    assert said in refused(lambda: open_model(place), ModelError)


def test_arguments_of_timm_that_open_files(folder: Callable[[str], Path], bomb: Bomb) -> None:
    place = folder("vit")
    torch.save({"bomb": bomb}, place / "evil.tar")
    change(place / "config.json", model_args={"checkpoint_path": str(place / "evil.tar")})
    assert "timm cannot load" in refused(lambda: open_model(place), ModelError)


def test_links_are_read_and_never_copied(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A link out of the folder: what it leads to must not end up in a folder that is published."""
    import identikit as ik
    from identikit.errors import SaveError

    place = folder("bert")
    (tmp_path / "secret").write_text('{"secret": 1}')
    (place / "special_tokens_map.json").unlink(missing_ok=True)
    (place / "special_tokens_map.json").symlink_to(tmp_path / "secret")
    model = open_model(place).model
    said = refused(lambda: ik.save(model, tmp_path / "saved", like=place), SaveError)
    assert "is a link to" in said
    assert "outside its folder" in said
    assert not (tmp_path / "saved").exists()
