"""Turning a sensitive column into groups: categories as they are, numbers by declared edges, the rest "unknown"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError, Message
from audits.checks.cube import Grouping
from audits.checks.labels import canonical_column
from audits.checks.materials import Materials

UNKNOWN = "unknown"
JOIN = "×"
QUOTE = '"'
MAX_NUMERIC_LEVELS = 50
MAX_LEVELS = 1000
MAX_JOINED = 5000


def grouping(column: pd.Series, name: str, bins: tuple[float, ...]) -> Grouping:
    """A code per row and the group names in order; a missing value belongs to the group "unknown".

    Raises CheckError naming the column: `sensitive_not_numeric`, `sensitive_needs_bins`, `too_many_groups`,
    `column_not_finite`, `sensitive_all_missing`.
    """
    if bool(column.isna().all()):
        raise CheckError("sensitive_all_missing", column=name)
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if bins:
        if not numeric:
            raise CheckError("sensitive_not_numeric", column=name)
        return _binned(column, name, bins)
    codes, levels = canonical_column(column)
    if numeric and len(levels) > MAX_NUMERIC_LEVELS:
        raise CheckError("sensitive_needs_bins", column=name, count=len(levels), limit=MAX_NUMERIC_LEVELS)
    if len(levels) > MAX_LEVELS:
        raise CheckError("too_many_groups", column=name, count=len(levels), limit=MAX_LEVELS)
    if numeric:  # in number order, not 1, 10, 2
        order = sorted(range(len(levels)), key=lambda place: float(levels[place]))
        rank = np.empty(len(levels) + 1, dtype=np.int64)
        rank[order] = np.arange(len(levels))
        rank[-1] = -1
        codes, levels = rank[codes], tuple(levels[place] for place in order)
    if (codes < 0).any():
        if UNKNOWN not in levels:
            levels = (*levels, UNKNOWN)
        codes = np.where(codes < 0, levels.index(UNKNOWN), codes)
    return codes, levels


def _binned(column: pd.Series, name: str, bins: tuple[float, ...]) -> Grouping:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise CheckError("column_not_finite", column=name)
    codes = np.searchsorted(np.array(bins), values, side="right").astype(np.int64)
    levels = bin_labels(bins)
    missing = np.isnan(values)
    if missing.any():
        codes[missing] = len(levels)
        levels = (*levels, UNKNOWN)
    return codes, levels


def bin_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Names of the half-open bins between ascending edges: [50, 65] → "<50", "50-64", "≥65"."""
    whole = all(edge == int(edge) for edge in edges)
    shown = [str(int(edge)) if edge == int(edge) else repr(edge) for edge in edges]
    inner = []
    for place in range(len(edges) - 1):
        if whole:
            last = str(int(edges[place + 1]) - 1)
            inner.append(shown[place] if shown[place] == last else f"{shown[place]}-{last}")
        else:
            inner.append(f"[{shown[place]}, {shown[place + 1]})")
    return (f"<{shown[0]}", *inner, f"≥{shown[-1]}")


def without_rows(attribute: str, levels: tuple[str, ...], seen: Iterable[str]) -> Iterator[Message]:
    """A note for each declared bin that nobody is in: the check says nothing about that group."""
    there = set(seen)
    for level in levels:
        if level not in there:
            yield Message("group_without_rows", {"attribute": attribute, "group": level})


def combined(names: Sequence[str]) -> str:
    """The name of a group of several columns: "f×50-64". A level that holds the sign itself is quoted, as in a CSV:
    two groups never share a name."""
    shown = [
        f'"{name.replace(QUOTE, QUOTE * 2)}"' if JOIN in name or QUOTE in name else name for name in names
    ]
    return JOIN.join(shown) if len(shown) > 1 else names[0]


def sensitive_groupings(materials: Materials, role: str, columns: tuple[str, ...]) -> dict[str, Grouping]:
    """Groupings of the named columns of `role`. Raises CheckError `sensitive_missing` naming the column."""
    frame = materials.frame(role)
    found: dict[str, Grouping] = {}
    for name in columns:
        if name not in frame.columns:
            raise CheckError("sensitive_missing", column=name, role=role)
        found[name] = grouping(frame[name], name, materials.semantics.bins_of(name))
    return found


def joined(groupings: dict[str, Grouping], names: tuple[str, ...]) -> Grouping:
    """One grouping out of several: the combinations that occur, in level order, named "f×50-64".

    Raises CheckError `too_many_groups` naming the columns.
    """
    codes, levels = groupings[names[0]]
    if len(names) == 1:
        return codes, levels
    key, sizes = codes.astype(np.int64), [len(levels)]
    for name in names[1:]:
        more, its_levels = groupings[name]
        key = key * len(its_levels) + more
        sizes.append(len(its_levels))
    distinct, place = np.unique(key, return_inverse=True)
    if len(distinct) > MAX_JOINED:
        raise CheckError("too_many_groups", column=JOIN.join(names), count=len(distinct), limit=MAX_JOINED)
    parts = np.stack(np.unravel_index(distinct, sizes), axis=1)
    named = tuple(
        combined([groupings[name][1][code] for name, code in zip(names, row, strict=True)]) for row in parts
    )
    return place.reshape(-1).astype(np.int64), named
