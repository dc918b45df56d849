"""Reference sketches: enough of a column's distribution to measure drift against, and too little to find a person.

A numeric column is kept as counts between quantiles of its own, each interval holding at least `K` rows, without its
extremes; any other column as counts of its most frequent values, those below `K` rows together under "other". Counts
add up exactly and a sketch is plain JSON, so it can be stored with a dataset version and outlive the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import canonical

FORMAT = "crivo-sketch-1"
K = 10  # fewest rows behind a cell of a stored sketch
MAX_BINS = 100
MAX_LEVELS = 100
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sketch:
    """One column. numbers: `edges` ascending, counts of (-∞, e0], (e0, e1], …, (e_last, ∞). categories: `levels` and
    their counts, then one count of all others. `missing` cells are counted apart; infinite ones are refused."""

    kind: str  # numbers | categories | empty
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int

    @property
    def n(self) -> int:
        return sum(self.counts)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "edges": list(self.edges),
            "levels": list(self.levels),
            "counts": list(self.counts),
            "missing": self.missing,
        }


def sketch(column: pd.Series, name: str, k: int = K) -> Sketch:
    """Of one column. Raises CheckError `column_not_finite` naming it."""
    missing = int(column.isna().sum())
    known = column.dropna()
    if known.empty:
        return Sketch("empty", (), (), (), missing)
    if is_number(column):
        values = numbers(known, name)
        cells = max(1, min(MAX_BINS, len(values) // max(k, 1)))
        shares = np.arange(1, cells) / cells
        # `lower`, so that an edge is a value that occurs, and ties fall on one side of it
        edges = np.unique(np.quantile(values, shares, method="lower")) if cells > 1 else np.zeros(0)
        edges = _wide_enough(values, edges, k)
        return Sketch("numbers", tuple(map(float, edges)), (), _between(values, edges), missing)
    counted = level_counts(known)
    frequent = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MAX_LEVELS]
    kept = {level: times for level, times in frequent if times >= k}
    others = sum(counted.values()) - sum(kept.values())
    return Sketch("categories", (), tuple(kept), (*kept.values(), others), missing)


def is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def numbers(column: pd.Series, name: str) -> Floats:
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise CheckError("column_not_finite", column=name)
    return values


def level_counts(column: pd.Series) -> dict[str, int]:
    counted: dict[str, int] = {}
    for level, times in column.value_counts().items():
        named = str(canonical(level))
        counted[named] = counted.get(named, 0) + int(times)
    return counted


def _wide_enough(values: Floats, edges: Floats, k: int) -> Floats:
    """Drop edges until every interval holds at least k rows (ties may leave one with fewer)."""
    kept: list[float] = []
    ordered = np.sort(values)
    before = 0
    for edge in edges:
        here = int(np.searchsorted(ordered, edge, side="right"))
        if here - before >= k and len(values) - here >= k:
            kept.append(float(edge))
            before = here
    return np.array(kept)


def _between(values: Floats, edges: Floats) -> tuple[int, ...]:
    place = np.searchsorted(edges, values, side="left")
    return tuple(int(n) for n in np.bincount(place, minlength=len(edges) + 1))


def counted_like(reference: Sketch, column: pd.Series, name: str) -> tuple[Counts, int]:
    """Another column counted in the cells of a reference: shape (cells,), and how many cells are empty in it.

    Raises CheckError `column_kind_differs_from_reference` where the one holds numbers and the other does not.
    """
    missing = int(column.isna().sum())
    known = column.dropna()
    if reference.kind == "numbers":
        if not known.empty and not is_number(column):
            raise CheckError("column_kind_differs_from_reference", column=name)
        values = numbers(known, name) if not known.empty else np.zeros(0)
        return np.array(_between(values, np.array(reference.edges)), dtype=np.int64), missing
    counted = level_counts(known)
    counts = [counted.pop(level, 0) for level in reference.levels]
    return np.array([*counts, sum(counted.values())], dtype=np.int64), missing


def to_json(frame: pd.DataFrame, k: int = K) -> dict[str, Any]:
    """A whole table's sketch, as it is stored."""
    return {
        "format": FORMAT,
        "rows": len(frame),
        "columns": {str(name): sketch(frame[name], str(name), k).to_json() for name in frame.columns},
    }


def from_json(data: Any) -> dict[str, Sketch]:
    """Sketches by column. Raises CheckError `sketch_unreadable` on anything that is not one."""
    try:
        if data["format"] != FORMAT:
            raise ValueError
        return {str(name): _read(item) for name, item in data["columns"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CheckError("sketch_unreadable") from None


def _read(item: dict[str, Any]) -> Sketch:
    kind, edges, levels = item["kind"], tuple(map(float, item["edges"])), tuple(map(str, item["levels"]))
    counts = tuple(_count(number) for number in item["counts"])
    cells = {"numbers": len(edges) + 1, "categories": len(levels) + 1, "empty": 0}[kind]
    ascending = all(low < high for low, high in pairwise(edges))
    if len(counts) != cells or not ascending or not all(map(math.isfinite, edges)):
        raise ValueError
    return Sketch(kind, edges, levels, counts, _count(item["missing"]))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value
