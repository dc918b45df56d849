"""Calibration within groups: does a score mean the same for everybody? (Kleinberg et al. 2016, Pleiss et al. 2017)

Per group: the calibration gap (observed rate minus mean score) and the expected calibration error over ten bins of
equal width (Naeini et al. 2015). Spread over groups is largest minus smallest gap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.checks.contract import Message, Metric, Table
from audits.checks.cube import Grouping
from audits.checks.intervals import (
    Interval,
    generator,
    normal_interval,
    percentile_interval,
    spread_of_means,
)

Floats = npt.NDArray[np.float64]
BINS = 10
COLUMNS = ("attribute", "group", "bin_low", "bin_high", "n", "mean_score", "observed_rate")


def calibration_within(
    groupings: dict[str, Grouping],
    truth: npt.NDArray[np.bool_],
    scores: Floats,
    *,
    min_group: int,
    level: float,
    seed: int,
    replicates: int,
) -> tuple[tuple[Metric, ...], tuple[Table, ...]]:
    """calibration_gap and calibration_error per group, calibration_gap_difference and calibration_error_worst_group
    per attribute, over groups of at least `min_group` rows; and the bins behind them."""
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    order = np.lexsort((truth, scores))  # sums of floats depend on their order; the result must not
    truth, scores = truth[order], scores[order]
    for attribute, (codes, levels) in groupings.items():
        codes = codes[order]
        gaps: list[float] = []
        errors: list[float] = []
        worst: Metric | None = None
        sizes = np.bincount(codes, minlength=len(levels))
        compared = [place for place in range(len(levels)) if sizes[place] >= max(min_group, 1)]
        total = int(sizes[compared].sum())
        for place in compared:
            inside = codes == place
            n, group = int(sizes[place]), levels[place]
            mine = truth[inside] - scores[inside]
            gap, error = float(mine.mean()), math.nan
            if n > 1:
                error = float(mine.std(ddof=1)) / math.sqrt(n)
            gaps.append(gap)
            errors.append(error)
            counts = {"rows": n, "positives": int(truth[inside].sum())}
            interval = normal_interval(gap, error, level) if math.isfinite(error) else None
            metrics.append(_metric("calibration_gap", gap, attribute, group, interval, level, n, counts))
            bins = binned(truth[inside], scores[inside])
            ece, ends = expected_error(
                bins, stream=generator(seed, "ece", attribute, group), replicates=replicates, level=level
            )
            found = _metric("calibration_error", ece, attribute, group, ends, level, n, counts)
            metrics.append(found)
            if worst is None or ece > (worst.value or 0.0):
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


def binned(truth: npt.NDArray[np.bool_], scores: Floats) -> Floats:
    """(bins, 3): rows, positives and sum of scores of ten bins of equal width over [0, 1], the last closed."""
    place = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    return np.stack(
        [
            np.bincount(place, minlength=BINS).astype(np.float64),
            np.bincount(place, weights=truth.astype(np.float64), minlength=BINS),
            np.bincount(place, weights=scores, minlength=BINS),
        ],
        axis=1,
    )


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
