"""What data.quality counts of a data set: of stretches of its rows, of whole columns, of rows that come twice.

Everything is whole numbers, extremes and sets of keys that do not overlap, so who counts which share, and in which
order they are put together, changes no byte of the result. One pass counts the same shares one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from audits.checks import cell_keys, streams
from audits.checks.associations import of_ranks, with_classes
from audits.checks.contract import CheckInput
from audits.checks.expectations import broken_in, newest_in
from audits.checks.labels import canonical_column
from audits.checks.materials import MAX_LABELS, Materials
from audits.checks.rows import Rows
from audits.checks.semantics import Semantics

ROLES = ("training", "evaluation")
GROUPS = 16  # of columns, at most: each is a share
KEPT_LABELS = 10 * MAX_LABELS
Json = dict[str, Any]


def surveyed(inputs: CheckInput, materials: Materials) -> Json:
    """Per role what has to be known of all rows first: {columns, rows, gaps, kinds, labels}.

    `labels`: {names, counts} of the target's, or how many there are (`number`); None for a regression.
    """
    return {role: _survey(Rows(materials, role), materials.semantics) for role in ROLES}


def _survey(rows: Rows, semantics: Semantics) -> Json:
    rows.require(semantics.target)
    return {
        "columns": list(rows.columns),
        "rows": rows.count,
        "gaps": sorted(rows.gaps),
        "kinds": _kinds(rows),
        "labels": None if semantics.task == "regression" else _labels(rows, semantics.target),
    }


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


def _kinds(rows: Rows) -> dict[str, str]:
    found = dict.fromkeys(rows.columns, "empty")
    left = list(rows.columns)
    while left:  # most are told by the first chunk; the rest are looked for without them
        for place, frame in enumerate(rows.chunks(left)):
            here = {name: kind(frame[name]) for name in left}
            found |= {name: told for name, told in here.items() if told != "empty"}
            more = [name for name in left if found[name] == "empty"]
            if not more or (place == 0 and len(more) < len(left)):
                left = more
                break
        else:
            return found
    return found


def _labels(rows: Rows, target: str) -> Json:
    counts: dict[str, int] = {}
    for frame in rows.chunks((target,)):
        codes, levels = canonical_column(frame[target])
        here = np.bincount(codes[codes >= 0], minlength=len(levels)).tolist()
        for level, n in zip(levels, here, strict=True):
            counts[level] = counts.get(level, 0) + n
        if len(counts) > KEPT_LABELS:
            return {"number": _number_of_levels(rows, target)}
    return {"names": sorted(counts), "counts": [counts[name] for name in sorted(counts)]}


def _number_of_levels(rows: Rows, target: str) -> int:
    def keys() -> Iterable[cell_keys.Keys]:
        for frame in rows.chunks((target,)):
            yield cell_keys.of_column(pd.Series(canonical_column(frame[target])[1], dtype=object))

    return streams.distinct(keys, rows.count)


def classes_of(labels: Json | None) -> tuple[str, ...]:
    """The classes that columns are compared with; none where there are too few or too many."""
    names = tuple((labels or {}).get("names", ()))
    return names if 2 <= len(names) <= MAX_LABELS else ()


# Shares of the work: {role, rows, first, last, columns, bucket, buckets}


def shares_of(survey: Json, role: str, spans: list[Json]) -> list[Json]:
    """What there is to count of a data set: stretches of rows, groups of columns, buckets of the keys of rows; without
    `spans` all of it by one worker."""
    about = survey[role]
    buckets = -(-about["rows"] // streams.LIMIT)
    empty: Json = {"role": role, "rows": 0, "first": None, "last": None, "columns": [], "bucket": None}
    if not spans:  # short, or read at once: by one worker
        return [{**empty, "rows": about["rows"], "columns": about["columns"], "bucket": [0, 1]}]
    size = -(-len(about["columns"]) // GROUPS)
    groups = [about["columns"][at : at + size] for at in range(0, len(about["columns"]), size)]
    return [
        *({**empty, **span} for span in spans),
        *({**empty, "columns": names} for names in groups),
        *({**empty, "bucket": [place, buckets]} for place in range(buckets)),
    ]


def counted(inputs: CheckInput, materials: Materials, survey: Json, share: Json) -> Json:
    """{role, tally, columns, bucket, different} of one share."""
    role, about = share["role"], survey[share["role"]]
    rows = Rows(materials, role, about["gaps"])
    if (list(rows.columns), rows.count) != (about["columns"], about["rows"]):
        raise ValueError("not what was surveyed")
    return {
        "role": role,
        "tally": _tally(inputs, materials, rows, about, share) if share["rows"] else None,
        "columns": {name: _column(materials.semantics, rows, about, name) for name in share["columns"]},
        "bucket": share["bucket"],
        "different": _different_rows(rows, *share["bucket"]) if share["bucket"] else None,
    }


def _tally(inputs: CheckInput, materials: Materials, rows: Rows, about: Json, share: Json) -> Json:
    found = new_tally(about["columns"])
    semantics = materials.semantics
    span = None if share["first"] is None else range(share["first"], share["last"])
    for frame in rows.chunks(span=span):
        part: Json = {
            "rows": len(frame),
            "missing": {name: int(frame[name].isna().sum()) for name in frame.columns},
            "infinite": {name: _infinite(frame[name]) for name in frame.columns},
            "range": {
                name: _range(frame[name])
                for name in frame.columns
                if about["kinds"][name] == "number" and name not in semantics.sensitive_columns
            },
            "broken": broken_in(frame, inputs.parameters, about["kinds"]),
            "newest": None,
            "unreadable": 0,
        }
        if inputs.parameters.get("as_of") is not None and semantics.time_column is not None:
            part |= newest_in(materials.part(rows.role, frame), rows.role, semantics.time_column)
        add(found, part)
    if found["rows"] != share["rows"]:
        raise ValueError("rows")
    return found


def new_tally(columns: Iterable[str]) -> Json:
    names = list(columns)
    zero = dict.fromkeys(names, 0)
    return {
        "rows": 0,
        "missing": dict(zero),
        "infinite": dict(zero),
        "range": {},
        "broken": {},
        "newest": None,
        "unreadable": 0,
    }


def add(to: Json, other: Json) -> None:
    """Put the tally of other rows to `to`. KeyError, ValueError for one that cannot be of the same question."""
    for name in ("rows", "unreadable"):
        to[name] += _whole(other[name])
    for name in ("missing", "infinite"):
        if set(other[name]) != set(to[name]):
            raise ValueError(name)
        for column, n in other[name].items():
            to[name][column] += _whole(n)
    for column, ends in other["range"].items():
        to["range"][column] = _ends(to["range"].get(column), ends)
    for column, rules in other["broken"].items():
        mine = to["broken"].setdefault(column, dict.fromkeys(rules, 0))
        if set(mine) != set(rules):
            raise ValueError("broken")
        for rule, n in rules.items():
            mine[rule] += _whole(n)
    if other["newest"] is not None:
        to["newest"] = max(other["newest"], other["newest"] if to["newest"] is None else to["newest"])


def _ends(mine: list[float] | None, other: list[float] | None) -> list[float] | None:
    if mine is None or other is None:
        return mine if other is None else other
    return [min(mine[0], other[0]), max(mine[1], other[1])]


def _whole(n: Any) -> int:
    if type(n) is not int or n < 0:
        raise ValueError("not a count")
    return n


def _infinite(column: pd.Series) -> int:
    if not pd.api.types.is_float_dtype(column.dtype):
        return 0
    return int(np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).sum())


def _range(column: pd.Series) -> list[float] | None:
    """[lowest, highest] of the finite numbers."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    finite = values[np.isfinite(values)]
    return [float(finite.min()), float(finite.max())] if finite.size else None


def _column(semantics: Semantics, rows: Rows, about: Json, name: str) -> Json:
    """{distinct, association}: how many values differ, and [strength, rows] beside the target."""

    def keys() -> Iterable[cell_keys.Keys]:
        for frame in rows.chunks((name,)):
            yield cell_keys.of_column(frame[name])[frame[name].notna().to_numpy()]

    target, classes = semantics.target, classes_of(about["labels"])
    association: tuple[float | None, int] | None = None
    if name not in (target, semantics.entity_key, semantics.time_column):
        number = about["kinds"][name] == "number"
        if semantics.task == "regression":
            both = number and about["kinds"][target] == "number"
            association = of_ranks(rows, name, target) if both else (None, 0)
        elif classes:
            association = with_classes(rows, name, target, classes, number=number)
    return {
        "distinct": streams.distinct(keys, rows.count),
        "association": None if association is None else list(association),
    }


def _different_rows(rows: Rows, bucket: int, buckets: int) -> int:
    """How many different keys rows have in this stretch of all keys."""
    low, high = (streams.ALL * place // buckets for place in (bucket, bucket + 1))
    return streams.distinct(
        lambda: (cell_keys.of_rows(frame) for frame in rows.chunks()), rows.count, low, high
    )
