"""Law 8: a killed scan resumed equals an unbroken one and measures nothing twice; two halves merged equal the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from identikit.errors import ResultError, SaveError
from identikit.scanning.loop import Loop

TESTS = str(Path(__file__).parents[1])
SCRIPT = """
    import sys, time
    import identikit as ik
    import small_net
    from identikit.scanning.loop import Loop
    run = Loop.run
    def slow(self, plan):
        time.sleep(0.3)
        return run(self, plan)
    Loop.run = slow
    ik.scan(small_net.made(), small_net.batches(), metrics=["fidelity", "accuracy"], to=sys.argv[1])
"""


def facts(result: ik.ScanResult) -> list[Any]:
    return [{**row.to_json(), "seconds": 0} for row in result]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The places of every plan that is run."""
    done: list[tuple[str, ...]] = []
    run = Loop.run

    def counted(self: Loop, plan: Any) -> Any:
        done.append(plan.places)
        return run(self, plan)

    monkeypatch.setattr(Loop, "run", counted)
    return done


def test_killed_and_resumed(net: Any, data: Any, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    """kill -9 after the second layer; the rest is measured by another process, and the rows are those of one run."""
    file, metrics = tmp_path / "scan.jsonl", ["fidelity", "accuracy"]
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(file)], env={**os.environ, "PYTHONPATH": TESTS}
    )
    patience = time.monotonic() + 60
    while not file.exists() or file.read_bytes().count(b"\n") < 5:  # the header, and two rows for each of two layers
        assert time.monotonic() < patience
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = ik.ScanResult.read(file)
    assert 4 <= len(before) < 8
    result = ik.scan(net, data, metrics=metrics, to=file, resume=True)
    left = [(f"layers.{number}",) for number in range(4)][len(before) // 2 :]
    assert runs == left
    whole = ik.scan(net, data, metrics=metrics)
    assert facts(result) == facts(whole) == facts(ik.ScanResult.read(file))
    assert all(row in result.rows for row in before)


def test_a_line_cut_in_the_middle(net: Any, data: Any, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    file = tmp_path / "scan.jsonl"
    whole = ik.scan(net, data, to=file)
    text = file.read_bytes()
    file.write_bytes(text[: text.rindex(b'"edited"')])
    runs.clear()
    assert facts(ik.scan(net, data, to=file, resume=True)) == facts(whole)
    assert runs == [("layers.3",)]


def test_one_metric_of_two_was_written(net: Any, data: Any, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    """Killed between the two rows of one layer: that layer is run again, and its first row is not written twice."""
    file, metrics = tmp_path / "scan.jsonl", ["fidelity", "accuracy"]
    whole = ik.scan(net, data, metrics=metrics, to=file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    runs.clear()
    assert facts(ik.scan(net, data, metrics=metrics, to=file, resume=True)) == facts(whole)
    assert runs == [("layers.3",)]


def test_resumed_when_all_is_done(net: Any, data: Any, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    file = tmp_path / "scan.jsonl"
    whole = ik.scan(net, data, to=file)
    content = file.read_bytes()
    runs.clear()
    assert facts(ik.scan(net, data, to=file, resume=True)) == facts(whole)
    assert (runs, file.read_bytes()) == ([], content)


def test_more_layers_in_a_resumed_scan(net: Any, data: Any, tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, "layers.1", to=file)
    runs.clear()
    assert facts(ik.scan(net, data, to=file, resume=True)) == facts(ik.scan(net, data))
    assert runs[:3] == [("layers.0",), ("layers.2",), ("layers.3",)]


def test_two_halves_merged(net: Any, data: Any) -> None:
    halves = [ik.scan(net, data, f"layers.{which}") for which in ("[0:2]", "[2:4]")]
    merged, whole = halves[0].merge(halves[1]), ik.scan(net, data)
    assert facts(merged) == facts(whole)
    assert set(merged.header.sites) == set(whole.header.sites)


def test_another_run_is_not_gone_on_with(net: Any, data: Any, tmp_path: Path) -> None:
    """Other weights, data, seed or metrics: refused, saying what differs, and the file is as it was."""
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, to=file)
    content = file.read_bytes()

    def refused(**how: Any) -> str:
        with pytest.raises(ResultError) as error:
            ik.scan(**{"model": net, "data": data, "to": file, "resume": True, **how})
        assert file.read_bytes() == content
        assert not (tmp_path / ".scan.jsonl.identikit-lock").exists()
        assert str(error.value).startswith(f"{file} belongs to another scan; it differs in ")
        assert str(error.value).endswith("(the file's first). Scan to another file, or use --overwrite.")
        return str(error.value)

    assert "data: a list of 3 batches (" in refused(data=data[:2] + data[2:][::-1] + data[:1])
    assert "seed: 0 and 7" in refused(seed=7)
    assert "metrics: fidelity and loss" in refused(metrics="loss")
    assert "confidence of fidelity: 0.95 and 0.9" in refused(confidence=0.9)
    with torch.no_grad():
        net.head.weight[0, 0] += 1
    assert "weights: " in refused()


def test_an_existing_file_is_refused_before_anything_runs(
    net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scan.jsonl"
    file.write_text("mine")
    monkeypatch.setattr(Loop, "run_full", None)  # a call of it would be another error
    with pytest.raises(SaveError, match=r"scan\.jsonl exists\. Go on with it by --resume, replace it by --overwrite"):
        ik.scan(net, data, to=file)
    assert file.read_text() == "mine"
    with pytest.raises(SaveError, match=r"the folder .*nowhere does not exist"):
        ik.scan(net, data, to=tmp_path / "nowhere" / "scan.jsonl")
    with pytest.raises(SaveError, match="is a folder; name a file inside it"):
        ik.scan(net, data, to=tmp_path)


def test_overwritten(net: Any, data: Any, tmp_path: Path) -> None:
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, "layers.0", to=file)
    result = ik.scan(net, data, "layers.1", to=file, overwrite=True)
    assert facts(ik.ScanResult.read(file)) == facts(result)


def test_an_error_in_the_middle_keeps_what_was_measured(net: Any, data: Any, tmp_path: Path) -> None:
    file = tmp_path / "scan.jsonl"

    def metric(output: torch.Tensor, batch: Any, reference: Any) -> torch.Tensor:
        if metric.left == 0:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        metric.left -= 1  # type: ignore[attr-defined]
        return output.sum(1)

    metric.left = 3 + 3 + 2  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        ik.scan(net, data, metrics=metric, to=file)
    assert [row.place for row in ik.ScanResult.read(file)] == ["layers.0"]
    metric.left = -1  # type: ignore[attr-defined]
    assert len(ik.scan(net, data, metrics=metric, to=file, resume=True)) == 4
