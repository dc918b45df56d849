"""Rates per group and their spread across groups, from counts alone. 0/0 is NaN here and `undefined` outside, never 0.

Definitions as in Hardt et al. 2016 (equalized odds, equal opportunity), Feldman et al. 2015 (impact ratio),
Chouldechova 2017 (predictive parity) and Berk et al. 2021 (treatment equality),
always relative to the favourable decision.
Spread over more than two groups is largest minus smallest (difference) and smallest over largest (ratio).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.checks.intervals import Interval, generator, percentile_interval, z_value

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]  # (..., groups, 4): tp, fp, fn, tn, relative to the favourable decision

TP, FP, FN, TN = range(4)
# rate: (cells of the numerator, cells of the denominator)
RATES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((TP, FP), (TP, FP, FN, TN)),
    "base_rate": ((TP, FN), (TP, FP, FN, TN)),
    "true_positive_rate": ((TP,), (TP, FN)),
    "false_negative_rate": ((FN,), (TP, FN)),
    "false_positive_rate": ((FP,), (FP, TN)),
    "true_negative_rate": ((TN,), (FP, TN)),
    "precision": ((TP,), (TP, FP)),
    "negative_predictive_value": ((TN,), (FN, TN)),
    "accuracy": ((TP, TN), (TP, FP, FN, TN)),
}
ERROR_RATIO = ((FN,), (FP,))  # treatment equality: not a proportion, may exceed 1
CHUNK_CELLS = 4_000_000


def _sum(counts: npt.NDArray[np.int64], cells: tuple[int, ...]) -> npt.NDArray[np.int64]:
    total: npt.NDArray[np.int64] = counts[..., list(cells)].sum(axis=-1)
    return total


def _divide(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> Floats:
    found = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found


def rate(counts: Counts, name: str) -> Floats:
    """A rate per group, shape (..., groups); NaN where its denominator is 0."""
    top, bottom = ERROR_RATIO if name == "treatment_equality" else RATES[name]
    return _divide(_sum(counts, top), _sum(counts, bottom))


def _spread(rates: Floats, fewest: int) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Smallest and largest over the groups that have the rate, and whether at least `fewest` do."""
    known = ~np.isnan(rates)
    low = np.where(known, rates, np.inf).min(axis=-1, initial=np.inf)
    high = np.where(known, rates, -np.inf).max(axis=-1, initial=-np.inf)
    return low, high, known.sum(axis=-1) >= fewest


def difference(rates: Floats, fewest: int = 2) -> Floats:
    """Largest minus smallest. One group differs from nothing: 0 with `fewest` 1 as libraries have it, else NaN."""
    low, high, enough = _spread(rates, fewest)
    found = np.full(np.shape(low), np.nan)
    np.subtract(high, low, out=found, where=enough)
    return found


def ratio(rates: Floats, fewest: int = 2) -> Floats:
    """Smallest over largest; NaN where the largest is 0 as well."""
    low, high, enough = _spread(rates, fewest)
    found = np.full(np.shape(low), np.nan)
    np.divide(low, high, out=found, where=enough & (high > 0))
    return found


def _odds(counts: Counts, fewest: int, spread: Callable[[Floats, int], Floats]) -> tuple[Floats, Floats]:
    return (
        spread(rate(counts, "true_positive_rate"), fewest),
        spread(rate(counts, "false_positive_rate"), fewest),
    )


# np.maximum/minimum keep NaN: equalized odds is undefined unless both of its parts are known.
AGGREGATES: dict[str, Callable[[Counts, int], Floats]] = {
    "demographic_parity_difference": lambda c, few: difference(rate(c, "selection_rate"), few),
    "demographic_parity_ratio": lambda c, few: ratio(rate(c, "selection_rate"), few),
    "equal_opportunity_difference": lambda c, few: difference(rate(c, "true_positive_rate"), few),
    "equal_opportunity_ratio": lambda c, few: ratio(rate(c, "true_positive_rate"), few),
    "equalized_odds_difference": lambda c, few: np.maximum(*_odds(c, few, difference)),
    "equalized_odds_difference_mean": lambda c, few: np.add(*_odds(c, few, difference)) / 2,
    "equalized_odds_ratio": lambda c, few: np.minimum(*_odds(c, few, ratio)),
    "predictive_parity_difference": lambda c, few: difference(rate(c, "precision"), few),
    "accuracy_difference": lambda c, few: difference(rate(c, "accuracy"), few),
    "treatment_equality_difference": lambda c, few: difference(rate(c, "treatment_equality"), few),
}
# the rates an aggregate rests on: which groups it leaves out, and how many rows it would need
RESTS_ON: dict[str, tuple[str, ...]] = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equal_opportunity_difference": ("true_positive_rate",),
    "equal_opportunity_ratio": ("true_positive_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_difference_mean": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_ratio": ("true_positive_rate", "false_positive_rate"),
    "predictive_parity_difference": ("precision",),
    "accuracy_difference": ("accuracy",),
    "treatment_equality_difference": ("treatment_equality",),
}


@dataclass(frozen=True)
class Disparity:
    """Groups with their counts, which of them are large enough, and the aggregates over those (None: undefined)."""

    groups: tuple[str, ...]
    counts: Counts  # (groups, 4)
    included: npt.NDArray[np.bool_]
    aggregates: dict[str, float | None]

    @property
    def compared(self) -> Counts:
        return self.counts[self.included]

    def without(self, name: str) -> tuple[str, ...]:
        """Included groups in which the rate `name` is undefined."""
        undefined = np.isnan(rate(self.counts, name)) & self.included
        return tuple(group for group, missing in zip(self.groups, undefined, strict=True) if missing)


def from_counts(groups: Sequence[str], counts: Counts, min_group: int = 1, fewest: int = 2) -> Disparity:
    """Disparity over groups of at least `min_group` rows; counts (groups, 4) as tp, fp, fn, tn.

    An aggregate needs `fewest` groups in which its rates are defined.
    """
    included = np.asarray(counts.sum(axis=1) >= min_group)
    compared = counts[included]
    aggregates: dict[str, float | None] = {}
    for name, function in AGGREGATES.items():
        value = float(function(compared, fewest))
        aggregates[name] = None if math.isnan(value) else value
    return Disparity(tuple(groups), counts, included, aggregates)


def disparity(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    groups: Sequence[str],
    *,
    min_group: int = 1,
    fewest: int = 2,
) -> Disparity:
    """Straight from rows: truth and decision as booleans (favourable or not), one group name per row."""
    truth = np.asarray(y_true, dtype=bool)
    decided = np.asarray(y_pred, dtype=bool)
    names, codes = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    # position of (truth, decision) among tp, fp, fn, tn
    cell = np.where(truth, np.where(decided, TP, FN), np.where(decided, FP, TN))
    counts = np.bincount(codes.reshape(-1) * 4 + cell, minlength=4 * len(names)).reshape(-1, 4)
    return from_counts(tuple(str(name) for name in names), counts.astype(np.int64), min_group, fewest)


def bootstrap(
    counts: Counts, *, seed: int, context: str, replicates: int, level: float
) -> dict[str, Interval | None]:
    """Percentile intervals of every aggregate.

    Drawing the cells from a multinomial of the observed shares is the same distribution as resampling rows, at a cost
    that does not grow with rows. A replicate in which an aggregate is undefined is dropped; too many, no interval.
    """
    groups, total = counts.shape[0], int(counts.sum())
    if groups < 2 or total == 0:
        return dict.fromkeys(AGGREGATES)
    stream = generator(seed, "disparity", context)
    ordered, mirrored = draw_order(counts)
    shares = ordered.reshape(-1) / total
    found: dict[str, list[Floats]] = {name: [] for name in AGGREGATES}
    step = max(1, CHUNK_CELLS // shares.size)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = stream.multinomial(total, shares, size=size).reshape(size, groups, 4)
        if mirrored:
            drawn = drawn[..., ::-1]
        for name, function in AGGREGATES.items():
            found[name].append(function(drawn, 2))
    return {
        name: percentile_interval(np.concatenate(parts), level, float(AGGREGATES[name](counts, 2)))
        for name, parts in found.items()
    }


def draw_order(counts: Counts) -> tuple[Counts, bool]:
    """The counts in the order they are drawn in, and whether with their cells mirrored (tn, fn, fp, tp).

    The order comes from the counts alone: what a group is called, or which of two labels is the favourable one, moves
    no interval.
    """
    given, turned = (in_order(table) for table in (counts, counts[:, ::-1]))
    mirrored = turned.reshape(-1).tolist() < given.reshape(-1).tolist()
    return (turned, True) if mirrored else (given, False)


def in_order(table: Counts) -> Counts:
    """Groups (the first axis) sorted by their counts. Every aggregate is the same in whatever order they stand."""
    return table[np.lexsort(table.reshape(len(table), -1).T[::-1])]


def minimum_n(name: str, counts: Counts, limit: float, level: float) -> int | None:
    """Smallest number of rows at which the conservative bound could meet `limit` even with no disparity at all.

    Normal approximation (delta method on the log for ratios) with the observed shares of groups and the pooled rate,
    for the pair of smallest denominators; None where the rate is no proportion or the limit cannot be met.
    The bound is a quantile of an absolute difference, hence the one tail cut twice.
    """
    z = z_value(1 - (1 - level) / 2)
    total = int(counts.sum())
    needed = 0.0
    for part in RESTS_ON[name]:
        if part not in RATES:
            return None
        top, bottom = (_sum(counts, cells) for cells in RATES[part])
        sizes = np.sort(bottom[bottom > 0])
        if len(sizes) < 2:
            return None
        pooled = float(top.sum() / bottom.sum())
        spread = total / float(sizes[0]) + total / float(sizes[1])
        if name.endswith("_ratio"):
            if not 0 < limit < 1 or pooled == 0:
                return None
            part_needed = (1 - pooled) / pooled * spread * (z / -math.log(limit)) ** 2
        else:
            if limit <= 0:
                return None
            part_needed = pooled * (1 - pooled) * spread * (z / limit) ** 2
        needed = max(needed, part_needed)
    return math.ceil(needed)


def selection_chi_square(counts: Counts) -> tuple[float, int] | None:
    """Pearson's statistic and degrees of freedom of decision against group; None when one decision never occurs."""
    table = np.stack([_sum(counts, (TP, FP)), _sum(counts, (FN, TN))], axis=1).astype(np.float64)
    table = table[table.sum(axis=1) > 0]
    total = table.sum()
    if len(table) < 2 or (table.sum(axis=0) == 0).any():
        return None
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    return float(((table - expected) ** 2 / expected).sum()), len(table) - 1
