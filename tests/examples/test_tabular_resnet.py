"""The example of a table: three models judged alike, blocks dropped, and what is loaded says the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from examples.conftest import Run
from identikit.tabular import ResNetClassifier


def test_it_is_compared_shortened_and_saved(run: Run, tmp_path: Path) -> None:
    said = run("tabular_resnet", "--quick")
    for name in ("residual network", "boosted trees", "linear"):
        (accuracy,) = re.findall(rf"^   {name} +(0\.\d+) ± 0\.\d+$", said, re.MULTILINE)
        assert float(accuracy) > 0.85
    assert len(re.findall(r"^   without blocks\.\d: [+-]", said, re.MULTILINE)) == 6
    blocks, scores = {}, {}
    for when, count, score in re.findall(r"^   (before|after) +(\d) blocks, .*: (0\.\d+)$", said, re.MULTILINE):
        blocks[when], scores[when] = int(count), float(score)
    assert blocks["before"] == 6 > blocks["after"]
    assert scores["after"] > 0.95 * scores["before"]
    assert said.rstrip().endswith("the same probabilities to the bit: True")
    again = ResNetClassifier.load(tmp_path / "digits")
    table, classes = load_digits(return_X_y=True, as_frame=True)
    assert len(again.network_.blocks) == blocks["after"]
    assert np.mean(again.predict(table) == classes) > 0.9
