"""resolve: what a user may call a metric, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import Metric, known, resolve, resolve_all, rows_of

NAMES = ["accuracy", "fidelity", "kl", "loss", "perplexity", "spearman"]


class Length(Metric):
    name = "length"
    higher_is_better = False

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        return output.norm(dim=1)


class Nameless(Length):
    name = ""


class Sized(Length):
    def __init__(self, size: int) -> None:
        self.size = size


def test_the_names() -> None:
    assert known() == NAMES
    for name in NAMES:
        assert resolve(name).name == name


def test_every_kind_keeps_its_name() -> None:
    for name in NAMES:
        for kind in type(resolve(name)).kinds:
            assert resolve(f"{name}:{kind}").name == f"{name}:{kind}"


def test_directions() -> None:
    assert [name for name in NAMES if resolve(name).higher_is_better] == ["accuracy", "fidelity", "spearman"]


def test_a_metric_of_the_users_own() -> None:
    own = Length()
    assert resolve(own) is own
    assert isinstance(resolve(Length), Length)
    output = torch.randn(3, 2)
    assert rows_of(own, output, Batch(examples=3), None) == pytest.approx(output.norm(dim=1).double().numpy())


def test_a_function_or_class_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import identikit.metrics\n"
        "def half(output, batch):\n    return output[:, 0] / 2\n"
        "half.higher_is_better = False\n"
        "class Own(identikit.metrics.Metric):\n    name = 'own'\n    def values(self, output, batch, reference):\n"
        "        return output[:, 0]\n"
    )
    metric = resolve(f"{file}:half")
    assert (metric.name, metric.higher_is_better) == ("half", False)
    assert rows_of(metric, torch.ones(2, 2), Batch(examples=2), None).tolist() == [0.5, 0.5]
    assert resolve(f"{file}:Own").name == "own"
    with pytest.raises(MetricError, match='Did you mean "half"'):
        resolve(f"{file}:hlf")


def test_several() -> None:
    assert [metric.name for metric in resolve_all("kl")] == ["kl"]
    assert [metric.name for metric in resolve_all(["kl", Length, "loss:causal"])] == ["kl", "length", "loss:causal"]
    assert [metric.name for metric in resolve_all(("kl", "fidelity"))] == ["kl", "fidelity"]


KNOWN = "accuracy, fidelity, kl, loss, perplexity, spearman"
REFUSED: list[tuple[Any, str]] = [
    (
        "fidelty",
        f'no metric "fidelty". Did you mean "fidelity"? Known: {KNOWN}; or file.py:function, torchmetrics:Name.',
    ),
    ("bleu", f'no metric "bleu". Known: {KNOWN}; or file.py:function, torchmetrics:Name.'),
    (
        "fidelity:dot",
        'no metric "fidelity:dot". Known: fidelity, fidelity:logits, fidelity:cosine, fidelity:sigmoid.',
    ),
    ("fidelity:", 'no metric "fidelity:". Known: fidelity, fidelity:logits, fidelity:cosine, fidelity:sigmoid.'),
    ("spearman:exact", 'no metric "spearman:exact". "spearman" stands alone.'),
    (
        3,
        f"a metric is a name ({KNOWN}), an ik.Metric, a function(output, batch), file.py:function or a torchmetrics "
        "metric; found int.",
    ),
    (
        dict,
        f"a metric is a name ({KNOWN}), an ik.Metric, a function(output, batch), file.py:function or a torchmetrics "
        "metric; found dict.",
    ),
    (Nameless(), 'Nameless has no name; write it in the class: name = "nameless".'),
    (
        Sized,
        "Sized cannot be made without arguments (Sized.__init__() missing 1 required positional argument: 'size'). "
        "Pass an instance: Sized(...).",
    ),
    (
        torch.nn.CrossEntropyLoss(),
        "CrossEntropyLoss is a module, and a metric is called with (output, batch). Wrap it in a function that gives "
        "one number per example: lambda output, batch: ...",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=lambda value: str(value)[:20])
def test_refusals(spec: Any, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        resolve(spec)
    assert str(caught.value) == message


def test_one_name_twice_and_none_at_all() -> None:
    with pytest.raises(MetricError) as caught:
        resolve_all(["kl", "loss", "kl"])
    assert str(caught.value) == 'metric "kl" is given twice; give each once, or another name.'
    with pytest.raises(MetricError) as caught:
        resolve_all([])
    assert str(caught.value) == f"no metric given. Known: {KNOWN}."


def test_rows_of_several_columns_need_an_aggregate() -> None:
    with pytest.raises(MetricError) as caught:
        Length().aggregate(np.ones((3, 2)))
    assert str(caught.value) == (
        'metric "length" gives 2 columns per example; write aggregate(rows) to make one number of them.'
    )
