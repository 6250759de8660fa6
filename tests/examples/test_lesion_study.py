"""The example of the lesion study: with skips a block can be spared, without them none; the network is as it was."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from examples.conftest import Run


def errors(said: str, name: str) -> tuple[float, float, float]:
    """Of all blocks, and of one block deleted: the median and the worst; in per cent."""
    pattern = rf"^{name}: \d+ blocks, error ([\d.]+)%; .*\n  one deleted: median ([\d.]+)%, worst ([\d.]+)%"
    (found,) = re.findall(pattern, said, re.MULTILINE)
    whole, median, worst = map(float, found)
    return whole, median, worst


def test_a_network_with_skips_survives_what_a_plain_one_does_not(run: Run, tmp_path: Path) -> None:
    said = run("lesion_study", "--quick")
    skips, plain = errors(said, "digits, residual"), errors(said, "digits, plain")
    assert max(skips[0], plain[0]) < 15
    assert skips[1] < 60 < plain[1]
    lines = re.findall(r"some (?:deleted|swapped), mean of 2 draws: 1: [\d.]+%, 2: [\d.]+%$", said, re.MULTILINE)
    assert len(lines) == 4
    figure = ElementTree.parse(tmp_path / "lesion_study.svg").getroot()
    assert figure.tag.endswith("svg")


@pytest.mark.long
def test_the_real_resnet(run: Run, data: str) -> None:
    said = run("lesion_study", "--quick", "--data", data)
    whole, median, worst = errors(said, "CIFAR-10, ResNet-32")
    assert whole < 20
    assert whole < median < 35
    assert worst > 60
