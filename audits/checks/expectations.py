"""What a policy expects of single columns: type, range, allowed values, nothing missing, nothing twice; and freshness.

Written here and not with pandera: the five rules below are forty lines, pandera would bring pydantic and typeguard into
the confined child and word the outcome in its own way.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from audits.checks.concept_drift import moments
from audits.checks.contract import CheckError, Message, Metric
from audits.checks.labels import canonical, canonical_column
from audits.checks.materials import Materials

COLUMNS = ("dataset", "column", "rule", "violations", "rows")
DAY = 86_400_000_000_000  # nanoseconds


def violations(
    frame: pd.DataFrame, role: str, rules: dict[str, dict[str, Any]], kind: Any
) -> tuple[Metric, list[tuple[Any, ...]], list[Message]]:
    """schema_violations: cells that break a rule, a column that is not there or of another type counting every row."""
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    n = len(frame)
    for name, expected in rules.items():
        for rule, broken in _broken(frame, name, expected, kind).items():
            rows.append((role, name, rule, broken, n))
            if broken:
                about = {"role": role, "column": name, "rule": rule, "rows": broken}
                notes.append(Message("rule_broken", about))
    total = sum(row[3] for row in rows)
    metric = Metric(
        "schema_violations", float(total), group=role, n=n, denominators={"rules": len(rows), "rows": n}
    )
    return metric, rows, notes


def _broken(frame: pd.DataFrame, name: str, expected: dict[str, Any], kind: Any) -> dict[str, int]:
    if name not in frame.columns:
        return {"present": len(frame)}
    column = frame[name]
    found: dict[str, int] = {}
    if "type" in expected:
        found["type"] = 0 if kind(column) in (expected["type"], "empty") else len(frame)
    ends = {end: float(expected[end]) for end in ("min", "max") if end in expected}
    if ends:
        if not pd.api.types.is_numeric_dtype(column.dtype):
            found |= dict.fromkeys(ends, int(column.notna().sum()))
        else:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if "min" in ends:
                found["min"] = int((values < ends["min"]).sum())
            if "max" in ends:
                found["max"] = int((values > ends["max"]).sum())
    if "values" in expected:
        allowed = {canonical(value) for value in expected["values"]}
        codes, levels = canonical_column(column)
        outside = [place for place, level in enumerate(levels) if level not in allowed]
        found["values"] = int(np.isin(codes, outside).sum())
    if "missing" in expected:
        found["missing"] = int(column.isna().sum())
    if "unique" in expected:
        found["unique"] = int(column.dropna().duplicated().sum())
    return found


def age_in_days(materials: Materials, role: str, as_of: str) -> Metric:
    """data_age_days: from the newest row to `as_of` (a day, ISO 8601, told by whoever orders the check: no clock here).

    Raises CheckError `parameters_invalid` for a day that is none, `time_unreadable` naming the time column; undefined
    where the times are plain numbers or later than that day.
    """
    column = materials.semantics.time_column
    assert column is not None  # noqa: S101 (the caller has looked)
    try:
        day = date.fromisoformat(as_of)
    except ValueError:
        raise CheckError("parameters_invalid", field="as_of", problem="a day such as 2026-03-31") from None
    values = materials.column(role, column, "time_column")
    if pd.api.types.is_numeric_dtype(values.dtype):
        why = Message("time_is_a_number", {"column": column, "role": role})
        return Metric("data_age_days", None, group=role, undefined=why)
    newest = int(moments(materials, role, column).max())
    end = (day - date(1970, 1, 1)).days
    age = end - newest // DAY
    if age < 0:
        why = Message("newest_row_in_the_future", {"column": column, "role": role, "as_of": as_of})
        return Metric("data_age_days", None, group=role, undefined=why)
    return Metric("data_age_days", float(age), group=role, n=len(values), denominators={"rows": len(values)})
