"""Data quality of the training and evaluation data: what is missing, repeated, constant or out of step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from audits.checks.associations import Association, associations
from audits.checks.contract import CheckInput, CheckResult, Message, Metric, Table
from audits.checks.expectations import COLUMNS as RULE_COLUMNS
from audits.checks.expectations import age_in_days, violations
from audits.checks.intervals import wilson
from audits.checks.labels import canonical_column, listed
from audits.checks.materials import MAX_LABELS, Materials

ROLES = ("training", "evaluation")
LEVEL = 0.95
NAMED = 20
NEAR = 0.95  # association with the target from which a column is named


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Both data sets, each metric with the data set's role as its `group`; `schema_mismatches` compares the two.

    missing_ratio is over all cells; missing_ratio_worst_column over the rows of the worst column. Exact figures of
    the files as they are, hence no intervals, except for the share of the rarest class.
    parameters: schema {column: rules} and pandera (a serialised schema), as `expectations` has them; as_of, the day
    that data_age_days counts to.
    """
    metrics: list[Metric] = []
    notes: list[Message] = []
    rows: list[tuple[Any, ...]] = []
    expected: list[tuple[Any, ...]] = []
    rules, as_of = inputs.parameters.get("schema") or {}, inputs.parameters.get("as_of")
    declared = inputs.parameters.get("pandera") or {}
    for role in ROLES:
        frame = materials.frame(role)
        metrics += _measures(frame, role)
        metrics.append(_minority(materials, role))
        close = associations(materials, role)
        metrics.append(_strongest(materials, role, close))
        notes += [
            Message("column_near_target", {"role": role, "column": name, "value": round(value, 4)})
            for value, name, _ in close[:NAMED]
            if value >= NEAR
        ]
        notes += _findings(frame, role)
        if rules or declared:
            broken, lines, more = violations(frame, role, rules, kind, declared)
            metrics.append(broken)
            expected += lines
            notes += more[:NAMED]
        if as_of is not None and materials.semantics.time_column is not None:
            metrics.append(age_in_days(materials, role, as_of))
        rows += _columns(frame, role, materials.semantics.sensitive_columns)
    mismatches = _mismatches(materials.frame("training"), materials.frame("evaluation"))
    columns = {*materials.frame("training").columns, *materials.frame("evaluation").columns}
    counts = {"columns": len(columns)}
    metrics.append(Metric("schema_mismatches", float(len(mismatches)), denominators=counts))
    notes += mismatches
    header = ("dataset", "column", "type", "missing", "distinct", "minimum", "maximum")
    tables = [Table("columns", header, tuple(rows))]
    if rules or declared:
        tables.append(Table("schema", RULE_COLUMNS, tuple(expected)))
    return CheckResult("completed", tuple(metrics), tuple(tables), tuple(notes))


def _strongest(materials: Materials, role: str, found: list[Association]) -> Metric:
    """strongest_target_association: Cramér's V (rank correlation for a regression) of the column closest to the target.

    Near 1, a column may hold the answer.
    """
    name, target = "strongest_target_association", materials.semantics.target
    if not found:
        why = Message("nothing_to_associate", {"column": target, "role": role})
        return Metric(name, None, group=role, undefined=why)
    value, _, n = found[0]
    return Metric(name, value, group=role, n=n, denominators={"rows": n, "columns": len(found)})


def _measures(frame: pd.DataFrame, role: str) -> list[Metric]:
    rows, cells = len(frame), int(frame.size)
    missing = frame.isna().sum()
    duplicates = int(frame.duplicated().sum())
    constant = _constant(frame)
    infinite = sum(_infinite(frame[name]) for name in frame.columns)

    def metric(name: str, value: float, **counts: int) -> Metric:
        return Metric(name, value, group=role, n=rows, denominators=counts)

    return [
        metric("rows", float(rows)),
        metric("missing_ratio", int(missing.sum()) / cells, missing=int(missing.sum()), cells=cells),
        metric(
            "missing_ratio_worst_column", int(missing.max()) / rows, missing=int(missing.max()), rows=rows
        ),
        metric("duplicate_ratio", duplicates / rows, duplicates=duplicates, rows=rows),
        metric("constant_columns", float(len(constant)), columns=frame.shape[1]),
        metric("infinite_cells", float(infinite), cells=cells),
    ]


def _constant(frame: pd.DataFrame) -> list[str]:
    """Columns with at most one distinct value; a column with nothing in it is one of them."""
    return [name for name in frame.columns if frame[name].nunique(dropna=True) <= 1]


def _infinite(column: pd.Series) -> int:
    if not pd.api.types.is_float_dtype(column.dtype):
        return 0
    return int(np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).sum())


def _minority(materials: Materials, role: str) -> Metric:
    """Share of the rarest class among rows with a known target; undefined where that means nothing."""
    name, target = "minority_class_ratio", materials.semantics.target

    def undefined(code: str, **params: Any) -> Metric:
        return Metric(
            name, None, group=role, undefined=Message(code, {"role": role, "column": target, **params})
        )

    column = materials.column(role, target, "target")
    if materials.semantics.task == "regression":
        return undefined("target_is_a_number")
    codes, levels = canonical_column(column)
    known = codes[codes >= 0]
    if len(levels) < 2:
        return undefined("target_single_class", count=len(levels))
    if len(levels) > MAX_LABELS:
        return undefined("target_not_categorical", count=len(levels))
    smallest = int(np.bincount(known, minlength=len(levels)).min())
    return Metric(
        name,
        smallest / len(known),
        group=role,
        interval=wilson(smallest, len(known), LEVEL),
        level=LEVEL,
        n=len(known),
        denominators={"smallest_class": smallest, "rows": len(known), "classes": len(levels)},
    )


def _findings(frame: pd.DataFrame, role: str) -> list[Message]:
    notes = []
    empty = [name for name in frame.columns if bool(frame[name].isna().all())]
    constant = [name for name in _constant(frame) if name not in empty]
    infinite = [name for name in frame.columns if _infinite(frame[name])]
    for code, names in (
        ("columns_all_missing", empty),
        ("columns_constant", constant),
        ("columns_infinite", infinite),
    ):
        if names:
            notes.append(Message(code, {"role": role, "columns": listed(names)}))
    return notes


def kind(column: pd.Series) -> str:
    """number, boolean, date, text or empty: what two files must agree on, not how they store it."""
    if bool(column.isna().all()):
        return "empty"
    if pd.api.types.is_bool_dtype(column.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    return "text"


def _mismatches(training: pd.DataFrame, evaluation: pd.DataFrame) -> list[Message]:
    """One message per column that is in only one of the two, or of another kind there."""
    found = []
    for name in sorted({*training.columns, *evaluation.columns}):
        if name not in evaluation.columns:
            found.append(Message("column_only_in", {"column": name, "role": "training"}))
        elif name not in training.columns:
            found.append(Message("column_only_in", {"column": name, "role": "evaluation"}))
        else:
            kinds = kind(training[name]), kind(evaluation[name])
            if kinds[0] != kinds[1]:
                params = {"column": name, "training": kinds[0], "evaluation": kinds[1]}
                found.append(Message("column_kind_differs", params))
    return found


def _columns(frame: pd.DataFrame, role: str, sensitive: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Per column; the range only of plain numbers: an extreme of a sensitive column may be one person."""
    rows: list[tuple[Any, ...]] = []
    for name in frame.columns:
        column = frame[name]
        low = high = None
        if kind(column) == "number" and name not in sensitive:
            values = column.to_numpy(dtype=float, na_value=np.nan)
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = float(finite.min()), float(finite.max())
        distinct = int(column.nunique(dropna=True))
        rows.append((role, name, kind(column), int(column.isna().sum()), distinct, low, high))
    return rows
