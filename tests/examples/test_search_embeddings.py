"""The example of search embeddings: layers gone, the agreement with people kept, a plain checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.conftest import Run

ROW = r"^   {}  +([\d.]+) +([\d.]+)% +([\d.]+)%$"


def row(said: str, name: str) -> tuple[float, float, float]:
    """Agreement with people; per cent found first and among five."""
    (found,) = re.findall(ROW.format(name), said, re.MULTILINE)
    agreement, first, among_five = map(float, found)
    return agreement, first, among_five


def test_embeddings_are_made_faster_and_stay_good(run: Run, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    said = run("search_embeddings", "--quick")
    (gone,) = re.findall(r"^   gone: (.*)$", said, re.MULTILINE)
    (apart,) = re.findall(r"^   smaller-minilm: embeddings differ by ([-\de.+]+) ", said, re.MULTILINE)
    assert float(apart) < 1e-5
    small = SentenceTransformer(str(tmp_path / "smaller-minilm"), device="cpu")
    assert len(small[0].model.encoder.layer) == 6 - len(gone.split(", ")) < 6
    assert row(said, "full model")[0] == pytest.approx(0.8817, abs=5e-4)  # on the 120 pairs that are judged
    assert 0.7 < row(said, "smaller model")[0] < 0.92
    assert row(said, "smaller model")[2] > 90


@pytest.mark.long
def test_on_stsb(run: Run, data: str) -> None:
    said = run("search_embeddings", "--quick", "--data", data)
    assert "1500 scored pairs to judge on" in said
    assert row(said, "full model")[0] == pytest.approx(0.8672, abs=5e-4)
    assert row(said, "smaller model")[0] > 0.7
