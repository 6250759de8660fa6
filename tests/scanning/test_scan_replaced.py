"""A scan file that is replaced stays until the new one is whole; a run without a row leaves no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import identikit as ik
from identikit.errors import BudgetError, MetricError
from identikit.replaying.engine import Engine


def stop_after(monkeypatch: pytest.MonkeyPatch, outputs: int) -> None:
    """The engine fails once it has given so many outputs."""
    own, given = Engine.outputs, []

    def stopping(self: Engine, group: Any, plans: Any, *, full: bool) -> Any:
        for found in own(self, group, plans, full=full):
            if len(given) == outputs:
                raise MetricError("stopped")
            given.append(found)
            yield found

    monkeypatch.setattr(Engine, "outputs", stopping)


def test_the_old_rows_stay_until_the_new_ones_are_whole(
    net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scan.jsonl"
    ik.scan(net, data, metrics="fidelity", to=file)
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        stop_after(patch, 12)
        with pytest.raises(MetricError, match="stopped"):
            ik.scan(net, data, metrics="accuracy", to=file, overwrite=True)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.jsonl", "scan.jsonl.new.part"]
    resumed = ik.scan(net, data, metrics="accuracy", to=file, resume=True)
    assert resumed.metric == "accuracy"
    assert ik.ScanResult.read(file) == resumed
    assert list(tmp_path.iterdir()) == [file]


def test_what_was_kept_for_the_old_rows_goes_with_them(
    net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that was cut short leaves rows and values; the result that replaces it replaces both."""
    file = tmp_path / "prune.jsonl"
    with monkeypatch.context() as patch:
        stop_after(patch, 20)  # in the second round
        with pytest.raises(MetricError, match="stopped"):
            ik.prune(net, data, drop=3, to=file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prune.jsonl", "prune.jsonl.part"]
    ik.scan(net, data, to=file, overwrite=True)
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_row_there_is_no_file(net: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 0)
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
