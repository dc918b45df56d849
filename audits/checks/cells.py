"""The cells of a reference sketch: which cell a value is in, and cells put together until no count tells of anybody.

What is proved of them is in docs/adr/0011.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from math import floor, log10

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import canonical
from audits.checks.sketch_form import DIGITS, Sketch, places

GROUP_CELLS = 50  # of the column's own, at most, before a group puts them together
STEPS = (5, 2, 1)
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def numbers(column: pd.Series, name: str) -> Floats:
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise CheckError("column_not_finite", column=name)
    return values


def rounded(edges: Floats, digits: int = DIGITS) -> list[float]:
    """Ascending edges, each moved up to 1, 2 or 5 times a power of ten that its distance to its neighbours has room
    for. So an edge is no single row's value, unless the values are as coarse as that; and equal values stay together.
    """
    found = []
    for place, edge in enumerate(edges):
        gaps = [abs(edge - edges[other]) for other in (place - 1, place + 1) if 0 <= other < len(edges)]
        if len(gaps) < 2 and edge:
            gaps.append(abs(edge))
        found.append(_rounded_up(float(edge), min(gaps), digits) if gaps else float(edge))
    return sorted(set(found))


def _rounded_up(value: float, room: float, digits: int) -> float:
    power = floor(log10(room))
    step = next(
        (Decimal(digit).scaleb(power) for digit in STEPS if digit * 10.0**power <= room),
        Decimal(1).scaleb(power),
    )
    if value:
        step = max(step, Decimal(1).scaleb(floor(log10(abs(value))) + 1 - digits))
    # repr: the shortest text of the number, so that 0.1 stays 0.1
    up = (Decimal(repr(value)) / step).to_integral_value(ROUND_CEILING) * step
    moved = float(up) + 0.0  # no -0.0
    return moved if np.isfinite(moved) else value


def between(edges: list[float] | tuple[float, ...], column: pd.Series, name: str) -> Counts:
    """The cell of each row: between which edges it lies, and the number after them where it is empty."""
    values = numbers(column, name)
    place = np.searchsorted(np.array(edges), values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, place).astype(np.int64)


def cell_codes(whole: Sketch, column: pd.Series, name: str) -> Counts:
    """For each row of a column its place in the cells of `whole`, the number after the values where it is empty."""
    if whole.kind == "numbers":
        return between(whole.edges, column, name)
    if whole.kind == "empty":
        return np.zeros(len(column), dtype=np.int64)
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    place = {level: at for at, level in enumerate(whole.levels)}
    lookup = [place.get(str(canonical(level)), len(place)) for level in distinct]
    # what is missing has the code -1
    return np.array([*lookup, len(place) + 1], dtype=np.int64)[np.asarray(codes, dtype=np.int64)]


def width(whole: Sketch) -> int:
    """How many different places `cell_codes` has."""
    return 1 if whole.kind == "empty" else len(whole.counts) + 1


def crossed(groups: Counts, names: int, cells: Counts, size: int) -> Counts:
    """Rows by group and cell, shape (names, size)."""
    found: Counts = np.bincount(groups * size + cells, minlength=names * size).reshape(names, size)
    return found


# Cells put together until no count gives anybody away


def blocks(counts: Counts, missing: Counts, least: int) -> tuple[list[int], bool]:
    """Where blocks of neighbouring cells start, and whether the empty cells are apart. counts: shape (rows, cells).

    In a block every row has no or at least `least` of its rows, and all have as many together; likewise the empty cells
    (shape (rows,)), or they go with the last block.
    """
    apart = _tells_nothing(missing, least)
    if not apart:
        counts = counts.copy()
        counts[:, -1] += missing
    starts, filled = [0], np.zeros(len(counts), dtype=np.int64)
    for place in range(counts.shape[1]):
        filled += counts[:, place]
        if place + 1 < counts.shape[1] and _tells_nothing(filled, least) and filled.any():
            starts.append(place + 1)
            filled[:] = 0
    while len(starts) > 1 and not (_tells_nothing(filled, least) and filled.any()):
        del starts[-1]
        filled = counts[:, starts[-1] :].sum(axis=1)
    if apart and missing.any() and not _tells_nothing(filled, least):  # a few values among empty cells
        return starts, False
    return starts, apart


def _tells_nothing(counts: Counts, least: int) -> bool:
    return not bool(((counts > 0) & (counts < least)).any())


def put(whole: Sketch, starts: list[int], apart: bool) -> Sketch:
    """A column of numbers with its cells put together in blocks."""
    counts = [int(n) for n in np.add.reduceat(np.array(whole.counts), starts)]
    if apart:
        missing = whole.missing
    else:
        counts[-1] += whole.missing or 0
        missing = None
    return Sketch(
        "numbers", tuple(whole.edges[start - 1] for start in starts[1:]), (), tuple(counts), missing
    )


def without_small(whole: Sketch, counts: Counts, least: int) -> Sketch:
    """A column of categories with levels moved to "other" until no row has from 1 to least-1 in any cell.

    counts: shape (rows, cells), the empty cells last.
    """
    levels = len(whole.levels)
    apart = whole.missing is not None and _tells_nothing(counts[:, -1], least)
    kept = [place for place in range(levels) if _tells_nothing(counts[:, place], least)]
    others = counts.sum(axis=1) - counts[:, kept].sum(axis=1) - (counts[:, -1] if apart else 0)
    while not _tells_nothing(others, least) and (kept or apart):
        if kept:
            others = others + counts[:, kept.pop()]
        else:  # a few values among empty cells
            others, apart = others + counts[:, -1], False
    total = np.array(whole.cells)
    shown = [int(total[place]) for place in kept]
    missing = whole.missing if apart else None
    rest = int(total.sum()) - sum(shown) - (missing or 0)
    return Sketch("categories", (), tuple(whole.levels[place] for place in kept), (*shown, rest), missing)


def within_groups(first: Sketch, tables: Mapping[str, Counts], name: str, k: int) -> Sketch:
    """The cells of a column that is sensitive itself: the sizes of its groups give nothing away beside them."""
    if name not in tables or first.kind == "empty":
        return first
    return _coarser(first, _within(first, tables[name]), k)


def _within(whole: Sketch, counts: Counts) -> Counts:
    """The rows of `counts` over values and empty cells, where the latter may go with the last values."""
    if whole.missing is not None:
        return counts
    together = counts.copy()
    together[:, -2] += together[:, -1]
    together[:, -1] = 0
    return together


def _coarser(whole: Sketch, counts: Counts, k: int) -> Sketch:
    if whole.kind == "categories":
        found = without_small(whole, counts, k)
    else:
        starts, apart = blocks(counts[:, :-1], counts[:, -1], k)
        found = put(whole, starts, apart)
    return found


def by_group(first: Sketch, final: Sketch, table: Counts, k: int) -> tuple[Sketch, ...]:
    """The sketch of each group, largest first; each with the cells of the one before, put together where need be."""
    if final.kind == "empty" or len(table) < 2:
        return ()
    rows = _onto(final, _within(first, table), first)
    before = _few_cells(final)
    rows = _onto(before, rows, final)
    found = []
    for place in range(len(rows) - 1):
        pair = np.stack([rows[place], rows[place + 1 :].sum(axis=0)])
        after = _coarser(before, pair, k)
        rows = _onto(after, rows, before)
        before = after
        counts = [int(count) for count in rows[place]]
        found.append(
            Sketch(
                after.kind,
                after.edges,
                after.levels,
                tuple(counts[:-1]),
                None if after.missing is None else counts[-1],
            )
        )
    return tuple(found)


def _onto(after: Sketch, rows: Counts, before: Sketch) -> Counts:
    """Rows over the cells of `before` as rows over those of `after`: values, then empty cells (none: with the last)."""
    where = places(before, after)
    found = np.zeros((len(rows), len(after.counts) + 1), dtype=np.int64)
    np.add.at(found.T, where, rows[:, : len(where)].T)
    return found


def _few_cells(whole: Sketch) -> Sketch:
    """With at most GROUP_CELLS cells of about equal share, or levels."""
    if len(whole.counts) <= GROUP_CELLS:
        return whole
    if whole.kind == "categories":
        kept = GROUP_CELLS - 1
        counts = (*whole.counts[:kept], sum(whole.counts[kept:]))
        return Sketch("categories", (), whole.levels[:kept], counts, whole.missing)
    starts, filled, total = [0], 0, whole.n
    for place, count in enumerate(whole.counts[:-1], start=1):
        filled += count
        if filled >= len(starts) * total / GROUP_CELLS:
            starts.append(place)
    counts = tuple(int(n) for n in np.add.reduceat(np.array(whole.counts), starts))
    edges = tuple(whole.edges[start - 1] for start in starts[1:])
    return Sketch("numbers", edges, (), counts, whole.missing)
