"""What a policy expects of columns, by pandera: in its short spelling here or as a serialised schema; and freshness.

Only counts leave pandera: its errors quote the values that broke a rule, and are never shown or stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
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


def expected_of(parameters: Mapping[str, Any]) -> bool:
    """Whether the policy expects anything of columns."""
    return bool(parameters.get("schema") or parameters.get("pandera"))


def broken_in(frame: pd.DataFrame, parameters: Mapping[str, Any], kinds: Mapping[str, str]) -> Broken:
    """Cells of these rows that break a rule. `kinds`: of the columns that are there, over all rows.

    `parameters`: schema, the short spelling {column: {type, min, max, values, missing, unique}}, and pandera, a schema
    as its to_json writes it. Adds up over parts of the rows, but for `unique`: that is `repeated` and told as 0 here.
    Raises CheckError `parameters_invalid` for a schema that pandera does not understand.
    """
    found: Broken = {}
    for schema in _schemas(parameters, kinds):
        for (name, rule), cells in _counted(schema, frame).items():
            rules = found.setdefault(name, {})
            rules[rule] = max(rules.get(rule, 0), cells)
    return found


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


def _schemas(parameters: Mapping[str, Any], kinds: Mapping[str, str]) -> Iterator[Any]:
    """Both as pandera's DataFrameSchema. Imported here: the web process lists checks without it."""
    import pandera.pandas as pandera
    from pandera.io.pandas_io import deserialize_schema

    if rules := parameters.get("schema"):
        columns = {
            name: pandera.Column(
                None, _checks(rule, kinds.get(name)), nullable="missing" not in rule, unique="unique" in rule
            )
            for name, rule in rules.items()
        }
        yield pandera.DataFrameSchema(columns)
    if declared := parameters.get("pandera"):
        try:
            schema = deserialize_schema(deepcopy(declared))  # type: ignore[no-untyped-call]  # it takes it apart
        except Exception as problem:  # its own errors, and those of the arguments of a check
            raise CheckError(
                "parameters_invalid", field="pandera", problem=f"{type(problem).__name__}: {problem}"[:300]
            ) from None
        yield schema


def _checks(expected: dict[str, Any], kind: str | None) -> list[Any]:
    """The short spelling. Labels are compared as everywhere here: 1, 1.0 and "1" are one."""
    import pandera.pandas as pandera

    found = []
    if "type" in expected:
        fits = kind in (expected["type"], "empty")
        found.append(pandera.Check(lambda cells: fits, name="type", ignore_na=False))
    if "min" in expected:
        found.append(pandera.Check.ge(expected["min"], name="min"))
    if "max" in expected:
        found.append(pandera.Check.le(expected["max"], name="max"))
    if "values" in expected:
        allowed = {canonical(value) for value in expected["values"]}

        def known(cells: pd.Series) -> pd.Series:
            codes, levels = canonical_column(cells)
            inside = [place for place, level in enumerate(levels) if level in allowed]
            return pd.Series(np.isin(codes, inside), index=cells.index)

        found.append(pandera.Check(known, name="values"))
    return found


def _counted(schema: Any, frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    """How many of these rows break each rule of the schema; rules that nothing breaks with 0."""
    from pandera.errors import SchemaErrors

    found: dict[tuple[str, str], int] = {}
    for name, column in schema.columns.items():
        if name not in frame.columns:
            if column.required:
                found[name, "present"] = len(frame)
            continue
        given = {"type": column.dtype is not None, "missing": not column.nullable, "unique": column.unique}
        found |= {(name, rule): 0 for rule, there in given.items() if there}
        column.unique = False  # what comes twice is counted over all rows
        for check in column.checks:
            found[name, check.name] = 0
            check.n_failure_cases = 1  # else it writes a text with every value that failed
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            at, cells = _told(error, frame)
            found[at] = max(found.get(at, 0), cells)  # two checks of one name: the worse
    return found


def _told(error: Any, frame: pd.DataFrame) -> tuple[tuple[str, str], int]:
    """One of pandera's errors: which column breaks which rule, and in how many rows."""
    name, whole = str(error.schema.name), len(frame)
    reason = error.reason_code.name
    if reason == "DATAFRAME_CHECK":
        output = error.check_output
        return (name, error.check.name), int((~output).sum()) if isinstance(output, pd.Series) else whole
    if reason == "CHECK_ERROR":  # a number asked of a text
        return (name, error.check.name), int(frame[name].notna().sum())
    if reason == "SERIES_CONTAINS_NULLS":
        return (name, "missing"), int(frame[name].isna().sum())
    if reason == "WRONG_DATATYPE":
        return (name, "type"), whole
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        return (str(error.failure_cases), "present"), whole
    if reason in ("COLUMN_NOT_IN_SCHEMA", "COLUMN_NOT_ORDERED"):
        rule = "unexpected" if reason == "COLUMN_NOT_IN_SCHEMA" else "ordered"
        return (str(error.failure_cases), rule), whole
    raise CheckError("parameters_invalid", field="pandera", problem=reason)


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
