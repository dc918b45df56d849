"""Performance figures from counts and scores, each with its interval; what cannot be computed is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audits.checks.contract import Message
from audits.checks.intervals import (
    Interval,
    generator,
    normal_interval,
    percentile_interval,
    wilson,
)

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
REPLICATES = 2_000
MAX_CELLS = 4_000_000
TINY = 1e-300  # below, a sum of squares has lost its digits


@dataclass(frozen=True)
class Figure:
    """One computed figure; `value` is None exactly when `undefined` says why."""

    value: float | None
    n: int
    interval: Interval | None = None
    denominators: dict[str, int] = field(default_factory=dict)
    undefined: Message | None = None


def _ratio(top: npt.NDArray[np.int64], bottom: npt.NDArray[np.int64]) -> Floats:
    found = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found


def recalls(table: Counts) -> Floats:
    """Share of each true class found, from (…, truth, prediction) counts; NaN for a class that never occurs."""
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1))


def precisions(table: Counts) -> Floats:
    return _ratio(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-2))


def f1s(table: Counts) -> Floats:
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    return _ratio(2 * hits, table.sum(axis=-1) + table.sum(axis=-2))


def confusion_figures(table: Counts, positive: int | None, *, seed: int, level: float) -> dict[str, Figure]:
    """accuracy, balanced_accuracy, precision, recall, f1 of a confusion table (truth, prediction).

    precision, recall and f1 are the positive class's, or the mean over classes where `positive` is None (multi-class).
    Wilson for plain proportions, multinomial bootstrap of the table for the rest.
    """
    n = int(table.sum())
    hits = int(np.trace(table))
    figures = {"accuracy": Figure(hits / n, n, wilson(hits, n, level), {"correct": hits, "rows": n})}
    if positive is None:
        pieces: dict[str, Callable[[Counts], Floats]] = {
            "balanced_accuracy": lambda t: recalls(t).mean(axis=-1),
            "precision": lambda t: precisions(t).mean(axis=-1),
            "recall": lambda t: recalls(t).mean(axis=-1),
            "f1": lambda t: f1s(t).mean(axis=-1),
        }
    else:
        found, predicted, true = (
            int(table[positive, positive]),
            int(table[:, positive].sum()),
            int(table[positive].sum()),
        )
        figures["precision"] = _proportion(found, predicted, "nothing_predicted_positive", level)
        figures["recall"] = _proportion(found, true, "nothing_truly_positive", level)
        pieces = {
            "balanced_accuracy": lambda t: recalls(t).mean(axis=-1),
            "f1": lambda t: f1s(t)[..., positive],
        }
    intervals = _bootstrap(table, pieces, seed, level)
    for name, function in pieces.items():
        value = float(function(table))
        if math.isnan(value):
            figures[name] = Figure(None, n, undefined=Message("class_without_rows", {"metric": name}))
        else:
            figures[name] = Figure(value, n, intervals[name], {"rows": n, "classes": len(table)})
    return figures


def _proportion(top: int, bottom: int, code: str, level: float) -> Figure:
    if bottom == 0:
        return Figure(None, 0, undefined=Message(code))
    return Figure(top / bottom, bottom, wilson(top, bottom, level), {"successes": top, "rows": bottom})


def _bootstrap(
    table: Counts, pieces: dict[str, Callable[[Counts], Floats]], seed: int, level: float
) -> dict[str, Interval | None]:
    total = int(table.sum())
    stream = generator(seed, "confusion")
    shares = table.reshape(-1) / total
    step = max(1, MAX_CELLS // shares.size)
    found: dict[str, list[Floats]] = {name: [] for name in pieces}
    for start in range(0, REPLICATES, step):
        size = min(step, REPLICATES - start)
        drawn = stream.multinomial(total, shares, size=size).reshape(size, *table.shape)
        for name, function in pieces.items():
            found[name].append(function(drawn))
    return {
        name: percentile_interval(np.concatenate(parts), level, float(pieces[name](table)))
        for name, parts in found.items()
    }


def roc_auc(truth: npt.NDArray[np.bool_], scores: Floats, level: float) -> Figure:
    """Area under the ROC curve, ties half, with DeLong's variance (DeLong 1988; ranks as in Sun and Xu 2014)."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    n = positives + negatives
    if not positives or not negatives:
        return Figure(None, n, undefined=Message("one_class_only"))
    ranks = _midranks(scores)
    # share of the other class that each row beats
    of_positive = (ranks[truth] - _midranks(scores[truth])) / negatives
    of_negative = 1 - (ranks[~truth] - _midranks(scores[~truth])) / positives
    area = float(of_positive.mean())
    variance = 0.0
    if positives > 1:
        variance += float(of_positive.var(ddof=1)) / positives
    if negatives > 1:
        variance += float(of_negative.var(ddof=1)) / negatives
    smaller = min(positives, negatives)
    if variance <= 1e-15 or smaller == 1:
        # perfect separation has no spread to estimate from; a proportion on the rarer class bounds it instead
        interval = wilson(round(area * smaller), smaller, level)
    else:
        low, high = normal_interval(area, math.sqrt(variance), level)
        interval = max(0.0, low), min(1.0, high)
    return Figure(area, n, interval, {"positives": positives, "negatives": negatives})


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing their mean."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    middle: Floats = last - (times - 1) / 2
    return middle[place.reshape(-1)]


def mean_figure(values: Floats, level: float, low: float = -math.inf, high: float = math.inf) -> Figure:
    """A mean over rows with its normal interval, kept within the figure's range."""
    n = len(values)
    value = float(values.mean())
    interval = None
    if n > 1:
        below, above = normal_interval(value, float(values.std(ddof=1)) / math.sqrt(n), level)
        interval = max(low, below), min(high, above)
    return Figure(value, n, interval, {"rows": n})


def brier(truth: Counts, probabilities: Floats, positive: int | None, level: float) -> Figure:
    """Brier 1950: mean squared error of P(positive); over all classes, summed, where `positive` is None."""
    if positive is not None:
        errors = (probabilities[:, positive] - (truth == positive)) ** 2
        return mean_figure(errors, level, 0.0, 1.0)
    wanted = np.zeros_like(probabilities)
    wanted[np.arange(len(truth)), truth] = 1.0
    return mean_figure(((probabilities - wanted) ** 2).sum(axis=1), level, 0.0, 2.0)


def regression_figures(truth: Floats, predicted: Floats, level: float) -> dict[str, Figure]:
    """mae, rmse, r2; the interval of r2 from its influence function."""
    n = len(truth)
    errors = predicted - truth
    squared = mean_figure(errors**2, level, 0.0)
    assert squared.value is not None  # noqa: S101 (a mean of at least one row)
    root = None if squared.interval is None else tuple(math.sqrt(edge) for edge in squared.interval)
    figures = {
        "mae": mean_figure(np.abs(errors), level, 0.0),
        "rmse": Figure(
            math.sqrt(squared.value), n, None if root is None else (root[0], root[1]), {"rows": n}
        ),
    }
    spread = float(((truth - truth.mean()) ** 2).mean())
    # compared as they are: the mean of many 0.1 is not 0.1, so `spread` of a constant is a little above 0
    if n < 2 or truth.min() == truth.max() or spread < TINY:
        figures["r2"] = Figure(None, n, undefined=Message("target_constant"))
        return figures
    r2 = 1 - squared.value / spread
    influence = (errors**2 - (1 - r2) * (truth - truth.mean()) ** 2) / spread
    half = float(influence.std(ddof=1)) / math.sqrt(n)
    low, high = normal_interval(r2, half, level)
    figures["r2"] = Figure(r2, n, (low, min(1.0, high)), {"rows": n})
    return figures
