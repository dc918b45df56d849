"""The tests themselves, against scipy where it has the same one."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from governance.comparison import statistics


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(132, 177, 120, 177), (9, 30, 20, 40), (500, 1000, 500, 1000), (10, 200, 45, 300)]
)
def test_two_proportions_is_the_chi_square_without_correction(a: int, n: int, b: int, m: int) -> None:
    found = statistics.proportions(a, n, b, m)
    assert found is not None
    expected = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
    assert found.name == "two_proportion_z"
    assert found.statistic is not None
    assert found.statistic**2 == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert math.copysign(1, found.statistic) == (1 if a / n >= b / m else -1)


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(3, 10, 0, 8), (0, 5, 0, 7), (1, 1, 0, 1), (2, 100_000, 7, 100_000), (7, 7, 6, 9)]
)
def test_small_counts_are_tested_exactly(a: int, n: int, b: int, m: int) -> None:
    found = statistics.proportions(a, n, b, m)
    assert found is not None
    assert (found.name, found.statistic) == ("fisher_exact", None)
    assert found.p_value == pytest.approx(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue, rel=1e-6)


def test_of_nothing_there_is_no_test() -> None:
    assert statistics.proportions(0, 0, 3, 10) is None
    assert statistics.from_intervals(1, (1, 1), 0.95, 1, (1, 1), 0.95) is None


def test_from_intervals_as_altman_and_bland_do_it() -> None:
    """Their example (BMJ 2003;326:219): log relative risks -0.4 (se 0.2) and -0.2 (se 0.13) → z = -0.84, p = 0.40."""
    half, other_half = 1.959964 * 0.2, 1.959964 * 0.13
    found = statistics.from_intervals(
        -0.4, (-0.4 - half, -0.4 + half), 0.95, -0.2, (-0.2 - other_half, -0.2 + other_half), 0.95
    )
    assert found is not None
    assert found.statistic == pytest.approx(-0.2 / math.hypot(0.2, 0.13), abs=1e-6)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.2 / math.hypot(0.2, 0.13)), abs=1e-6)
    wide = statistics.from_intervals(0.5, (0.4, 0.6), 0.99, 0.3, (0.2, 0.4), 0.9)
    assert wide is not None
    errors = (0.2 / (2 * stats.norm.ppf(0.995)), 0.2 / (2 * stats.norm.ppf(0.95)))
    assert wide.statistic == pytest.approx(0.2 / math.hypot(*errors))


def test_far_out_it_is_small_and_not_zero() -> None:
    assert statistics.two_sided(10) == pytest.approx(2 * stats.norm.sf(10), rel=1e-9)


def test_holm() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]),
        ([0.4, 0.3, 0.3, 0.0], [0.5, 0.1, 0.2, 0.2]),
        ([1, 2, 3], [1, 3, 2]),
    ],
)
def test_rank_correlation_is_spearmans(mine: list[float], theirs: list[float]) -> None:
    expected = stats.spearmanr(mine, theirs).statistic
    assert statistics.rank_correlation(mine, theirs) == pytest.approx(expected)


def test_of_two_or_of_ties_there_is_no_correlation() -> None:
    assert statistics.rank_correlation([1, 2], [2, 1]) is None
    assert statistics.rank_correlation([1, 1, 1], [3, 2, 1]) is None
