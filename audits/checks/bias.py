"""Group disparity of a classifier's decisions: rates per group, their spread, and what one attribute alone changes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from audits.checks.bias_regression import regression
from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.counting import Counted, counted_rows
from audits.checks.cube import Cube
from audits.checks.disparity import (
    AGGREGATES,
    RATES,
    RESTS_ON,
    Counts,
    Disparity,
    bootstrap,
    from_counts,
    minimum_n,
    rate,
    selection_chi_square,
)
from audits.checks.group_calibration import calibration_within
from audits.checks.groups import JOIN, combined, without_rows
from audits.checks.intervals import benjamini_hochberg, holm, wilson
from audits.checks.materials import Materials
from audits.checks.one_vs_rest import OVR_COLUMNS, one_vs_rest

MIN_GROUP = 30
LEVEL = 0.95
REPLICATES = 10_000
MAX_GROUPS = 5_000
# minimum_n answers for the policy's limits where it is told them, else for these customary ones
LIMITS = {"_ratio": 0.80, "_difference": 0.10}
GROUP_COLUMNS = (
    "attribute",
    "group",
    "n",
    "positives",
    "negatives",
    "selection_rate",
    "selection_rate_low",
    "selection_rate_high",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
    "accuracy",
    "base_rate",
    "excluded",
)
GROUP_METRICS = (
    "selection_rate",
    "base_rate",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
    "precision",
    "negative_predictive_value",
    "accuracy",
)
NAMED_EXCLUSIONS = 20


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Decisions on the evaluation data, counted by sensitive group. Rates are relative to the favourable decision.

    parameters: sensitive (default: all declared), intersections (depth, default 1), min_group (rows, default 30),
    level (0.95), replicates (10,000), limits (metric → limit, for `minimum_n`). Metrics carry `attribute` "sex", or
    "sex×age" for an intersection. Raises CheckError where no figure could be trusted.
    """
    columns = columns_of(inputs, materials)
    if materials.semantics.task == "regression":
        return regression(inputs, materials, columns, min_group=_min_group(inputs), level=_level(inputs))
    return concluded(inputs, materials, columns, counted_rows(materials, columns))


def columns_of(inputs: CheckInput, materials: Materials) -> tuple[str, ...]:
    """The sensitive columns that are looked at. Raises CheckError."""
    semantics = materials.semantics
    columns = tuple(dict.fromkeys(inputs.parameters.get("sensitive") or semantics.sensitive_columns))
    if not columns:
        raise CheckError("no_sensitive_columns")
    if semantics.task != "regression" and semantics.favourable_label is None:
        raise CheckError("semantics_missing", field="favourable_label")
    return columns


def concluded(
    inputs: CheckInput, materials: Materials, columns: tuple[str, ...], counted: Counted
) -> CheckResult:
    """All figures, from the counts alone; of the materials only the model's classes are asked for."""
    parameters, min_group = inputs.parameters, _min_group(inputs)
    cube, predictor = counted.cube, materials.model()
    favourable_label = materials.semantics.favourable_label
    assert favourable_label is not None  # noqa: S101 (columns_of has seen to it)
    favourable = predictor.classes.index(favourable_label)

    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    tested: list[tuple[str, Counts]] = []
    by_class: list[tuple[Any, ...]] = []
    for depth in range(1, min(int(parameters.get("intersections", 1)), len(columns)) + 1):
        for names in combinations(columns, depth):
            attribute = JOIN.join(names)
            found = measure(cube, names, favourable, min_group)
            metrics += _aggregate_metrics(attribute, found, inputs)
            if depth == 1:
                metrics += _group_metrics(attribute, found, _level(inputs))
                notes += without_rows(attribute, cube.levels[cube.attributes.index(attribute)], found.groups)
            if len(predictor.classes) > 2:
                more, lines = one_vs_rest(cube, names, min_group, inputs, _level(inputs))
                metrics += more
                by_class += lines
            rows += _group_rows(attribute, found, _level(inputs))
            notes += _notes(attribute, found, inputs)
            tested.append((attribute, found.compared))
    flips, flip_notes = counted.flips.metrics()
    calibrated: tuple[tuple[Metric, ...], tuple[Table, ...]] = ((), ())
    if counted.calibration is not None:
        calibrated = calibration_within(
            counted.calibration,
            min_group=min_group,
            level=_level(inputs),
            seed=inputs.seed,
            replicates=int(parameters.get("replicates", REPLICATES)),
        )
    tables = (
        Table(
            "groups",
            GROUP_COLUMNS,
            tuple(rows),
            {
                "favourable_label": favourable_label,
                "min_group": min_group,
                "level": _level(inputs),
                "rows": cube.rows,
            },
        ),
        _tests(tested),
        *((Table("one_vs_rest", OVR_COLUMNS, tuple(by_class)),) if by_class else ()),
        *calibrated[1],
    )
    return CheckResult("completed", (*metrics, *flips, *calibrated[0]), tables, tuple(notes) + flip_notes)


def measure(cube: Cube, names: tuple[str, ...], favourable: int, min_group: int) -> Disparity:
    """Disparity over one attribute or intersection of the cube."""
    keys, table = cube.groups(names)
    if len(keys) > MAX_GROUPS:
        raise CheckError("too_many_groups", column=JOIN.join(names), count=len(keys), limit=MAX_GROUPS)
    return from_counts(tuple(combined(key) for key in keys), favourable_counts(table, favourable), min_group)


def favourable_counts(table: Counts, favourable: int) -> Counts:
    """(groups, truth, prediction) of any number of classes as tp, fp, fn, tn of the favourable one against the rest."""
    tp = table[:, favourable, favourable]
    fp = table[:, :, favourable].sum(axis=1) - tp
    fn = table[:, favourable, :].sum(axis=1) - tp
    return np.stack([tp, fp, fn, table.sum(axis=(1, 2)) - tp - fp - fn], axis=1)


def _min_group(inputs: CheckInput) -> int:
    return int(inputs.parameters.get("min_group", MIN_GROUP))


def _level(inputs: CheckInput) -> float:
    level = float(inputs.parameters.get("level", LEVEL))
    if not 0 < level < 1:
        raise CheckError("parameters_invalid", field="level", problem="0 < level < 1")
    return level


def _limit(name: str, inputs: CheckInput) -> float:
    told = inputs.parameters.get("limits") or {}
    return (
        float(told[name]) if name in told else LIMITS["_ratio" if name.endswith("_ratio") else "_difference"]
    )


def _aggregate_metrics(attribute: str, found: Disparity, inputs: CheckInput) -> Iterator[Metric]:
    level, compared = _level(inputs), found.compared
    intervals = bootstrap(
        compared,
        seed=inputs.seed,
        context=attribute,
        replicates=int(inputs.parameters.get("replicates", REPLICATES)),
        level=level,
    )
    total = int(compared.sum())
    counts = {
        "rows": total,
        "groups": len(compared),
        "groups_excluded": int((~found.included).sum()),
        "positives": int(compared[:, [0, 2]].sum()),
        "negatives": int(compared[:, [1, 3]].sum()),
        "smallest_group": int(compared.sum(axis=1).min(initial=total)),
    }
    for name in AGGREGATES:
        value = found.aggregates[name]
        yield Metric(
            name,
            value,
            attribute=attribute,
            interval=None if value is None else intervals[name],
            level=None if value is None or intervals[name] is None else level,
            n=total,
            denominators=counts,
            undefined=None if value is not None else _why_undefined(attribute, name, found),
            minimum_n=minimum_n(name, compared, _limit(name, inputs), level),
        )


def _why_undefined(attribute: str, name: str, found: Disparity) -> Message:
    able = min(len(found.compared) - len(found.without(part)) for part in RESTS_ON[name])
    if able < 2:
        code = "fewer_than_two_groups"
        return Message(
            code, {"attribute": attribute, "groups": able, "excluded": int((~found.included).sum())}
        )
    return Message("ratio_of_zeros", {"attribute": attribute, "metric": name})


def _group_metrics(attribute: str, found: Disparity, level: float) -> Iterator[Metric]:
    for name in GROUP_METRICS:
        values = rate(found.counts, name)
        top, bottom = RATES[name]
        for place, group in enumerate(found.groups):
            if not found.included[place]:
                continue
            successes = int(found.counts[place][list(top)].sum())
            n = int(found.counts[place][list(bottom)].sum())
            yield Metric(
                name,
                None if n == 0 else float(values[place]),
                attribute=attribute,
                group=group,
                interval=wilson(successes, n, level),
                level=None if n == 0 else level,
                n=n,
                denominators={"successes": successes, "rows": n},
                undefined=None if n else Message("rate_undefined", {"metric": name, "group": group}),
            )


def _group_rows(attribute: str, found: Disparity, level: float) -> Iterator[tuple[Any, ...]]:
    shown = {name: rate(found.counts, name) for name in GROUP_METRICS}
    for place, group in enumerate(found.groups):
        tp, fp, fn, tn = (int(value) for value in found.counts[place])
        n = tp + fp + fn + tn
        low, high = wilson(tp + fp, n, level) or (None, None)

        def cell(name: str, place: int = place) -> float | None:
            value = float(shown[name][place])
            return None if np.isnan(value) else value

        yield (
            attribute,
            group,
            n,
            tp + fn,
            fp + tn,
            cell("selection_rate"),
            low,
            high,
            cell("true_positive_rate"),
            cell("false_positive_rate"),
            cell("precision"),
            cell("accuracy"),
            cell("base_rate"),
            None if found.included[place] else "below_min_group",
        )


def _notes(attribute: str, found: Disparity, inputs: CheckInput) -> Iterator[Message]:
    excluded = np.flatnonzero(~found.included)
    minimum = _min_group(inputs)
    if len(excluded) > NAMED_EXCLUSIONS:
        rows = int(found.counts[excluded].sum())
        params = {"attribute": attribute, "groups": len(excluded), "rows": rows, "minimum": minimum}
        yield Message("groups_excluded", params)
    else:
        for place in excluded:
            tp, fp, fn, tn = (int(value) for value in found.counts[place])
            yield Message(
                "group_excluded",
                {
                    "attribute": attribute,
                    "group": found.groups[place],
                    "n": tp + fp + fn + tn,
                    "positives": tp + fn,
                    "negatives": fp + tn,
                    "minimum": minimum,
                },
            )
    for name in ("true_positive_rate", "false_positive_rate", "precision"):
        missing = found.without(name)
        if missing:
            shown = ", ".join(missing[:NAMED_EXCLUSIONS])
            yield Message("rate_left_out", {"attribute": attribute, "metric": name, "groups": shown})


def _tests(tested: list[tuple[str, Counts]]) -> Table:
    """Is the decision independent of the group? Pearson's test per attribute and intersection, Holm's and
    Benjamini and Hochberg's corrections over all."""
    from scipy.special import chdtrc  # lighter than scipy.stats

    known = [(attribute, found) for attribute, counts in tested if (found := selection_chi_square(counts))]
    p_values = [float(chdtrc(degrees, statistic)) for _, (statistic, degrees) in known]
    rows = tuple(
        (attribute, statistic, degrees, p_value, adjusted, discovery)
        for (attribute, (statistic, degrees)), p_value, adjusted, discovery in zip(
            known, p_values, holm(p_values), benjamini_hochberg(p_values), strict=True
        )
    )
    columns = ("attribute", "chi_square", "degrees", "p_value", "p_holm", "p_benjamini_hochberg")
    return Table("disparity_tests", columns, rows)
