"""What README says of quality kept is what benchmarks/stsb.py measured, and meets the goals that stand there."""

from __future__ import annotations

from docs.test_figures import result
from docs.test_scan_figures import readme


def test_two_of_six_layers() -> None:
    found = result("stsb.json")
    beam, pairs = found["beam"], found["spearman_dev_of_each_pair"]
    assert found["spearman_dev"] >= found["goal"]
    assert beam["spearman_dev"] >= beam["goal"]
    said = f"is {found['spearman_dev']:.2f}, and {beam['spearman_dev']:.2f} with `--method beam` (full model "
    said += f"{found['spearman_dev_full']:.2f}; the best of all fifteen pairs is {max(pairs.values()):.2f}, the worst "
    assert said + f"{min(pairs.values()):.2f})" in readme()
