"""Group disparity of a regression: what is predicted for each group, and how far off it is.

Mean prediction, mean absolute and root mean squared error, mean residual (prediction minus truth), and the distance of
a group's predictions from everybody else's (two-sample Kolmogorov-Smirnov). Spread over groups is largest minus
smallest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.checks.contract import CheckInput, CheckResult, Message, Metric, Table
from audits.checks.cube import Grouping
from audits.checks.flips import flip_metrics
from audits.checks.groups import JOIN, joined, sensitive_groupings, without_rows
from audits.checks.intervals import Interval, generator, normal_interval, spread_of_means
from audits.checks.leakage import refuse_leakage
from audits.checks.materials import Materials

Floats = npt.NDArray[np.float64]
COLUMNS = (
    "attribute",
    "group",
    "n",
    "mean_prediction",
    "mean_prediction_low",
    "mean_prediction_high",
    "mean_target",
    "mae",
    "rmse",
    "mean_residual",
    "prediction_ks",
    "excluded",
)
ROUNDING = 1e-13  # relative; the mean of equal numbers differs from them by less
SPREADS = ("mean_prediction", "mae", "rmse", "mean_residual")


@dataclass(frozen=True)
class Moments:
    """Of one group: n and, per quantity, its mean with standard error (NaN for a single row)."""

    n: int
    means: dict[str, float]
    errors: dict[str, float]
    ks: float


def regression(
    inputs: CheckInput, materials: Materials, columns: tuple[str, ...], *, min_group: int, level: float
) -> CheckResult:
    """The bias check's answer for a regression, over each sensitive column and intersection."""
    frame, predictor = materials.frame("evaluation"), materials.model()
    every = tuple(dict.fromkeys((*columns, *materials.semantics.sensitive_columns)))
    groupings = sensitive_groupings(materials, "evaluation", every)
    refuse_leakage(materials, predictor, "evaluation")
    truth, predicted = materials.truth_values("evaluation"), predictor.values(frame)
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for depth in range(1, min(int(inputs.parameters.get("intersections", 1)), len(columns)) + 1):
        for names in combinations(columns, depth):
            attribute = JOIN.join(names)
            found = moments(joined(groupings, names), truth, predicted)
            compared = {group: item for group, item in found.items() if item.n >= min_group}
            metrics += _spreads(attribute, found, compared, _scale(predicted), inputs, level)
            if depth == 1:
                metrics += _per_group(attribute, compared, level)
                notes += without_rows(attribute, groupings[attribute][1], found)
            rows += [_row(attribute, group, item, group in compared, level) for group, item in found.items()]
            notes += [
                Message(
                    "group_left_out",
                    {"attribute": attribute, "group": group, "n": item.n, "minimum": min_group},
                )
                for group, item in found.items()
                if group not in compared
            ]
    flips, flip_notes = flip_metrics(predictor, frame, materials.semantics)
    table = Table(
        "groups_regression",
        COLUMNS,
        tuple(rows),
        {"min_group": min_group, "level": level, "rows": len(frame)},
    )
    return CheckResult("completed", tuple(metrics) + flips, (table,), tuple(notes) + flip_notes)


def _scale(predicted: Floats) -> float:
    """Standard deviation of the predictions; 0 where they are the same but for rounding, which is no unit."""
    ordered = np.sort(predicted)
    if ordered[-1] - ordered[0] <= ROUNDING * np.abs(ordered).max():
        return 0.0
    return float(ordered.std())


def moments(grouping: Grouping, truth: Floats, predicted: Floats) -> dict[str, Moments]:
    """Per group that has rows. The Kolmogorov-Smirnov distance is NaN where nobody is outside the group."""
    codes, levels = grouping
    order = np.lexsort((truth, predicted))  # sums of floats depend on their order; the result must not
    codes, truth, predicted = codes[order], truth[order], predicted[order]
    found: dict[str, Moments] = {}
    for place, group in enumerate(levels):
        inside = codes == place
        n = int(inside.sum())
        if not n:
            continue
        mine, error = predicted[inside], predicted[inside] - truth[inside]
        samples = {
            "mean_prediction": mine,
            "mean_target": truth[inside],
            "mae": np.abs(error),
            "squared": error**2,
            "mean_residual": error,
        }
        means = {name: float(values.mean()) for name, values in samples.items()}
        errors = {
            name: float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
            for name, values in samples.items()
        }
        means["rmse"] = math.sqrt(means["squared"])
        # delta method: d sqrt(m) = dm / (2 sqrt(m))
        errors["rmse"] = errors["squared"] / (2 * means["rmse"]) if means["rmse"] > 0 else 0.0
        found[group] = Moments(n, means, errors, ks_distance(predicted, inside))
    return found


def ks_distance(values: Floats, inside: npt.NDArray[np.bool_]) -> float:
    """Largest gap between the distribution functions of `inside` and the rest; NaN if one is empty.

    `values` ascend.
    """
    n, others = int(inside.sum()), int((~inside).sum())
    if not n or not others:
        return math.nan
    gap = np.cumsum(inside) / n - np.cumsum(~inside) / others
    last_of_tie = np.append(values[1:] != values[:-1], True)
    return float(np.abs(gap[last_of_tie]).max())


def ks_interval(distance: float, n: int, others: int, level: float) -> Interval:
    """Conservative: each distribution function is within its Dvoretzky-Kiefer-Wolfowitz band (Massart 1990)."""
    share = (1 - level) / 2
    half = sum(math.sqrt(math.log(2 / share) / (2 * size)) for size in (n, others))
    return max(0.0, distance - half), min(1.0, distance + half)


def _spreads(
    attribute: str,
    found: dict[str, Moments],
    compared: dict[str, Moments],
    scale: float,
    inputs: CheckInput,
    level: float,
) -> Iterator[Metric]:
    total, rows = (sum(item.n for item in part.values()) for part in (compared, found))
    groups = len(found)
    counts = {
        "rows": total,
        "groups": len(compared),
        "groups_excluded": groups - len(compared),
        "smallest_group": min((item.n for item in compared.values()), default=0),
    }
    few = Message(
        "fewer_than_two_groups",
        {"attribute": attribute, "groups": len(compared), "excluded": groups - len(compared)},
    )
    names = (*(f"{name}_difference" for name in SPREADS), "mean_prediction_difference_standardised")
    if len(compared) < 2:
        for name in (*names, "prediction_ks"):
            yield Metric(name, None, attribute=attribute, n=total, denominators=counts, undefined=few)
        return
    for name in SPREADS:
        means = np.array([item.means[name] for item in compared.values()])
        errors = np.array([item.errors[name] for item in compared.values()])
        interval = spread_of_means(
            means,
            errors,
            stream=generator(inputs.seed, name, attribute),
            replicates=int(inputs.parameters.get("replicates", 10_000)),
            level=level,
        )
        value = float(means.max() - means.min())
        yield _metric(f"{name}_difference", value, interval, attribute, total, counts, level)
        if name == "mean_prediction":
            yield _standardised(value, interval, scale, attribute, total, counts, level)
    # each group is held against everybody else, the left out ones included
    worst = max(compared.values(), key=lambda item: (item.ks, -item.n))
    interval = ks_interval(worst.ks, worst.n, rows - worst.n, level)
    yield _metric("prediction_ks", worst.ks, interval, attribute, total, counts, level)


def _standardised(
    value: float,
    interval: Interval | None,
    scale: float,
    attribute: str,
    n: int,
    counts: dict[str, int],
    level: float,
) -> Metric:
    name = "mean_prediction_difference_standardised"
    if scale == 0:
        undefined = Message("prediction_constant", {"metric": name})
        return Metric(name, None, attribute=attribute, n=n, denominators=counts, undefined=undefined)
    ends = None if interval is None else (interval[0] / scale, interval[1] / scale)
    return _metric(name, value / scale, ends, attribute, n, counts, level)


def _metric(
    name: str,
    value: float,
    interval: Interval | None,
    attribute: str,
    n: int,
    counts: dict[str, int],
    level: float,
    group: str | None = None,
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


def _per_group(attribute: str, compared: dict[str, Moments], level: float) -> Iterator[Metric]:
    for group, item in compared.items():
        for name in ("mean_prediction", "mean_target", "mae", "rmse", "mean_residual"):
            interval = _interval(item, name, level)
            yield _metric(
                name, item.means[name], interval, attribute, item.n, {"rows": item.n}, level, group=group
            )


def _interval(item: Moments, name: str, level: float) -> Interval | None:
    if not math.isfinite(item.errors[name]):
        return None
    low, high = normal_interval(item.means[name], item.errors[name], level)
    return (max(0.0, low), high) if name in ("mae", "rmse") else (low, high)


def _row(attribute: str, group: str, item: Moments, compared: bool, level: float) -> tuple[Any, ...]:
    low, high = _interval(item, "mean_prediction", level) or (None, None)
    return (
        attribute,
        group,
        item.n,
        item.means["mean_prediction"],
        low,
        high,
        item.means["mean_target"],
        item.means["mae"],
        item.means["rmse"],
        item.means["mean_residual"],
        None if math.isnan(item.ks) else item.ks,
        None if compared else "below_min_group",
    )
