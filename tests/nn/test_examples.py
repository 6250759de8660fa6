"""Every example in the docstrings of `identikit.nn` runs and prints what it says; every public name has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest
import torch

import identikit.nn

MODULES = [f"identikit.nn.{module.name}" for module in pkgutil.iter_modules(identikit.nn.__path__)]
MARKERS = {"stream", "Exited", "Argument", "Placeholder"}  # shown in the examples of what takes them


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    module = importlib.import_module(name)
    known = {each: getattr(identikit.nn, each) for each in identikit.nn.__all__}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        failed, _ = doctest.testmod(
            module, extraglobs={"torch": torch, "nn": torch.nn, **known}, optionflags=doctest.NORMALIZE_WHITESPACE
        )
    assert failed == 0


def test_every_public_name_has_an_example() -> None:
    lacking = [
        name
        for name in identikit.nn.__all__
        if name not in MARKERS and ">>>" not in (getattr(identikit.nn, name).__doc__ or "")
    ]
    assert lacking == []


def test_the_blocks_need_nothing_but_torch() -> None:
    """Also: `ik.nn` is there without importing it by name, and `import identikit` alone imports no torch."""
    code = """
import sys, identikit as ik
assert "torch" not in sys.modules
ik.nn.Residual
for name in ("transformers", "sklearn", "torchvision", "timm", "pandas"):
    assert name not in sys.modules, name
ours = {name.split(".")[1] for name in sys.modules if name.startswith("identikit.")}
assert ours == {"nn", "errors"}, ours
"""
    subprocess.run([sys.executable, "-c", code], check=True)
