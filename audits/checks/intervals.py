"""Intervals and corrections for small samples and many comparisons."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

# Replicates in which a rate is 0/0 are dropped; with more than this share dropped, the interval is not stated.
MAX_UNDEFINED_REPLICATES = 0.05


def z_value(level: float) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval | None:
    """Score interval of a proportion (Wilson 1927, without continuity correction); None when n is 0."""
    if n == 0:
        return None
    z = z_value(level)
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile_interval(replicates: Floats, level: float, value: float = math.nan) -> Interval | None:
    """Percentile interval of bootstrap replicates (Efron 1981); NaN replicates are undefined ones.

    It is widened to hold the figure itself, `value`, where that is told: replicates of a spread lie above one near 0.
    """
    defined = replicates[np.isfinite(replicates)]
    if replicates.size == 0 or defined.size < (1 - MAX_UNDEFINED_REPLICATES) * replicates.size:
        return None
    low, high = (float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    return (low, high) if math.isnan(value) else (min(low, value), max(high, value))


def normal_interval(value: float, standard_error: float, level: float) -> Interval:
    half = z_value(level) * standard_error
    return value - half, value + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values (Holm 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda place: (p_values[place], place))
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted


def generator(seed: int, *context: str) -> np.random.Generator:
    """A stream of its own for each thing drawn, so that adding one attribute moves no other's interval."""
    digest = hashlib.sha256("\x1f".join(context).encode()).digest()
    return np.random.Generator(np.random.PCG64([seed & (2**64 - 1), int.from_bytes(digest[:8], "big")]))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Step-up adjusted p-values for the false discovery rate (Benjamini and Hochberg 1995), in the order given."""
    count = len(p_values)
    order = sorted(range(count), key=lambda place: (-p_values[place], place))
    adjusted = [0.0] * count
    running = 1.0
    for rank, place in enumerate(order):
        running = min(running, p_values[place] * count / (count - rank))
        adjusted[place] = running
    return adjusted


def newcombe_difference(
    first: tuple[float, Interval], second: tuple[float, Interval]
) -> tuple[float, Interval]:
    """first − second of independent samples; half-widths add in squares (Newcombe 1998, method 10)."""
    (one, (one_low, one_high)), (two, (two_low, two_high)) = first, second
    below, above = math.hypot(one - one_low, two_high - two), math.hypot(one_high - one, two - two_low)
    return one - two, (one - two - below, one - two + above)


def spread_of_means(
    means: Floats, errors: Floats, *, stream: np.random.Generator, replicates: int, level: float
) -> Interval | None:
    """Percentile interval of largest minus smallest of independent means with normal `errors` (standard errors).

    None with fewer than two means, or where an error is unknown (a group of one row).
    """
    if len(means) < 2 or not np.isfinite(errors).all():
        return None
    order = np.lexsort((errors, means))  # what a group is called moves no interval
    drawn = stream.normal(means[order], errors[order], size=(replicates, len(means)))
    interval = percentile_interval(drawn.max(axis=1) - drawn.min(axis=1), level)
    if interval is None:
        return None
    # a spread cannot go below 0, so replicates of equal means lie above it: the interval holds the figure itself
    value = float(means.max() - means.min())
    return min(interval[0], value), max(interval[1], value)
