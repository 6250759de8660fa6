"""The payloads are live: an attack that nobody stops would be seen."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from security.traps import Bomb, pickled, python_that_touches


def test_a_bomb_goes_off(tmp_path: Path) -> None:
    pickle.loads(pickled(Bomb(tmp_path / "a")))
    torch.save({"weight": torch.ones(2), "bomb": Bomb(tmp_path / "b")}, tmp_path / "weights.bin")
    torch.load(tmp_path / "weights.bin", weights_only=False)
    exec(python_that_touches(tmp_path / "c"))
    assert all((tmp_path / name).exists() for name in "abc")
