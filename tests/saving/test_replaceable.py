"""--overwrite replaces a model, and never what is the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import SaveError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    return ik.save(model, tmp_path / "model", inputs=torch.ones(1, 4))


def again(folder: Path) -> None:
    ik.save(nn.Sequential(nn.Linear(4, 4)).eval(), folder, inputs=torch.ones(1, 4), overwrite=True)


@pytest.mark.parametrize("own", ["thesis.tex", "training_args.bin", "src/train.py", ".git/config"])
def test_what_is_no_part_of_a_model_stops_it(saved: Path, own: str) -> None:
    (saved / own).parent.mkdir(exist_ok=True)
    (saved / own).write_text("mine")
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(SaveError) as error:
        again(saved)
    assert str(error.value) == (
        f"{saved} also holds {own.split('/')[0]}, which is no part of a model, so it is not replaced. "
        "Move that away, or name another folder."
    )
    assert (saved / own).read_text() == "mine"
    assert (saved / "model.safetensors").read_bytes() == before


def test_weights_deep_inside_make_no_model_folder(tmp_path: Path) -> None:
    (tmp_path / "project" / "runs").mkdir(parents=True)
    (tmp_path / "project" / "config.json").write_text("{}")
    (tmp_path / "project" / "runs" / "best.safetensors").write_text("")
    with pytest.raises(SaveError, match="holds no model"):
        again(tmp_path / "project")


def test_the_texts_for_people_stay(saved: Path) -> None:
    (saved / "README.md").write_text("about this model")
    again(saved)
    assert (saved / "README.md").read_text() == "about this model"


class Tied(nn.Module):
    """Two layers, one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.layers[1].weight = self.layers[0].weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_untied_weights_are_not_loaded_into_tied_ones(tmp_path: Path, form: str) -> None:
    model = Tied().eval()
    model.layers[1].weight = nn.Parameter(torch.randn(4, 4))
    folder = ik.save(model, tmp_path / "untied", form, inputs=torch.ones(1, 4))
    with pytest.raises(SaveError, match="which this model ties"):
        ik.load(folder, model=Tied(), inputs=torch.ones(1, 4))


class Odd(nn.Linear):
    """Keeps a dict in its state."""

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 1}


def test_a_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"Sequential keeps 0\._extra_state in its state, which is no tensor\."):
        ik.save(nn.Sequential(Odd(4, 4)), tmp_path / "odd", inputs=torch.ones(1, 4))
    assert not (tmp_path / "odd").exists()


def test_the_versions_of_torch_modules_are_kept(tmp_path: Path) -> None:
    mnasnet = pytest.importorskip("torchvision").models.mnasnet0_5(weights=None, num_classes=3).eval()
    assert ik.save(mnasnet, tmp_path / "mnasnet", inputs=torch.ones(1, 3, 64, 64)).is_dir()
