"""Concept drift: performance over time, once the labels have arrived. Needs a declared time column.

Rows are put in order of time and cut into windows of about equal size; rows of one moment stay together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.intervals import newcombe_difference, wilson
from audits.checks.leakage import refuse_leakage
from audits.checks.materials import Materials
from audits.checks.scores import Figure, mean_figure

WINDOWS, MIN_WINDOW, LEVEL = 10, 30, 0.95
COLUMNS = ("window", "from", "to", "n", "value", "low", "high")


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Accuracy per window (mean absolute error for a regression).

    performance_drop is the first window minus the last (for a regression the last minus the first), so that more is
    always worse; performance_worst_window the lowest accuracy (largest error). parameters: windows (default 10; fewer
    where a window would have less than 30 rows), level. Undefined with fewer than two windows.
    Raises CheckError `semantics_missing` without a time column, `time_unreadable` naming it.
    """
    column = materials.semantics.time_column
    if column is None:
        raise CheckError("semantics_missing", field="time_column")
    frame, predictor = materials.frame("evaluation"), materials.model()
    refuse_leakage(materials, predictor, "evaluation")
    level = float(inputs.parameters.get("level", LEVEL))
    times = moments(materials, "evaluation", column)
    numbers = counts_time(frame[column])
    regression = materials.semantics.task == "regression"
    if regression:
        values = np.abs(predictor.values(frame) - materials.truth_values("evaluation"))
    else:
        right = predictor.label_codes(frame) == materials.truth("evaluation", predictor.classes)
        values = right.astype(np.float64)
    windows = cut(times, int(inputs.parameters.get("windows", WINDOWS)))
    figures = [_figure(values[rows], regression, level) for rows in windows]
    lines = tuple(
        _line(number, times[rows], figure, numbers)
        for number, (rows, figure) in enumerate(zip(windows, figures, strict=True), start=1)
    )
    of = "mae" if regression else "accuracy"
    table = Table("performance_over_time", COLUMNS, lines, {"metric": of, "level": level, "column": column})
    return CheckResult("completed", _metrics(figures, regression, level, column), (table,))


Times = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def counts_time(column: pd.Series) -> bool:
    """Whether a time column holds plain numbers, of whatever unit, and no dates."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def moments(materials: Materials, role: str, name: str) -> Times:
    """The time column as nanoseconds since 1970 (or the number itself where it holds numbers), every row known.

    Raises CheckError `time_unreadable`, with how many rows are empty or no time.
    """
    column = materials.column(role, name, "time_column")
    if counts_time(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(numbers) | (np.abs(numbers) > 2**62)
        if bad.any():
            raise CheckError("time_unreadable", role=role, column=name, rows=int(bad.sum()))
        if pd.api.types.is_integer_dtype(column.dtype):
            whole: npt.NDArray[np.int64] = column.to_numpy(dtype=np.int64)
            return whole  # exact: a nanosecond count has more digits than a float
        known: npt.NDArray[np.float64] = numbers
        return known
    if pd.api.types.is_bool_dtype(column.dtype):
        raise CheckError("time_unreadable", role=role, column=name, rows=len(column))
    read = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    if bool(read.isna().any()):
        raise CheckError("time_unreadable", role=role, column=name, rows=int(read.isna().sum()))
    found: npt.NDArray[np.int64] = read.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return found


def cut(times: Times, windows: int) -> list[npt.NDArray[np.int64]]:
    """Row positions of each window, in order of time."""
    count = max(1, min(windows, len(times) // MIN_WINDOW))
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    ends = []
    for number in range(1, count):
        at = number * len(times) // count
        ends.append(int(np.searchsorted(ordered, ordered[at], side="left")))
    parts = np.split(order, sorted({end for end in ends if 0 < end < len(order)}))
    kept = [parts[0]]
    for part in parts[1:]:  # a window that ties have left too small joins the one before
        if len(part) < MIN_WINDOW or len(kept[-1]) < MIN_WINDOW:
            kept[-1] = np.concatenate([kept[-1], part])
        else:
            kept.append(part)
    return kept


def _figure(values: npt.NDArray[np.float64], regression: bool, level: float) -> Figure:
    if regression:
        return mean_figure(values, level, 0.0)
    hits, n = int(values.sum()), len(values)
    return Figure(hits / n, n, wilson(hits, n, level), {"correct": hits, "rows": n})


def _line(number: int, times: Times, figure: Figure, numbers: bool) -> tuple[Any, ...]:
    low, high = figure.interval or (None, None)
    ends = (_shown(times.min(), numbers), _shown(times.max(), numbers))
    return number, *ends, figure.n, figure.value, low, high


def _shown(time: Any, number: bool) -> str:
    """The day (of a plain number its whole part), never the moment: a moment may be one person's."""
    if number:
        return str(math.floor(time))
    return str(np.datetime64(int(time), "ns").astype("datetime64[D]"))


def _metrics(figures: list[Figure], regression: bool, level: float, column: str) -> tuple[Metric, ...]:
    n = sum(figure.n for figure in figures)
    counts = {"rows": n, "windows": len(figures)}
    names = ("performance_drop", "performance_worst_window")
    if len(figures) < 2:
        why = Message("too_few_windows", {"column": column, "rows": n, "minimum": 2 * MIN_WINDOW})
        return tuple(Metric(name, None, n=n, denominators=counts, undefined=why) for name in names)
    pair = [(figure.value or 0.0, figure.interval) for figure in (figures[0], figures[-1])]
    (first, one), (last, two) = reversed(pair) if regression else pair
    assert one is not None and two is not None  # noqa: S101, PT018 (a window has at least 30 rows)
    drop, interval = newcombe_difference((first, one), (last, two))
    worst = (max if regression else min)(figures, key=lambda figure: figure.value or 0.0)
    return (
        Metric(names[0], drop, interval=interval, level=level, n=n, denominators=counts),
        Metric(
            names[1],
            worst.value,
            interval=worst.interval,
            level=level,
            n=worst.n,
            denominators={**worst.denominators, "windows": len(figures)},
        ),
    )
