"""How closely single columns go with the target: a column that comes too close may hold the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.labels import canonical_column, recode
from audits.checks.proxies import ASSOCIATION_BINS, MOST_CELLS, strength
from audits.checks.rows import Rows
from audits.checks.streams import quantiles

Association = tuple[float, str, int]  # strength 0 to 1, column, rows
DECILES = np.arange(1, ASSOCIATION_BINS) / ASSOCIATION_BINS
Counts = npt.NDArray[np.int64]


def strongest_first(found: dict[str, tuple[float | None, int]]) -> list[Association]:
    strengths = [(value, name, n) for name, (value, n) in found.items() if value is not None]
    return sorted(strengths, key=lambda item: (-item[0], item[1]))


def with_classes(
    rows: Rows, name: str, target: str, classes: tuple[str, ...], *, number: bool
) -> tuple[float | None, int]:
    """Cramér's V (audits.checks.proxies.cramers_v) of a column with a target of few `classes`, over the rows whose
    target is known, and the rows used. The same figure however the rows are cut.
    `number`: what the column holds."""

    def pairs() -> Iterator[tuple[pd.Series, Counts]]:
        for frame in rows.chunks((name, target)):
            codes = recode(*canonical_column(frame[target]), classes)
            yield frame[name][codes >= 0], codes[codes >= 0]

    many = number and _more_than(ASSOCIATION_BINS, (column for column, _ in pairs()))
    table = _of_numbers(pairs, len(classes)) if many else _of_levels(pairs, len(classes))
    if table is None:
        return None, 0
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return strength(table), int(table.sum())


def _more_than(few: int, columns: Iterable[pd.Series]) -> bool:
    """Whether there are more different values."""
    found: set[float] = set()
    for column in columns:
        found.update(column.dropna().unique().tolist()[: few + 1])
        if len(found) > few:
            return True
    return False


def _of_numbers(pairs: Callable[[], Iterator[tuple[pd.Series, Counts]]], width: int) -> Counts | None:
    """Rows per tenth of the numbers and class."""

    def known() -> Iterator[npt.NDArray[np.float64]]:
        for column, _ in pairs():
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            yield values[~np.isnan(values)]

    n = sum(len(values) for values in known())
    edges = np.unique(quantiles(known, n, DECILES))
    table = np.zeros((len(edges) + 1, width), dtype=np.int64)
    for column, codes in pairs():
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        there = ~np.isnan(values)
        cells = np.searchsorted(edges, values[there], side="left")
        table += np.bincount(cells * width + codes[there], minlength=table.size).reshape(table.shape)
    return table


def _of_levels(pairs: Callable[[], Iterator[tuple[pd.Series, Counts]]], width: int) -> Counts | None:
    """Rows per level, in the order of their names, and class; None with too many for a comparison."""
    places: dict[str, int] = {}
    table = np.zeros((64, width), dtype=np.int64)
    for column, codes in pairs():
        cells, levels = canonical_column(column)
        there = cells >= 0
        used = np.unique(cells[there])
        at = np.array([places.setdefault(levels[code], len(places)) for code in used], dtype=np.int64)
        while len(places) > len(table):
            table = np.concatenate([table, np.zeros_like(table)])
        lookup = np.zeros(len(levels) + 1, dtype=np.int64)
        lookup[used] = at
        np.add.at(table, (lookup[cells[there]], codes[there]), 1)
        if len(places) * int(table.any(axis=0).sum()) > MOST_CELLS:
            return None
    return table[[places[level] for level in sorted(places)]]


def of_ranks(rows: Rows, name: str, target: str) -> tuple[float | None, int]:
    """The absolute rank correlation of two columns of numbers. Both are held at once: ranks know all values."""
    both = [frame[[name, target]].dropna() for frame in rows.chunks((name, target))]
    whole = both[0] if len(both) == 1 else pd.concat(both, ignore_index=True)
    first, second = (whole[side].rank().to_numpy(dtype=np.float64) for side in (name, target))
    n = len(first)
    if n < 3 or not first.std() or not second.std():
        return None, n
    return min(1.0, abs(float(np.corrcoef(first, second)[0, 1]))), n
