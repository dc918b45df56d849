"""Distances between two counted distributions over the same cells, and how sure they are.

Population stability index (Siddiqi 2006; symmetrised Kullback-Leibler), Jensen-Shannon divergence in bits (Lin 1991),
Kolmogorov-Smirnov distance, Wasserstein distance and Pearson's chi². Counts have shape (…, cells).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from audits.checks.intervals import Interval, percentile_interval

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
PSEUDO = 0.5  # added to every cell for the index, which an empty cell would make infinite (Jeffreys 1946)


def stability_index(reference: Counts, current: Counts) -> Floats:
    """PSI: Σ (q − p) ln(q / p), with half a row added to each cell."""
    p, q = _shares(reference + PSEUDO), _shares(current + PSEUDO)
    found: Floats = ((q - p) * np.log(q / p)).sum(axis=-1)
    return found


def jensen_shannon(reference: Counts, current: Counts) -> Floats:
    """Divergence in bits: 0 for the same shares, 1 for no cell in common."""
    p, q = np.broadcast_arrays(_shares(reference), _shares(current))
    middle = (p + q) / 2
    found: Floats = np.clip((_entropy_to(p, middle) + _entropy_to(q, middle)) / 2, 0.0, 1.0)
    return found


def kolmogorov(reference: Counts, current: Counts) -> Floats:
    """Largest gap between the two distribution functions at the edges of the cells, which are ordered."""
    gap = np.cumsum(_shares(reference), axis=-1) - np.cumsum(_shares(current), axis=-1)
    found: Floats = np.abs(gap).max(axis=-1)
    return found


def wasserstein(reference: Counts, current: Counts, edges: Floats) -> float | None:
    """Area between the distribution functions over the inner cells, in units of the distance between the reference's
    quartiles: the tails beyond the outer edges have no width in a sketch, so it is a lower bound. None without width.
    """
    if len(edges) < 2:
        return None
    upto = np.cumsum(_shares(reference))[:-1] - np.cumsum(_shares(current))[:-1]
    # between two edges the gap goes linearly from the one to the other
    area = float((np.diff(edges) * _mean_of_line(upto[:-1], upto[1:])).sum())
    scale = _quartile_distance(reference, edges)
    return None if scale == 0 else area / scale


def _mean_of_line(left: Floats, right: Floats) -> Floats:
    """Mean absolute height of straight lines, which may cross 0 on their way."""
    crossing = left * right < 0
    total = np.abs(left) + np.abs(right)
    split = np.divide(left**2 + right**2, 2 * total, out=np.zeros_like(total), where=total > 0)
    return np.where(crossing, split, total / 2)


def _quartile_distance(reference: Counts, edges: Floats) -> float:
    upto = np.cumsum(_shares(reference))[:-1]
    low, high = np.interp([0.25, 0.75], upto, edges)
    if high > low:
        return float(high - low)
    return float(edges[-1] - edges[0])


def chi_square(reference: Counts, current: Counts) -> tuple[float, int] | None:
    """Pearson's statistic of two samples and its degrees of freedom; None with fewer than two cells in use."""
    table = np.stack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or (table.sum(axis=1) == 0).any():
        return None
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def intervals(
    names: tuple[str, ...],
    reference: Counts,
    current: Counts,
    *,
    stream: np.random.Generator,
    replicates: int,
    level: float,
) -> dict[str, Interval | None]:
    """Percentile intervals of the named `MEASURES`, both samples redrawn; they hold the figure itself.

    Distances cannot go below 0, so replicates lie above the figure where there is little drift: the upper end is
    conservative.
    """
    sizes = int(reference.sum()), int(current.sum())
    if not all(sizes):
        return dict.fromkeys(names)
    drawn = [
        stream.multinomial(size, counts / size, size=replicates)
        for size, counts in zip(sizes, (reference, current), strict=True)
    ]
    found: dict[str, Interval | None] = {}
    for name in names:
        function = MEASURES[name]
        interval = percentile_interval(function(*drawn), level)
        value = float(function(reference, current))
        found[name] = None if interval is None else (min(interval[0], value), max(interval[1], value))
    return found


MEASURES = {
    "population_stability_index": stability_index,
    "jensen_shannon": jensen_shannon,
    "kolmogorov_smirnov": kolmogorov,
}


def minimum_n(limit: float, cells: int, reference: int, level: float) -> int | None:
    """Rows of the current data at which an index of two samples of one distribution stays below `limit` with
    probability `level`: n·m/(n+m) times the index is about chi² with cells − 1 degrees. None if no number would do.
    """
    from scipy.special import chdtri

    if cells < 2 or limit <= 0 or reference == 0:
        return None
    room = limit / float(chdtri(cells - 1, 1 - level)) - 1 / reference
    return math.ceil(1 / room) if room > 0 else None


def _shares(counts: npt.NDArray[np.floating] | Counts) -> Floats:
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.zeros(counts.shape, dtype=np.float64)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares


def _entropy_to(p: Floats, middle: Floats) -> Floats:
    terms = np.zeros(p.shape)
    np.divide(p, middle, out=terms, where=p > 0)
    np.log2(terms, out=terms, where=p > 0)
    found: Floats = (p * terms).sum(axis=-1)
    return found
