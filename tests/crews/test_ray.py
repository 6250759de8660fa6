"""A scan by Ray's workers gives the rows of a scan in one process, also where a worker or the driver is killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from crews.farther import TESTS, data, facts, killing, near, net
from identikit.errors import MetricError, MissingExtraError, WorkersError

METRICS = ["fidelity", "accuracy"]
RESUMED = """
    import sys
    import identikit as ik
    from crews.farther import data, net
    ik.scan(net(), data(100), metrics=sys.argv[2], to=sys.argv[1], ray="local", workers=2, costs=False)
"""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray on this machine with two cores, for all tests of the file."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield ray
    ray.shutdown()


def scanned(**how: Any) -> list[Any]:
    return facts(ik.scan(net(), data(), **{"metrics": METRICS, "costs": False, **how}))


@pytest.mark.parametrize("engine", ["auto", pytest.param("chain", marks=pytest.mark.long)])
def test_rows_are_those_of_one_process(ray: Any, engine: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.jsonl"
    spread = scanned(ray="auto", workers=2, engine=engine, to=file)
    assert spread == facts(ik.ScanResult.read(file))
    alone = scanned(engine=engine)
    assert near(spread, alone) if engine == "chain" else spread == alone
    assert {row["engine"] for row in spread} == {"suffix" if engine == "auto" else "chain"}
    assert [path.name for path in tmp_path.iterdir()] == ["scan.jsonl"]
    assert ray.is_initialized()  # the program's own cluster is left as it was


def test_a_killed_worker_s_group_is_done_again(ray: Any, tmp_path: Path) -> None:
    """kill -9 of a worker while it judges the fourth batch; its jobs go to others, and nobody notices in the rows."""
    metric = killing(tmp_path)
    alone = scanned(metrics=metric)
    (tmp_path / "armed").touch()
    assert scanned(metrics=metric, ray="auto", workers=2) == alone
    assert (tmp_path / "killed 0").exists()


def test_a_group_that_kills_every_worker_ends_the_scan(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("identikit.crews.ray_crew._TRIES", 1)
    metric = killing(tmp_path, times=9)
    (tmp_path / "armed").touch()
    with pytest.raises(WorkersError, match=r"1 Ray workers were lost, as if killed: most often the memory is full\."):
        scanned(metrics=metric, ray="auto", workers=2)


@pytest.mark.long
def test_a_group_is_tried_three_times(ray: Any, tmp_path: Path) -> None:
    metric = killing(tmp_path, times=9)
    (tmp_path / "armed").touch()
    with pytest.raises(WorkersError, match="3 Ray workers were lost"):
        scanned(metrics=metric, ray="auto", workers=1)
    assert len(list(tmp_path.glob("killed *"))) == 3


def test_an_error_in_a_worker_is_the_error_of_one_process(ray: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def metric(output, batch, reference):\n    return output.sum(1) / 0\n")
    how = {"metrics": f"{tmp_path / 'mine.py'}:metric", "engine": "loop"}
    with pytest.raises(MetricError) as alone:
        scanned(**how)
    with pytest.raises(MetricError) as spread:
        scanned(**how, ray="auto", workers=1)
    assert str(spread.value) == str(alone.value)


@pytest.mark.long
def test_a_race_and_a_prune(ray: Any) -> None:
    how = {"confidence": 0.9, "engine": "loop"}
    races = [facts(ik.scan(net(), data(24), costs=False, **how, **on)) for on in ({}, {"ray": "auto", "workers": 2})]
    assert races[0] == races[1]
    assert {row["examples"] for row in races[0]} != {95}
    prunes = [ik.prune(net(), data(), drop=2, **on) for on in ({}, {"ray": "auto", "workers": 2})]
    assert prunes[0].plan == prunes[1].plan
    assert near(facts(prunes[0].scan), facts(prunes[1].scan))
    judged = [{"scores": pruned.front.choice.scores["fidelity"].edited} for pruned in prunes]
    assert prunes[1].front.chosen_on is not None
    assert near(judged[:1], judged[1:])


@pytest.mark.long
def test_a_killed_driver_goes_on(tmp_path: Path) -> None:
    """kill -9 of the program after some batches; its workers end too, and another process measures the rest alone."""
    file, part, metric = tmp_path / "scan.jsonl", tmp_path / "scan.jsonl.part", f"{tmp_path / 'slow.py'}:metric"
    (tmp_path / "slow.py").write_text(
        "import os, time\ndef metric(output, batch, reference):\n"
        "    time.sleep(float(os.environ.get('SLOW', 0)))\n    return output.sum(1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": TESTS, "SLOW": "0.02"}
    script = textwrap.dedent(RESUMED)
    child = subprocess.Popen([sys.executable, "-c", script, str(file), metric], env=environment)
    patience = time.monotonic() + 90
    while not part.exists() or part.read_bytes().count(b"\n") < 50:
        assert time.monotonic() < patience
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    known = part.read_bytes().count(b"\n") - 1
    assert 40 < known < 500
    resumed = ik.scan(net(), data(100), metrics=metric, to=file, resume=True, costs=False)
    assert facts(resumed) == facts(ik.scan(net(), data(100), metrics=metric, costs=False))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identikit.crews.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'needs Ray\. Install it: pip install "identikit\[scale\]"'):
        scanned(ray="auto")


def test_what_a_cluster_cannot_give(ray: Any) -> None:
    with pytest.raises(WorkersError, match=r"workers=3: the cluster has 2 cores\. Ask for 1 to 2\."):
        scanned(ray="auto", workers=3)


def test_a_model_on_several_devices_is_refused(ray: Any) -> None:
    model = net()
    model.layers[0].to("meta")
    from identikit.batches import as_batch
    from identikit.crews.packed import Kit, packed
    from identikit.crews.worker import Recipe
    from identikit.families import Family

    kit = Kit(model, as_batch(torch.zeros(1, 6)), Family(), (), Recipe((), 0, "auto", None, False))
    with pytest.raises(WorkersError, match="lies on several devices, or aside"):
        packed(kit, ray.cloudpickle)
