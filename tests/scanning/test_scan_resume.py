"""Law 8: a killed scan resumed equals an unbroken one and measures nothing twice; two halves merged equal the whole."""

from __future__ import annotations

import json
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
from identikit.replaying.engine import Engine

TESTS = str(Path(__file__).parents[1])
SCRIPT = """
    import sys, time
    import identikit as ik
    import small_net
    from identikit.replaying.engine import Engine
    own = Engine.outputs
    def slow(self, group, plans, *, full):
        for found in own(self, group, plans, full=full):
            time.sleep(0.1)
            yield found
    Engine.outputs = slow
    file, engine = sys.argv[1:]
    ik.scan(small_net.made(), small_net.batches(), metrics=["fidelity", "accuracy"], to=file, engine=engine)
"""
Run = tuple[tuple[str, ...], int]  # the places of a plan, and a batch's number


def facts(result: ik.ScanResult, *, ties: bool = True) -> list[Any]:
    """The rows without the time they took. `ties`: with their ties, which are of rows measured together."""
    return [{**row.to_json(), "seconds": 0} | ({} if ties else {"ties": []}) for row in result]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Every plan that is run and the batch it is run on."""
    done: list[Run] = []
    own = Engine.outputs

    def counted(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for plan, place, output in own(self, group, plans, full=full):
            if plan is not None:
                done.append((plan.places, group[place][0]))
            yield plan, place, output

    monkeypatch.setattr(Engine, "outputs", counted)
    return done


def on_all(*numbers: int) -> list[Run]:
    """The layers of these numbers, each on all three batches."""
    return sorted(((f"layers.{number}",), batch) for number in numbers for batch in range(3))


def kept(part: Path) -> set[Run]:
    """What a file of values holds, the full model's aside."""
    lines = [json.loads(line) for line in part.read_bytes().splitlines()[1:] if line.endswith(b"}")]
    return {((line["plan"],), line["batch"]) for line in lines if line["plan"]}


@pytest.mark.parametrize("engine", ["loop", "suffix", "chain"])
def test_killed_and_resumed(engine: str, net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    """kill -9 in the middle; the rest is measured by another process, and the rows are those of one run."""
    file, part, metrics = tmp_path / "scan.jsonl", tmp_path / "scan.jsonl.part", ["fidelity", "accuracy"]
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(file), engine], env={**os.environ, "PYTHONPATH": TESTS}
    )
    patience = time.monotonic() + 60
    while not part.exists() or part.read_bytes().count(b"\n") < 6:  # its head and five of fifteen
        assert time.monotonic() < patience
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not file.exists()
    measured = kept(part)
    assert 0 < len(measured) < 12
    result = ik.scan(net, data, metrics=metrics, to=file, resume=True, engine=engine)
    left = set(on_all(0, 1, 2, 3)) - measured
    whole = ik.scan(net, data, metrics=metrics, engine=engine)
    if engine == "chain":  # a stack of batches is run as a whole, and this one is smaller than that of an unbroken run
        assert {place for place, _ in runs[: len(runs) - 12]} == {place for place, _ in left}
        assert [row.edited for row in result] == pytest.approx([row.edited for row in whole], rel=1e-6)
    else:
        assert sorted(runs[: len(runs) - 12]) == sorted(left)
        assert facts(result) == facts(whole)
    assert facts(ik.ScanResult.read(file)) == facts(result)
    assert list(tmp_path.iterdir()) == [file]


def test_what_was_kept_is_not_lost_by_mistake(net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    """A scan that was cut short is gone on with or given up, in so many words; another run's values are refused."""
    file, part = tmp_path / "scan.jsonl", tmp_path / "scan.jsonl.part"
    cut_short(net, data, file)
    content = part.read_bytes()
    with pytest.raises(SaveError) as error:
        ik.scan(net, data, to=file)
    says = f"{part} holds a scan that was cut short. Go on with it by --resume, or start anew by --overwrite."
    assert str(error.value) == says
    for how in ({"seed": 7}, {"metrics": "loss"}, {"confidence": 0.9}):
        with pytest.raises(ResultError) as error:  # type: ignore[assignment]
            ik.scan(net, data, to=file, resume=True, **how)
        assert str(error.value).startswith(f"{part} belongs to another scan; it differs in ")
        assert f"{next(iter(how))}: " in str(error.value)
    says = r"\.part was measured on other data: the 1st batch differs\. Use --overwrite\."
    with pytest.raises(ResultError, match=says):
        ik.scan(net, data[1:] + data[:1], to=file, resume=True)
    assert part.read_bytes() == content
    runs.clear()
    assert facts(ik.scan(net, data, to=file, overwrite=True)) == facts(ik.scan(net, data))
    assert sorted(runs) == sorted(2 * on_all(0, 1, 2, 3))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_values_cut_in_the_middle_of_a_line(cut: int, net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    file, part = tmp_path / "scan.jsonl", tmp_path / "scan.jsonl.part"
    cut_short(net, data, file)
    part.write_bytes(part.read_bytes()[:-cut])
    left = set(on_all(0, 1, 2, 3)) - kept(part)
    runs.clear()
    found = ik.scan(net, data, to=file, resume=True, engine="suffix")
    assert left <= set(runs) < set(on_all(0, 1, 2, 3))
    assert len(set(runs)) == len(runs)
    assert facts(found) == facts(ik.scan(net, data, engine="suffix"))


def cut_short(net: Any, data: Any, file: Path) -> None:
    """A scan stopped behind ten of its twelve plans and batches."""
    own, given = Engine.outputs, []

    def stopping(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for found in own(self, group, plans, full=full):
            yield found
            if found[0] is not None:
                given.append(found)
            if len(given) == 10:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "outputs", stopping)
        with pytest.raises(KeyboardInterrupt):
            ik.scan(net, data, to=file, engine="suffix")


def test_a_line_cut_in_the_middle(net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    file = tmp_path / "scan.jsonl"
    whole = ik.scan(net, data, to=file)
    text = file.read_bytes()
    file.write_bytes(text[: text.rindex(b'"edited"')])
    runs.clear()
    assert facts(ik.scan(net, data, to=file, resume=True), ties=False) == facts(whole, ties=False)
    assert runs == on_all(3)


def test_one_metric_of_two_was_written(net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    """Killed between the two rows of one layer: that layer is run again, and its first row is not written twice."""
    file, metrics = tmp_path / "scan.jsonl", ["fidelity", "accuracy"]
    whole = ik.scan(net, data, metrics=metrics, to=file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    runs.clear()
    found = ik.scan(net, data, metrics=metrics, to=file, resume=True)
    assert facts(found, ties=False) == facts(whole, ties=False)
    assert runs == on_all(3)


def test_resumed_when_all_is_done(net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    file = tmp_path / "scan.jsonl"
    whole = ik.scan(net, data, to=file)
    content = file.read_bytes()
    runs.clear()
    assert facts(ik.scan(net, data, to=file, resume=True)) == facts(whole)
    assert (runs, file.read_bytes()) == ([], content)


def test_more_layers_in_a_resumed_scan(net: Any, data: Any, tmp_path: Path, runs: list[Run]) -> None:
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, "layers.1", to=file, engine="suffix")
    runs.clear()
    found = ik.scan(net, data, to=file, resume=True, engine="suffix")
    assert sorted(runs) == on_all(0, 2, 3)
    assert facts(found, ties=False) == facts(ik.scan(net, data, engine="suffix"), ties=False)


def test_two_halves_merged(net: Any, data: Any) -> None:
    halves = [ik.scan(net, data, f"layers.{which}", engine="suffix") for which in ("[0:2]", "[2:4]")]
    merged, whole = halves[0].merge(halves[1]), ik.scan(net, data, engine="suffix")
    assert facts(merged, ties=False) == facts(whole, ties=False)
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
    monkeypatch.setattr(Engine, "outputs", None)  # a call of it would be another error
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
    file, part = tmp_path / "scan.jsonl", tmp_path / "scan.jsonl.part"

    def metric(output: torch.Tensor, batch: Any, reference: Any) -> torch.Tensor:
        if metric.left == 0:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        metric.left -= 1  # type: ignore[attr-defined]
        return output.sum(1)

    metric.left = 5 + 5 + 2  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        ik.scan(net, data, metrics=metric, to=file)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.jsonl.part"]
    known = len(part.read_bytes().splitlines()) - 1
    assert known >= 5
    metric.left = 15 - known  # type: ignore[attr-defined]
    assert len(ik.scan(net, data, metrics=metric, to=file, resume=True)) == 4
    assert metric.left == 0  # type: ignore[attr-defined]
