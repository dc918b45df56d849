"""Calibration within groups: does a score mean the same for everybody? (Kleinberg et al. 2016, Pleiss et al. 2017)

Per group: the calibration gap (observed rate minus mean score) and the expected calibration error over ten bins of
equal width (Naeini et al. 2015). Spread over groups is largest minus smallest gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.checks.contract import Message, Metric, Table
from audits.checks.intervals import (
    Interval,
    generator,
    normal_interval,
    percentile_interval,
    spread_of_means,
)

Floats = npt.NDArray[np.float64]
BINS = 10
HIGH, LOW = 1 << 26, 1 << 30
CHUNK = 1 << 20
COLUMNS = ("attribute", "group", "bin_low", "bin_high", "n", "mean_score", "observed_rate")


class CalibrationSums:
    """Counts and exact sums per group and bin, from which everything here follows: parts of the rows may be added in
    any order and give the same bytes. Sums are kept in units of 2**-56 (two int64 each), finer than a score is."""

    def __init__(self, attributes: Mapping[str, tuple[str, ...]]) -> None:
        """`attributes`: the groups of each, in the order of their codes."""
        self.levels = dict(attributes)
        # (groups, bins, [rows, positives, score high, score low, squared residual high, low])
        self.sums = {
            name: np.zeros((len(levels), BINS, 6), dtype=np.int64) for name, levels in self.levels.items()
        }

    def add(
        self, codes: Mapping[str, npt.NDArray[np.int64]], truth: npt.NDArray[np.bool_], scores: Floats
    ) -> None:
        for start in range(
            0, len(scores), CHUNK
        ):  # a chunk's sums are whole numbers that a float holds exactly
            part = slice(start, start + CHUNK)
            ones, given = truth[part].astype(np.float64), scores[part]
            bins = np.clip((given * BINS).astype(np.int64), 0, BINS - 1)
            weights = (None, ones, *_halves(given), *_halves((ones - given) ** 2))
            for name, found in self.sums.items():
                place = codes[name][part] * BINS + bins
                size = found.shape[0] * BINS
                for axis, weight in enumerate(weights):
                    counted = np.bincount(place, weights=weight, minlength=size)
                    found[:, :, axis] += counted.astype(np.int64).reshape(-1, BINS)

    def bins(self, attribute: str, place: int) -> Floats:
        """(bins, 3): rows, positives and sum of scores of ten bins of equal width over [0, 1], the last closed."""
        found = self.sums[attribute][place, :, :4]
        return np.array(
            [[size, ones, float(_exact(high, low))] for size, ones, high, low in found], dtype=np.float64
        )

    def merge(self, other: CalibrationSums) -> None:
        """Add the rows of another part, counted over the same groups."""
        for name, found in self.sums.items():
            found += other.sums[name]


def _halves(values: Floats) -> tuple[Floats, Floats]:
    high = np.floor(values * HIGH)
    return high, np.rint((values * HIGH - high) * LOW)


def _exact(high: int, low: int) -> Fraction:
    return Fraction(int(high) * LOW + int(low), HIGH * LOW)


def calibration_within(
    sums: CalibrationSums, *, min_group: int, level: float, seed: int, replicates: int
) -> tuple[tuple[Metric, ...], tuple[Table, ...]]:
    """calibration_gap and calibration_error per group, calibration_gap_difference and calibration_error_worst_group
    per attribute, over groups of at least `min_group` rows; and the bins behind them."""
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    for attribute, levels in sums.levels.items():
        gaps: list[float] = []
        errors: list[float] = []
        worst: Metric | None = None
        by_bin = sums.sums[attribute]
        sizes = by_bin[:, :, 0].sum(axis=1)
        compared = [place for place in range(len(levels)) if sizes[place] >= max(min_group, 1)]
        total = int(sizes[compared].sum())
        for place in compared:
            n, group = int(sizes[place]), levels[place]
            whole = by_bin[place].sum(axis=0)
            residual = int(whole[1]) - _exact(whole[2], whole[3])
            gap, error = float(residual / n), math.nan
            if n > 1:
                spread_ = _exact(whole[4], whole[5]) - residual * residual / n
                error = math.sqrt(max(float(spread_ / (n - 1)), 0.0) / n)
            gaps.append(gap)
            errors.append(error)
            counts = {"rows": n, "positives": int(whole[1])}
            interval = normal_interval(gap, error, level) if math.isfinite(error) else None
            metrics.append(_metric("calibration_gap", gap, attribute, group, interval, level, n, counts))
            bins = sums.bins(attribute, place)
            ece, ends = expected_error(
                bins, stream=generator(seed, "ece", attribute), replicates=replicates, level=level
            )  # a stream that does not know the group's name, which moves no interval
            found = _metric("calibration_error", ece, attribute, group, ends, level, n, counts)
            metrics.append(found)
            if worst is None or (ece, -n) > (worst.value or 0.0, -(worst.n or 0)):
                worst = found
            rows += [
                (
                    attribute,
                    group,
                    place / BINS,
                    (place + 1) / BINS,
                    int(size),
                    None if not size else float(total_score / size),
                    None if not size else float(positives / size),
                )
                for place, (size, positives, total_score) in enumerate(bins)
            ]
        counts = {
            "rows": total,
            "groups": len(compared),
            "groups_excluded": int((sizes > 0).sum()) - len(compared),
        }
        if len(compared) < 2:
            few = Message(
                "fewer_than_two_groups",
                {"attribute": attribute, "groups": len(compared), "excluded": counts["groups_excluded"]},
            )
            names = ("calibration_gap_difference", "calibration_error_worst_group")
            metrics += [
                Metric(name, None, attribute=attribute, n=total, denominators=counts, undefined=few)
                for name in names
            ]
            continue
        spread = spread_of_means(
            np.array(gaps),
            np.array(errors),
            stream=generator(seed, "calibration", attribute),
            replicates=replicates,
            level=level,
        )
        difference = max(gaps) - min(gaps)
        metrics.append(
            _metric("calibration_gap_difference", difference, attribute, None, spread, level, total, counts)
        )
        assert worst is not None and worst.value is not None  # noqa: S101, PT018 (two groups were measured)
        metrics.append(
            _metric(
                "calibration_error_worst_group",
                worst.value,
                attribute,
                None,
                worst.interval,
                level,
                total,
                counts,
            )
        )
    return tuple(metrics), (Table("calibration_by_group", COLUMNS, tuple(rows), {"level": level}),)


def expected_error(
    bins: Floats, *, stream: np.random.Generator, replicates: int, level: float
) -> tuple[float, Interval | None]:
    """Expected calibration error with its interval: cells (bin, truth) redrawn, the mean score of a bin kept."""
    n, positives, totals = bins.T
    mean = np.divide(totals, n, out=np.zeros(BINS), where=n > 0)
    total = n.sum()
    value = float(np.abs(positives - n * mean).sum() / total)
    cells = np.concatenate([positives, n - positives])
    drawn = stream.multinomial(int(total), cells / total, size=replicates)
    ones, zeros = drawn[:, :BINS], drawn[:, BINS:]
    errors = np.abs(ones - (ones + zeros) * mean).sum(axis=1) / total
    interval = percentile_interval(errors, level)
    if interval is None:
        return value, None
    # the absolute value pulls replicates away from 0: the interval is widened to hold the figure itself
    return value, (min(interval[0], value), max(interval[1], value))


def _metric(
    name: str,
    value: float,
    attribute: str,
    group: str | None,
    interval: Interval | None,
    level: float,
    n: int,
    counts: dict[str, int],
) -> Metric:
    return Metric(
        name,
        value,
        attribute=attribute,
        group=group,
        interval=interval,
        level=None if interval is None else level,
        n=n,
        denominators=counts,
    )
