"""Tests between two measurements, in plain Python: the web process loads no numpy.

The rows behind both are usually the same, but what each model said of each row is not kept, so no paired test (McNemar
1947) is possible. These treat the samples as independent. Two models of one question tend to err on the same rows, and
then an independent test is the cautious one: it misses differences rather than finding some that are not there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, correlation

TWO_PROPORTION, FISHER, FROM_INTERVALS = "two_proportion_z", "fisher_exact", "z_from_intervals"
SMALLEST_EXPECTED = (
    5.0  # below this expected count in a cell the normal approximation is not used (Cochran 1954)
)


@dataclass(frozen=True)
class Test:
    """`statistic` is a z value, None for an exact test; `p_value` is two-sided; `p_holm` after correction, if asked."""

    name: str
    statistic: float | None
    p_value: float
    p_holm: float | None = None


def two_sided(z: float) -> float:
    # erfc keeps its precision where 1 - cdf(z) would be rounded to 0
    return math.erfc(abs(z) / math.sqrt(2))


def proportions(successes: int, n: int, other_successes: int, other_n: int) -> Test | None:
    """Do two proportions differ? Pooled z test; Fisher's exact test where a cell expects fewer than five.

    None for n = 0. No continuity correction.
    """
    if n <= 0 or other_n <= 0:
        return None
    pooled = (successes + other_successes) / (n + other_n)
    if min(n, other_n) * min(pooled, 1 - pooled) < SMALLEST_EXPECTED:
        return Test(
            FISHER, None, fisher(successes, n - successes, other_successes, other_n - other_successes)
        )
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / other_n))
    z = (successes / n - other_successes / other_n) / error
    return Test(TWO_PROPORTION, z, two_sided(z))


def fisher(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p of a 2×2 table (Fisher 1935): the tables with these margins that are at most as likely."""
    top, left, total = a + b, a + c, a + b + c + d
    low, high = max(0, left - (c + d)), min(top, left)

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    def log_probability(x: int) -> float:
        return log_choose(top, x) + log_choose(total - top, left - x) - log_choose(total, left)

    observed = log_probability(a)
    # A hair of tolerance: tables that are exactly as likely must not be lost to rounding.
    found = (log_probability(x) for x in range(low, high + 1))
    return min(1.0, math.fsum(math.exp(value) for value in found if value <= observed + 1e-7))


def from_intervals(
    value: float,
    interval: tuple[float, float],
    level: float,
    other: float,
    other_interval: tuple[float, float],
    other_level: float,
) -> Test | None:
    """Do two estimates differ, judged by their intervals? Altman & Bland 2003 (BMJ 326:219), standard errors from the

    widths of the intervals (Altman & Bland 2011, BMJ 343:d2090). None where neither interval has a width.
    """
    error = math.hypot(_standard_error(interval, level), _standard_error(other_interval, other_level))
    if error == 0 or not math.isfinite(error):
        return None
    z = (value - other) / error
    return Test(FROM_INTERVALS, z, two_sided(z))


def _standard_error(interval: tuple[float, float], level: float) -> float:
    return (interval[1] - interval[0]) / (2 * NormalDist().inv_cdf(0.5 + level / 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: (p_values[place], place))
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the largest; ties share their mean."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            found[place] = (start + end) / 2 + 1
        start = end + 1
    return found


def rank_correlation(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Spearman's (1904), None for fewer than three pairs or where one side is all ties."""
    mine, theirs = ranks(values), ranks(others)
    if len(mine) < 3 or len(set(mine)) < 2 or len(set(theirs)) < 2:
        return None
    return correlation(mine, theirs)
