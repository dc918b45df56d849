"""What a policy expects of columns, by pandera: in its short spelling here or as a serialised schema; and freshness.

Only counts leave pandera: its errors quote the values that broke a rule, and are never shown or stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
Counts = dict[tuple[str, str], int]
Kind = Callable[[pd.Series], str]


def violations(
    frame: pd.DataFrame, role: str, rules: dict[str, dict[str, Any]], kind: Kind, declared: dict[str, Any]
) -> tuple[Metric, list[tuple[Any, ...]], list[Message]]:
    """schema_violations: cells that break a rule, a column that is not there or of another type counting every row.

    `rules` is the short spelling {column: {type, min, max, values, missing, unique}}, `declared` a pandera schema as
    its to_json writes it. Raises CheckError `parameters_invalid` for a schema that pandera does not understand.
    """
    rows: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    n = len(frame)
    for schema in _schemas(rules, kind, declared):
        for (name, rule), broken in _counted(schema, frame).items():
            rows.append((role, name, rule, broken, n))
            if broken:
                about = {"role": role, "column": name, "rule": rule, "rows": broken}
                notes.append(Message("rule_broken", about))
    total = sum(row[3] for row in rows)
    metric = Metric(
        "schema_violations", float(total), group=role, n=n, denominators={"rules": len(rows), "rows": n}
    )
    return metric, rows, notes


def _schemas(rules: dict[str, dict[str, Any]], kind: Kind, declared: dict[str, Any]) -> Iterator[Any]:
    """Both as pandera's DataFrameSchema. Imported here: the web process lists checks without it."""
    import pandera.pandas as pandera
    from pandera.io.pandas_io import deserialize_schema

    if rules:
        columns = {name: pandera.Column(None, _checks(expected, kind), nullable="missing" not in expected)
                   for name, expected in rules.items()}  # fmt: skip
        yield pandera.DataFrameSchema(columns)
    if declared:
        try:
            schema = deserialize_schema(declared)  # type: ignore[no-untyped-call]
        except Exception as problem:  # its own errors, and those of the arguments of a check
            raise CheckError(
                "parameters_invalid", field="pandera", problem=f"{type(problem).__name__}: {problem}"[:300]
            ) from None
        yield schema


def _checks(expected: dict[str, Any], kind: Kind) -> list[Any]:
    """The short spelling. Labels are compared as everywhere here: 1, 1.0 and "1" are one."""
    import pandera.pandas as pandera

    found = []
    if "type" in expected:
        found.append(
            pandera.Check(
                lambda cells: kind(cells) in (expected["type"], "empty"), name="type", ignore_na=False
            )
        )
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
    if "unique" in expected:
        found.append(pandera.Check(lambda cells: ~cells.duplicated(), name="unique"))
    return found


def _counted(schema: Any, frame: pd.DataFrame) -> Counts:
    """How many rows break each rule of the schema; rules that nothing breaks with 0."""
    from pandera.errors import SchemaErrors

    found: Counts = {}
    for name, column in schema.columns.items():
        if name not in frame.columns:
            if column.required:
                found[name, "present"] = len(frame)
            continue
        given = {"type": column.dtype is not None, "missing": not column.nullable, "unique": column.unique}
        found |= {(name, rule): 0 for rule, there in given.items() if there}
        for check in column.checks:
            found[name, check.name] = 0
            check.n_failure_cases = 1  # else it writes a text with every value that failed
    together = list(schema.unique or ())
    if together:
        found[", ".join(together), "unique"] = 0
        # of a column that is not there pandera would say nothing
        found |= {(name, "present"): len(frame) for name in together if name not in frame.columns}
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            at, broken = _broken(error, frame, schema)
            # a cell that cannot be read as its type is told of twice: as it is read, and as what it stayed
            found[at] = max(found.get(at, 0), broken)
    return found


def _broken(error: Any, frame: pd.DataFrame, schema: Any) -> tuple[tuple[str, str], int]:
    """One of pandera's errors: which column breaks which rule, and in how many rows."""
    name, cases, whole = str(error.schema.name), error.failure_cases, len(frame)
    reason = error.reason_code.name
    if reason == "DATAFRAME_CHECK":
        output = error.check_output
        return (name, error.check.name), int((~output).sum()) if isinstance(output, pd.Series) else whole
    if reason == "CHECK_ERROR":  # a number asked of a text
        return (name, error.check.name), int(frame[name].notna().sum())
    if reason == "SERIES_CONTAINS_NULLS":
        return (name, "missing"), int(frame[name].isna().sum())
    if reason == "SERIES_CONTAINS_DUPLICATES":
        return (name, "unique"), len(cases)
    if reason in ("WRONG_DATATYPE", "DATATYPE_COERCION"):
        # where cells are to be read as the type, those count that cannot be; else the column as it is
        read = schema.coerce or schema.columns[name].coerce
        return (name, "type"), len(cases) if read and isinstance(cases, pd.DataFrame) else whole
    if reason == "DUPLICATES":
        return (", ".join(schema.unique), "unique"), int(cases["index"].nunique())
    if reason == "COLUMN_NOT_IN_DATAFRAME":
        return (str(cases), "present"), whole
    if reason in ("COLUMN_NOT_IN_SCHEMA", "COLUMN_NOT_ORDERED"):
        return (str(cases), "unexpected" if reason == "COLUMN_NOT_IN_SCHEMA" else "ordered"), whole
    raise CheckError("parameters_invalid", field="pandera", problem=reason)


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
