"""The example of one's own module: read, audited, scanned, pruned; what is loaded computes what was saved."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import torch

from examples.conftest import EXAMPLES, Run


def test_it_reads_audits_scans_and_prunes(run: Run, tmp_path: Path) -> None:
    said = run("own_module", "--quick")
    assert re.findall(r"^(trunk\.\d)  block +2,592  ok$", said, re.MULTILINE) == [f"trunk.{at}" for at in range(6)]
    assert 'Use ReLU(inplace=False) for "trunk.0.branch.0".' in said
    assert "Net: 6 mistakes, no note" in said
    assert "with Block in place of Careless: 0 mistakes" in said
    assert len(re.findall(r"^trunk\.\d  Block  [+-]", said, re.MULTILINE)) == 6
    full, chosen = (
        float(re.search(rf"([\d.]+)% right .*{mark}$", said, re.MULTILINE)[1])  # type: ignore[index]
        for mark in ("gone: none", "<- chosen")
    )
    assert full > 90
    assert chosen > 0.95 * full
    (left,) = re.findall(r"^(\d) of 6 blocks, the same bits on 512 new waves: smaller-net$", said, re.MULTILINE)
    plan = json.loads((tmp_path / "smaller-net" / "plan.json").read_text())
    assert len(plan["edits"]) == 6 - int(left) > 0


def test_the_careless_variant_computes_something_else() -> None:
    """So what the audit finds in it is a mistake: the same weights, other outputs."""
    made: dict[str, Any] = runpy.run_path(str(EXAMPLES / "own_module.py"))
    ours, careless = made["Net"](), made["Net"](made["Careless"])
    careless.load_state_dict(ours.state_dict())
    x, _ = made["waves"](8, seed=1)
    with torch.no_grad():
        assert (ours(x) - careless(x)).abs().max() > 0.01
