"""What a policy expects of single columns: type, range, allowed values, nothing missing, nothing twice; and freshness.

Written here and not with pandera: the five rules below are forty lines, pandera would bring pydantic and typeguard into
the confined child and word the outcome in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
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


Broken = dict[str, dict[str, int]]  # {column: {rule: cells}}


def broken_in(frame: pd.DataFrame, rules: dict[str, dict[str, Any]], kinds: Mapping[str, str]) -> Broken:
    """Cells of these rows that break a rule. `kinds`: of the columns that are there, over all rows.

    Adds up over parts of the rows, but for `unique`: that is `repeated` and told as 0 here.
    """
    return {name: _broken(frame, name, expected, kinds.get(name)) for name, expected in rules.items()}


def violations(
    role: str, found: Broken, n: int, repeated: Mapping[str, int]
) -> tuple[Metric, list[tuple[Any, ...]], list[Message]]:
    """schema_violations: cells that break a rule, a column that is not there or of another type counting every row.

    `found`: of `broken_in`, over all `n` rows. `repeated`: cells of a column that repeat an earlier one.
    """
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for name, rules in found.items():
        for rule, counted in rules.items():
            broken = repeated[name] if rule == "unique" else counted
            rows.append((role, name, rule, broken, n))
            if broken:
                about = {"role": role, "column": name, "rule": rule, "rows": broken}
                notes.append(Message("rule_broken", about))
    total = sum(row[3] for row in rows)
    metric = Metric(
        "schema_violations", float(total), group=role, n=n, denominators={"rules": len(rows), "rows": n}
    )
    return metric, rows, notes


def _broken(frame: pd.DataFrame, name: str, expected: dict[str, Any], kind: str | None) -> dict[str, int]:
    if name not in frame.columns:
        return {"present": len(frame)}
    column = frame[name]
    found: dict[str, int] = {}
    if "type" in expected:
        found["type"] = 0 if kind in (expected["type"], "empty") else len(frame)
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
        found["unique"] = 0
    return found


def day_of(as_of: str) -> date:
    """Raises CheckError `parameters_invalid` for a day that is none."""
    try:
        return date.fromisoformat(as_of)
    except ValueError:
        raise CheckError("parameters_invalid", field="as_of", problem="a day such as 2026-03-31") from None


def newest_in(materials: Materials, role: str, column: str) -> dict[str, int | None]:
    """{newest, unreadable}: the last moment (ns since 1970) of these rows, or how many of them tell none; None and 0
    where the times are plain numbers."""
    if pd.api.types.is_numeric_dtype(materials.column(role, column, "time_column").dtype):
        return {"newest": None, "unreadable": 0}
    try:
        return {"newest": int(moments(materials, role, column).max()), "unreadable": 0}
    except CheckError as error:
        return {"newest": None, "unreadable": int(error.message.params["rows"])}


def age_in_days(column: str, role: str, newest: int | None, rows: int, as_of: str) -> Metric:
    """data_age_days: from the newest row to `as_of` (a day, ISO 8601, told by whoever orders the check: no clock here).

    Undefined where the times are plain numbers (`newest` is None) or later than that day.
    """
    if newest is None:
        why = Message("time_is_a_number", {"column": column, "role": role})
        return Metric("data_age_days", None, group=role, undefined=why)
    age = (day_of(as_of) - date(1970, 1, 1)).days - newest // DAY
    if age < 0:
        why = Message("newest_row_in_the_future", {"column": column, "role": role, "as_of": as_of})
        return Metric("data_age_days", None, group=role, undefined=why)
    return Metric("data_age_days", float(age), group=role, n=rows, denominators={"rows": rows})
