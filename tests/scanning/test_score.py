"""A score of whole models is written down as soon as it is measured, and its code stays the same over a resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from identikit.errors import ResultError
from identikit.functions import load_function
from identikit.scanning import headers
from identikit.scanning.score import Score
from small_net import batches, made

FILE = """
{comment}
def score(model):
    CALLS.append(len(CALLS))
    if len(CALLS) in STOP:
        raise KeyboardInterrupt
    return float(model.head.weight.sum()) + {plus} + len(CALLS)

CALLS, STOP = [], set()
"""


def user(file: Path, *, comment: str = "", plus: float = 0.0) -> str:
    """A user's file; returns the name of its function, which counts its calls in `CALLS`."""
    file.write_text(FILE.format(comment=comment, plus=plus))
    return f"{file}:score"


def calls(spec: str) -> Any:
    return vars(__import__("sys").modules[load_function(spec).__module__])


@pytest.mark.parametrize("given", [True, False], ids=["with data", "alone"])
@pytest.mark.parametrize("stop", [2, 4])
def test_cut_short_and_resumed(stop: int, given: bool, tmp_path: Path) -> None:
    spec, file = user(tmp_path / "mine.py"), tmp_path / "scan.jsonl"
    how: dict[str, Any] = {"score": spec, "to": file, "inputs": batches()[0][0], "costs": False}
    data = batches() if given else None
    calls(spec)["STOP"].add(stop)
    with pytest.raises(KeyboardInterrupt):
        ik.scan(made(), data, **how)
    result = ik.scan(made(), data, **how, resume=True)
    assert len(calls(spec)["CALLS"]) == 1 + 4 + 1  # the full model, the four without a layer, the one that was cut
    base = result.header.metrics["score"].full
    seen = [row.edited - base + 1 for row in result.of("score")]
    assert sorted(round(value) for value in seen) == [each for each in range(2, 7) if each != stop]


@pytest.mark.parametrize("given", [True, False], ids=["with data", "alone"])
def test_the_full_models_score_is_kept_before_there_is_a_header(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the evaluation and the first line of the file lies the measuring of costs, or a reading of the data."""
    spec, file = user(tmp_path / "mine.py"), tmp_path / "scan.jsonl"
    how: dict[str, Any] = {"score": spec, "to": file, "inputs": batches()[0][0]}
    data = batches() if given else None

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(headers, "costs_of", killed)
        with pytest.raises(KeyboardInterrupt):
            ik.scan(made(), data, **how)
    assert not file.exists()
    assert '"score": "score"' in (tmp_path / "scan.jsonl.part").read_text()
    result = ik.scan(made(), data, **how, resume=True)
    assert len(calls(spec)["CALLS"]) == 1 + 4
    assert len(result.of("score")) == 4
    assert not (tmp_path / "scan.jsonl.part").exists()


def test_a_score_whose_code_changed_does_not_go_on(tmp_path: Path) -> None:
    spec, file = user(tmp_path / "mine.py"), tmp_path / "scan.jsonl"
    how: dict[str, Any] = {"score": spec, "to": file, "inputs": batches()[0][0], "costs": False}
    ik.scan(made(), None, "layers.0", **how)
    user(tmp_path / "mine.py", comment="# only a remark, and another layout")
    assert len(ik.scan(made(), None, "layers.[0,1]", **how, resume=True)) == 2
    user(tmp_path / "mine.py", plus=0.5)
    with pytest.raises(ResultError) as error:
        ik.scan(made(), None, "layers.[0:3]", **how, resume=True)
    assert str(error.value) == (
        'the code of score "score" has changed since that result was begun, so its numbers do not compare. '
        "Undo the change, or start anew by --overwrite."
    )
    assert calls(spec)["CALLS"] == []  # refused before an evaluation that may take an hour
    assert len(ik.ScanResult.read(file)) == 2


def test_whose_code_is_known() -> None:
    class Harness:
        higher_is_better = False

        def __call__(self, model: Any) -> float:
            return 1.0

    def plain(model: Any) -> float:
        return 1.0

    assert Score(plain).code == Score(plain).code != Score(Harness()).code != ""
    assert Score(torch.numel).code == ""
    assert Score(torch.numel).note == "numel scores a whole model: no error bar."
    assert len(Score(lambda model: 1.0).code) == 12
