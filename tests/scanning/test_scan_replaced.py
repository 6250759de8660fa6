"""A scan file that is replaced stays until the new one is whole; a run without a row leaves no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import identikit as ik
from identikit.errors import BudgetError, MetricError
from identikit.scanning.loop import Loop


def stop_after(monkeypatch: pytest.MonkeyPatch, plans: int) -> None:
    run, done = Loop.run, []

    def stopping(self: Loop, plan: Any) -> Any:
        if len(done) == plans:
            raise MetricError("stopped")
        done.append(plan)
        return run(self, plan)

    monkeypatch.setattr(Loop, "run", stopping)


def test_the_old_rows_stay_until_the_new_ones_are_whole(
    net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, metrics="fidelity", to=file)
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(MetricError, match="stopped"):
            ik.scan(net, data, metrics="accuracy", to=file, overwrite=True)
    assert file.read_bytes() == before
    assert len(ik.ScanResult.read(tmp_path / "scan.jsonl.new").rows) == 2
    resumed = ik.scan(net, data, metrics="accuracy", to=file, resume=True)
    assert resumed.metric == "accuracy"
    assert ik.ScanResult.read(file) == resumed
    assert not (tmp_path / "scan.jsonl.new").exists()


def test_without_a_row_there_is_no_file(net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 0)
    with pytest.raises(MetricError, match="stopped"):
        ik.scan(net, data, to=tmp_path / "scan.jsonl")
    with pytest.raises(BudgetError, match="cannot be reached"):
        ik.prune(net, data, drop=99, to=tmp_path / "prune.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_the_absence_means_can_be_said(net: Any, data: Any) -> None:
    found = ik.scan(net, data, at="layers.1.branch.0", as_="zero")
    assert found.rows[0].plan is not None
    assert found.rows[0].plan["edits"][0] == {"op": "zero", "at": "layers.1.branch.0", "options": {"asked": True}}


def test_a_prune_binds_its_plan_to_the_weights(net: Any, data: Any) -> None:
    pruned = ik.prune(net, data, drop=1)
    assert pruned.plan.weights == pruned.scan.header.weights != ""
    for value in net.parameters():
        value.data.mul_(1.5)
    with pytest.warns(ik.IdentikitWarning, match="made with other weights of this structure"):
        ik.apply(net, pruned.plan, inputs=data[0]).undo()
