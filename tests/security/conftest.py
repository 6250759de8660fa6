"""Fixtures of the attacks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from security.traps import Bomb


@pytest.fixture
def flag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that a payload makes when it runs, in a folder of its own. After the test it must not be there."""
    path = tmp_path_factory.mktemp("flag") / "ran"
    yield path
    assert not path.exists(), "the payload ran"


@pytest.fixture
def bomb(flag: Path) -> Bomb:
    """An object that makes `flag` where it is unpickled."""
    return Bomb(flag)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bert` of transformers, `vit` of timm, `sentences` of sentence-transformers: tiny, with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from timm.models import save_for_hf  # type: ignore[attr-defined]

    place = tmp_path_factory.mktemp("made")
    tiny.folder(place / "bert", "embedding")
    parts = [modules.Transformer(str(place / "bert")), modules.Pooling(16), modules.Dense(16, 8)]
    SentenceTransformer(modules=parts, device="cpu").save(str(place / "sentences"), create_model_card=False)
    save_for_hf(tiny_vit(), place / "vit", safe_serialization=True)
    return place


def tiny_vit() -> Any:
    """The smallest picture classifier that timm makes quickly."""
    import timm

    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 1, "num_classes": 2}
    return timm.create_model("vit_tiny_patch16_224", **sizes)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of them, to be spoiled."""
    return lambda name: Path(shutil.copytree(made / name, tmp_path / "downloaded" / name))
