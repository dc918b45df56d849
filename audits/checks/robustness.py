"""Robustness: how many decisions a small disturbance of the inputs turns over, for everybody and per sensitive group.

Three disturbances, each drawn once from the seed: Gaussian noise of a share of each number's standard deviation, a
uniform shift of a share of its range that stays within the range, and cells emptied at random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.evaluation import row_keys
from audits.checks.flips import Answers, answers, differs
from audits.checks.groups import sensitive_groupings
from audits.checks.intervals import generator, wilson
from audits.checks.leakage import refuse_leakage
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor

NOISE, SHIFT, MISSING = 0.10, 0.05, 0.05
REPEATS, LEVEL, MIN_GROUP = 3, 0.95, 30
TOLERANCE = 0.10  # of a regression: a prediction counts as turned when it moves by more than this share of their spread
COLUMNS = ("attribute", "group", "disturbance", "n", "flipped", "flip_rate", "low", "high")


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """flip_rate_noise, flip_rate_shift, flip_rate_missing: share of rows whose decision changes in at least one of
    `repeats` disturbances; each also per group, and `…_difference` as the spread over groups of one sensitive column.

    parameters: noise (share of the standard deviation, 0.10), shift (share of the range, 0.05), missing (share of
    cells, 0.05), repeats (3), tolerance (regression: share of the predictions' standard deviation, 0.10), min_group
    (30), level. Sensitive inputs are disturbed like any other. flip_rate_missing is undefined, with the reason, where
    the model rejects empty cells; the other two where no input is a number.
    """
    frame, predictor = materials.frame("evaluation"), materials.model()
    refuse_leakage(materials, predictor, "evaluation")
    order = in_order(frame)
    frame = frame.iloc[order].reset_index(drop=True)
    level = float(inputs.parameters.get("level", LEVEL))
    before = answers(predictor, frame)
    differ = _differ(before, float(inputs.parameters.get("tolerance", TOLERANCE)))
    columns = materials.semantics.sensitive_columns
    groupings = sensitive_groupings(materials, "evaluation", columns) if columns else {}
    groupings = {name: (codes[order], levels) for name, (codes, levels) in groupings.items()}
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for name, disturb in _disturbances(inputs, frame, predictor).items():
        try:
            turned = _turned(inputs, name, disturb, predictor, frame, before, differ)
        except CheckError as error:
            if name != "missing" or error.message.code not in (
                "model_rejects_missing",
                "model_cannot_predict",
            ):
                raise
            metrics.append(Metric(f"flip_rate_{name}", None, n=len(frame), undefined=error.message))
            continue
        if turned is None:
            why = Message("no_numeric_inputs", {"disturbance": name})
            metrics.append(Metric(f"flip_rate_{name}", None, n=len(frame), undefined=why))
            continue
        metrics.append(_metric(f"flip_rate_{name}", turned, level))
        rows.append(_row(None, None, name, turned, level))
        for attribute, (codes, levels) in groupings.items():
            least = int(inputs.parameters.get("min_group", MIN_GROUP))
            mine, left_out = _groups(turned, codes, levels, least)
            metrics += [
                _metric(f"flip_rate_{name}", part, level, attribute, group) for group, part in mine.items()
            ]
            rows += [_row(attribute, group, name, part, level) for group, part in mine.items()]
            metrics.append(_spread(name, attribute, mine, left_out, inputs.seed, level))
            if not notes:
                notes += [
                    Message(
                        "group_left_out",
                        {"attribute": attribute, "group": group, "n": n, "minimum": least},
                    )
                    for group, n in left_out.items()
                ]
    params = {name: inputs.parameters.get(name, default) for name, default in DEFAULTS.items()}
    table = Table("robustness", COLUMNS, tuple(rows), {**params, "level": level})
    return CheckResult("completed", tuple(metrics), (table,), tuple(notes[:20]))


DEFAULTS = {"noise": NOISE, "shift": SHIFT, "missing": MISSING, "repeats": REPEATS}
Booleans = npt.NDArray[np.bool_]
Disturb = Callable[[np.random.Generator], pd.DataFrame | None]


def in_order(frame: pd.DataFrame) -> npt.NDArray[np.int64]:
    """An order of rows that depends on their content only: a file written in another order is disturbed alike."""
    return np.argsort(row_keys(frame, tuple(frame.columns)), kind="stable")


def _differ(before: Answers, tolerance: float) -> Callable[[Answers], Booleans]:
    if before.dtype == np.bool_:
        return lambda after: differs(before, after)
    room = tolerance * float(before.std())
    return lambda after: np.asarray(np.abs(after - before) > max(room, 1e-9))


def _disturbances(inputs: CheckInput, frame: pd.DataFrame, predictor: Predictor) -> dict[str, Disturb]:
    share = {name: float(inputs.parameters.get(name, default)) for name, default in DEFAULTS.items()}
    numeric = [
        name
        for name in predictor.features
        if pd.api.types.is_numeric_dtype(frame[name].dtype)
        and not pd.api.types.is_bool_dtype(frame[name].dtype)
        and frame[name].nunique() > 2  # 0/1 is a category: a little of it means nothing
    ]

    def moved(
        stream: np.random.Generator, step: Callable[[npt.NDArray[np.float64]], Any]
    ) -> pd.DataFrame | None:
        if not numeric:
            return None
        other = frame.copy(deep=False)
        for name in numeric:
            values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            changed = np.clip(values + step(values), np.nanmin(values), np.nanmax(values))
            if pd.api.types.is_integer_dtype(frame[name].dtype):
                whole = pd.Series(np.rint(changed), index=frame.index)
                other[name] = whole.astype(frame[name].dtype) if not np.isnan(changed).any() else whole
            else:
                other[name] = pd.Series(changed, index=frame.index)
        return other

    def noise(stream: np.random.Generator) -> pd.DataFrame | None:
        return moved(
            stream, lambda values: stream.normal(0, 1, len(values)) * share["noise"] * np.nanstd(values)
        )

    def shift(stream: np.random.Generator) -> pd.DataFrame | None:
        return moved(
            stream,
            lambda values: (
                stream.uniform(-1, 1, len(values)) * share["shift"] * (np.nanmax(values) - np.nanmin(values))
            ),
        )

    def missing(stream: np.random.Generator) -> pd.DataFrame | None:
        other = frame.copy(deep=False)
        for name in predictor.features:
            other[name] = frame[name].mask(stream.random(len(frame)) < share["missing"])
        return other

    return {"noise": noise, "shift": shift, "missing": missing}


def _turned(
    inputs: CheckInput,
    name: str,
    disturb: Disturb,
    predictor: Predictor,
    frame: pd.DataFrame,
    before: Answers,
    differ: Callable[[Answers], Booleans],
) -> Booleans | None:
    turned = np.zeros(len(frame), dtype=bool)
    for repeat in range(int(inputs.parameters.get("repeats", REPEATS))):
        other = disturb(generator(inputs.seed, "robustness", name, str(repeat)))
        if other is None:
            return None
        turned |= differ(answers(predictor, other))
    return turned


def _groups(
    turned: Booleans, codes: npt.NDArray[np.int64], levels: tuple[str, ...], least: int
) -> tuple[dict[str, Booleans], dict[str, int]]:
    parts = {group: turned[codes == place] for place, group in enumerate(levels)}
    kept = {group: part for group, part in parts.items() if len(part) >= max(least, 1)}
    return kept, {group: len(part) for group, part in parts.items() if group not in kept and len(part)}


def _metric(
    name: str, turned: Booleans, level: float, attribute: str | None = None, group: str | None = None
) -> Metric:
    flipped, n = int(turned.sum()), len(turned)
    return Metric(
        name,
        flipped / n,
        attribute=attribute,
        group=group,
        interval=wilson(flipped, n, level),
        level=level,
        n=n,
        denominators={"flipped": flipped, "rows": n},
    )


def _row(
    attribute: str | None, group: str | None, name: str, turned: Booleans, level: float
) -> tuple[Any, ...]:
    flipped, n = int(turned.sum()), len(turned)
    low, high = wilson(flipped, n, level) or (None, None)
    return attribute, group, name, n, flipped, flipped / n, low, high


def _spread(
    name: str, attribute: str, parts: dict[str, Booleans], left_out: dict[str, int], seed: int, level: float
) -> Metric:
    metric = f"flip_rate_{name}_difference"
    rows = sum(len(part) for part in parts.values())
    counts = {"rows": rows, "groups": len(parts), "groups_excluded": len(left_out)}
    if len(parts) < 2:
        params = {"attribute": attribute, "groups": len(parts), "excluded": len(left_out)}
        few = Message("fewer_than_two_groups", params)
        return Metric(metric, None, attribute=attribute, n=rows, denominators=counts, undefined=few)
    rates = [float(part.mean()) for part in parts.values()]
    interval = _spread_interval(list(parts.values()), generator(seed, metric, attribute), level)
    return Metric(
        metric,
        max(rates) - min(rates),
        attribute=attribute,
        interval=interval,
        level=level,
        n=rows,
        denominators=counts,
    )


def _spread_interval(parts: list[Booleans], stream: np.random.Generator, level: float) -> tuple[float, float]:
    """Percentile interval of the spread of proportions, each group redrawn; it holds the figure itself. Groups are
    drawn in the order of their counts: what one is called moves no interval."""
    parts = sorted(parts, key=lambda part: (len(part), int(part.sum())))
    drawn = np.stack([stream.binomial(len(part), part.mean(), 10_000) / len(part) for part in parts])
    spread = drawn.max(axis=0) - drawn.min(axis=0)
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    value = max(float(part.mean()) for part in parts) - min(float(part.mean()) for part in parts)
    return min(float(low), value), max(float(high), value)
