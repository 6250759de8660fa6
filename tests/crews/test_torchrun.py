"""A scan by torchrun's ranks gives the rows of a scan in one process, on every rank; a killed rank is started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import identikit as ik
from crews.farther import TESTS, data, facts, killing, near, net
from identikit.crews.ranks import World, world
from identikit.errors import WorkersError

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
METRICS = ["fidelity", "accuracy"]
SCRIPT = """
    import json, os, sys
    from pathlib import Path
    import torch
    import identikit as ik
    from torch import distributed
    from crews.farther import data, facts, net

    here, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    broken = f"{here / 'broken.py'}:metric"

    def said(**how):
        try:
            ik.scan(**{"model": net(), "data": data(), "costs": False, **how})
        except ik.IdentikitError as error:
            return f"{type(error).__name__}: {error}"

    found = {
        "exact": facts(ik.scan(net(), data(), metrics=["fidelity", "accuracy"], costs=False, to=here / "scan.jsonl")),
        "chain": facts(ik.scan(net(), data(), engine="chain", costs=False)),
        "race": facts(ik.scan(net(), data(32), engine="loop", confidence=0.9, costs=False)),
        "prune": facts(ik.prune(net(), data(), drop=2).scan),
        "exists": said(to=here / "scan.jsonl"),
        "broken": said(metrics=broken),
        "nowhere": said(ray="auto"),
    }
    torch.manual_seed(rank)
    with torch.no_grad():
        other = net()
        other.head.bias += rank
    found["other"] = said(model=other)
    assert not distributed.is_initialized()  # what was made is gone
    distributed.init_process_group("gloo")
    found["own group"] = facts(ik.scan(net(), data(), metrics=["fidelity", "accuracy"], costs=False))
    ranks = torch.ones(1)
    distributed.all_reduce(ranks)  # the program's own group is left as it was
    found["ranks"] = ranks.item()
    distributed.destroy_process_group()
    (here / f"rank {rank}.json").write_text(json.dumps(found))
"""


def launched(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": TESTS, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*LAUNCH, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def test_every_rank_ends_with_the_rows_of_one_process(tmp_path: Path) -> None:
    """Rows, races, prunes and errors; a group that the program has made itself is left alone."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "broken.py").write_text(
        "import os\ndef metric(output, batch, reference):\n"
        "    return output.sum(1) / (0 if os.environ.get('RANK', '1') == '1' else 1)\n"
    )
    run = launched([str(script), str(tmp_path)])
    assert run.returncode == 0, run.stderr
    found = [json.loads((tmp_path / f"rank {rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    exact = facts(ik.scan(net(), data(), metrics=METRICS, costs=False))
    expected = {
        "exact": exact,
        "own group": exact,
        "race": facts(ik.scan(net(), data(32), engine="loop", confidence=0.9, costs=False)),
    }
    assert near(found[0]["chain"], json.loads(json.dumps(facts(ik.scan(net(), data(), engine="chain", costs=False)))))
    assert near(found[0]["prune"], json.loads(json.dumps(facts(ik.prune(net(), data(), drop=2).scan))))
    assert {name: found[0][name] for name in expected} == json.loads(json.dumps(expected))
    assert {row["examples"] for row in expected["race"]} != {127}
    assert facts(ik.ScanResult.read(tmp_path / "scan.jsonl")) == exact
    assert "scan.jsonl exists. Go on with it by --resume" in found[0]["exists"]
    assert found[0]["broken"].startswith("MetricError: metric ")
    assert found[0]["nowhere"] == (
        "WorkersError: torchrun has started 2 ranks already; they share the scan. Leave ray out."
    )
    assert found[0]["other"] == (
        "ModelError: rank 1 holds other weights than rank 0. Load one checkpoint, or seed what is random."
    )
    assert found[0]["ranks"] == 2


def made(tmp_path: Path) -> Path:
    """A model that --data and metrics can be named for: `file.py:function` of each."""
    file = tmp_path / "mine.py"
    file.write_text("from crews.farther import data as batches, net\n\n\ndef data():\n    return batches()\n")
    return file


@pytest.mark.long
def test_a_killed_rank_is_started_again_and_goes_on(tmp_path: Path) -> None:
    """kill -9 of rank 1 at the fourth batch: torchrun starts both again, and --resume measures what is left."""
    mine, file, metric = made(tmp_path), tmp_path / "scan.jsonl", killing(tmp_path, rank=1)
    expected = facts(ik.scan(net(), data(), metrics=metric, engine="loop", costs=False))
    (tmp_path / "armed").touch()
    verb = ["scan", f"{mine}:net", "--data", f"{mine}:data", "--metric", metric, "--engine", "loop", "--no-costs"]
    run = launched(["--max-restarts", "1", "-m", "identikit", *verb, "--to", str(file), "--resume"])
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "killed 0").exists()
    assert facts(ik.ScanResult.read(file)) == expected
    assert run.stdout.count("cost of its absence") == 1  # one rank prints
    assert not file.with_name("scan.jsonl.part").exists()


def test_an_error_on_one_rank_is_one_line_and_ends_all(tmp_path: Path) -> None:
    mine = made(tmp_path)
    (tmp_path / "broken.py").write_text(
        "import os\ndef metric(output, batch, reference):\n"
        "    return output.sum(1) / (0 if os.environ['RANK'] == '1' else 1)\n"
    )
    verb = ["scan", f"{mine}:net", "--data", f"{mine}:data", "--metric", f"{tmp_path / 'broken.py'}:metric"]
    run = launched(["-m", "identikit", *verb, "--engine", "loop", "--no-costs"])
    assert run.returncode != 0
    assert [line for line in run.stderr.splitlines() if line.startswith("error: ")] == [
        next(line for line in run.stderr.splitlines() if line.startswith('error: metric "metric"'))
    ]
    assert run.stdout == ""


def test_who_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert world() is None
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert world() is None  # somebody else's variables
    monkeypatch.setenv("MASTER_PORT", "1")
    assert world() == World(1, 2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert world() is None


def test_a_rank_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hang: who waits is told which rank is missing, and what to do."""
    from datetime import timedelta

    from torch.distributed import HashStore

    from identikit.crews.ranks import _roll_call

    monkeypatch.setattr("identikit.crews.ranks._ROLL_CALL", timedelta(milliseconds=20))
    with pytest.raises(WorkersError, match=r"rank 1 of 2 did not come to this scan within .* Call it on every rank"):
        _roll_call(World(0, 2), HashStore())
