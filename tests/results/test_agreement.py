"""Agreement of a cheap ranking with the exact one: by hand, against SciPy, and in every table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identikit.errors import ResultError
from identikit.results import DataInfo, Header, MetricInfo, Row, ScanResult
from identikit.results.agreement import agreement, kendall, mean_ranks, spearman

LINE = (
    "influence agrees with fidelity: Spearman 0.60, Kendall 0.40 over 5 layers; 1 of the 1 least important is the same"
)


def result(exact: list[float | None], cheap: list[float | None]) -> ScanResult:
    """Layers 0, 1, ... by fidelity (the score falls by `exact`) and by influence."""
    infos = {"fidelity": MetricInfo(True, 1.0), "influence": MetricInfo(False, 0.0)}
    header = Header("Net", "net", "a", "b", DataInfo("pairs", "c", 4), infos)
    found = ScanResult(header)
    for layer, (fall, score) in enumerate(zip(exact, cheap, strict=True)):
        if fall is not None:
            found.append(Row((f"layers.{layer}",), "fidelity", 1.0, 1.0 - fall, -fall))
        if score is not None:
            found.append(Row((f"layers.{layer}",), "influence", 0.0, score, score, engine="influence"))
    return found


def test_by_hand() -> None:
    """Ranks 1 2 3 4 5 against 1 4 3 2 5: of ten pairs, seven in order, three not; 1 - 6 * 8 / 120 = 0.6."""
    found = result([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 4.0, 3.0, 2.0, 5.0]).agreement()
    assert found is not None
    assert (found.cheap, found.exact, found.count, found.same, found.least) == ("influence", "fidelity", 5, 1, 1)
    assert found.spearman == pytest.approx(0.6)
    assert found.kendall == pytest.approx(0.4)
    assert str(found) == LINE


def test_only_what_both_know_counts() -> None:
    """Of a scan that measured half of the layers exactly; a layer of the other half is no mistake."""
    found = result([0.3, None, 0.1, None, 0.2, 0.9], [3.0, 0.0, 1.0, 9.0, 2.0, None]).agreement("influence", "fidelity")
    assert found is not None
    assert (found.count, found.spearman, found.kendall, found.same, found.least) == (3, 1.0, 1.0, 1, 1)


def test_nothing_to_say() -> None:
    assert result([0.1, 0.2, None], [1.0, 2.0, 3.0]).agreement() is None
    assert result([0.1, 0.2, 0.3], [1.0, 1.0, 1.0]).agreement() is None
    alone = result([], [])
    header = Header("Net", "net", "a", "b", DataInfo("pairs", "c", 4), {"loss": MetricInfo(False, 0.0)})
    assert ScanResult(header).agreement() is None
    with pytest.raises(ResultError, match='no metric "taylor"'):
        alone.agreement("taylor")


def test_the_least_important_are_a_third() -> None:
    exact = [float(value) for value in range(12)]
    cheap = [3.0, 2.0, 1.0, 9.0, 0.0, *exact[5:]]
    found = agreement("taylor", "loss", list(zip(cheap, exact, strict=True)))
    assert found is not None
    assert (found.same, found.least) == (3, 4)
    assert str(found).endswith("3 of the 4 least important are the same")


few = st.integers(0, 4).map(float)  # so that many are tied


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(few, few), min_size=3, max_size=14))
def test_against_scipy(pairs: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    assert mean_ranks(one.tolist()) == stats.rankdata(one).tolist()
    rho, tau = spearman(one.tolist(), other.tolist()), kendall(one.tolist(), other.tolist())
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert rho is None
        assert tau is None
    else:
        assert rho == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
        assert tau == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12)


def test_it_stands_under_every_table() -> None:
    both = result([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 4.0, 3.0, 2.0, 5.0])
    alone = result([0.1, 0.2, 0.3, 0.4, 0.5], [None] * 5)
    assert LINE in " ".join(repr(both).split())
    for painted in (both.to_markdown(), both._repr_html_()):
        assert LINE in painted
    for painted in (repr(alone), alone.to_markdown(), alone._repr_html_()):
        assert "agrees" not in painted


def test_it_stands_on_the_page() -> None:
    pytest.importorskip("matplotlib")
    from identikit.reporting.html import html

    assert f"{LINE}." in html(result([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 4.0, 3.0, 2.0, 5.0]))


def test_rounding_stays_in_range() -> None:
    values = [math.sqrt(number) for number in range(50)]
    assert spearman(values, values) == 1.0
    assert spearman(values, values[::-1]) == -1.0
