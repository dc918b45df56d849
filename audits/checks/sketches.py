"""Reference sketches: enough of a column's distribution to measure drift against, and too little to find a person.

A numeric column is kept as counts between quantiles of its own, rounded, each interval holding at least `K` rows; any
other column as counts of its most frequent values, those below `K` rows together under "other". Of every declared
sensitive column there are the same counts within each group, over cells put together until neither a group nor what is
left without it gives away fewer than `K` rows (audits.checks.sketch_form, docs/adr/0011).

Counts add up exactly and quantiles are found by counting, so data in parts give the bytes that they give as a whole,
and memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from math import floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import canonical
from audits.checks.quantiles import DISTINCT, Distinct, order_statistics
from audits.checks.sketch_form import (
    LEAST_GROUP,
    MAX_BINS,
    MAX_BYTES,
    MAX_GROUPS,
    MAX_LEVELS,
    MAX_TEXT,
    Attribute,
    K,
    Reference,
    Sketch,
    from_json,
    places,
)
from audits.checks.tallies import GroupTally

__all__ = ["K", "Sketch", "Table", "counted_like", "from_json", "is_number", "numbers", "reference", "sketch"]

GROUP_CELLS = 50  # of the column's own, at most, before a group puts them together
STEPS = (5, 2, 1)
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Table:
    """Data as a check reads them: column names, and frames of some columns, as often as they are asked for."""

    def __init__(self, names: Iterable[Any], frames: Callable[[list[str]], Iterable[pd.DataFrame]]) -> None:
        self.names = tuple(map(str, names))
        self._frames = frames

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Table:
        return cls(frame.columns, lambda names: [frame])

    def frames(self, names: Iterable[str]) -> Iterator[pd.DataFrame]:
        chosen = list(dict.fromkeys(names))
        yield from self._frames(chosen)


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


class _Column:
    """What the first look at a column counts: its rows, and its distinct values where they are not too many."""

    def __init__(self) -> None:
        self.known = self.missing = 0
        self.number: bool | None = None
        self.infinite = False
        self.values = Distinct()
        self.levels: dict[str, int] | None = {}

    def add(self, column: pd.Series) -> None:
        empty = int(column.isna().sum())
        self.missing += empty
        if empty == len(column):
            return
        self.known += len(column) - empty
        self.number = is_number(column) and self.number is not False
        if self.number:
            values: Floats = column.dropna().to_numpy(dtype=np.float64)
            self.infinite = self.infinite or bool(np.isinf(values).any())
            self.values.add(values)
        elif self.levels is not None:
            for level, times in level_counts(column.dropna()).items():
                self.levels[level] = self.levels.get(level, 0) + times
            if len(self.levels) > DISTINCT:  # names of persons, keys, free text: no level of it is told
                self.levels = None


def reference(
    table: Table, sensitive: Mapping[str, tuple[float, ...]], k: int = K, role: str = "training"
) -> Reference:
    """The sketch of a whole table. `sensitive`: {column: bins}.

    Raises CheckError `column_not_finite`, `sensitive_missing` and those of audits.checks.groups, naming the column;
    `data_empty`.
    """
    groups = {name: GroupTally(name, bins) for name, bins in sensitive.items()}
    for name in groups:
        if name not in table.names:
            raise CheckError("sensitive_missing", column=name, role=role)
    seen = {name: _Column() for name in table.names}
    rows = 0
    for frame in table.frames(table.names):
        rows += len(frame)
        for name, column in seen.items():
            column.add(frame[name])
        for name, tally in groups.items():
            tally.add(frame[name])
    if not rows:
        raise CheckError("data_empty", role=role)
    for name, column in seen.items():
        if column.infinite:
            raise CheckError("column_not_finite", column=name)
    named = {name: _named(tally, rows, k) for name, tally in groups.items()}
    first = _first(table, seen, k)
    tables = _crossed(table, first, groups, named)
    columns = {name: _final(first[name], tables[name], name, k) for name in table.names}
    attributes = {
        name: Attribute(
            groups[name].bins,
            tuple(named[name].names),
            tuple(size for _, size in named[name].stored),
            named[name].merged,
            {
                other: parts
                for other in table.names
                if other != name
                and (parts := _by_group(first[other], columns[other], tables[other][name], k))
            },
        )
        for name in groups
    }
    return Reference(rows, k, columns, attributes)


class _Named:
    """The groups that are told of, largest first, and which of them fewer than k rows of others go with."""

    def __init__(self, stored: list[tuple[str, int]], merged: str | None) -> None:
        self.stored, self.merged = stored, merged

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.stored]

    def into(self, codes: Counts) -> Counts:
        """Codes of the stored groups, and the number after them for all others; or those go with the merged one."""
        if self.merged is None:
            return codes
        return np.where(codes == len(self.stored), self.names.index(self.merged), codes)


def _named(tally: GroupTally, rows: int, k: int) -> _Named:
    sizes = tally.sizes()
    enough = {name: n for name, n in sizes.items() if n >= max(LEAST_GROUP, k) and len(name) <= MAX_TEXT}
    stored = dict(_largest_first(enough)[:MAX_GROUPS])
    left = rows - sum(stored.values())
    merged = None
    if stored and 0 < left < k:
        # With the group that the cells of the column itself put such rows with: the last number, the rarest text.
        ordered = [name for name in sizes if name in stored] if tally.numeric else list(stored)
        merged = ordered[-1]
        stored[merged] += left
    return _Named(_largest_first(stored), merged)


def _largest_first(sizes: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(sizes.items(), key=lambda item: (-item[1], item[0]))


# The cells of a column before groups are looked at


def _first(table: Table, seen: Mapping[str, _Column], k: int) -> dict[str, Sketch]:
    found: dict[str, Sketch] = {}
    wanted: dict[str, list[int]] = {}
    values: dict[str, Floats] = {}
    for name, column in seen.items():
        if not column.known:
            found[name] = Sketch("empty", (), (), (), column.missing)
        elif not column.number:
            found[name] = _categories(column, k)
        else:
            ranks = _ranks(column.known, k)
            counted = column.values.at(ranks)
            if counted is None:
                wanted[name] = ranks
            else:
                values[name] = counted
    if wanted:
        values |= order_statistics(table.frames, wanted)
    edges = {name: rounded(np.unique(values[name])) for name in values}
    counts = _between_all(table, edges)
    for name, column in seen.items():
        if name in edges:
            found[name] = _numbers(edges[name], counts[name], column.missing, k)
    return {name: found[name] for name in seen}


def _ranks(known: int, k: int) -> list[int]:
    """Where the quantiles stand among the values in order, as numpy's method `lower` has them."""
    cells = max(1, min(MAX_BINS, known // max(k, 1)))
    shares = np.arange(1, cells) / cells
    return [int(rank) for rank in np.unique(np.floor(shares * (known - 1)).astype(np.int64))]


def rounded(edges: Floats) -> list[float]:
    """Ascending edges, each moved up to 1, 2 or 5 times a power of ten that its distance to its neighbours has room
    for. So an edge is no single row's value, unless the values are as coarse as that; and equal values stay together.
    """
    found = []
    for place, edge in enumerate(edges):
        gaps = [abs(edge - edges[other]) for other in (place - 1, place + 1) if 0 <= other < len(edges)]
        if len(gaps) < 2 and edge:
            gaps.append(abs(edge))
        found.append(_rounded_up(float(edge), min(gaps)) if gaps else float(edge))
    return sorted(set(found))


def _rounded_up(value: float, room: float) -> float:
    power = floor(log10(room))
    step = next(
        (Decimal(digit).scaleb(power) for digit in STEPS if digit * 10.0**power <= room),
        Decimal(1).scaleb(power),
    )
    # repr: the shortest text of the number, so that 0.1 stays 0.1
    up = (Decimal(repr(value)) / step).to_integral_value(ROUND_CEILING) * step
    moved = float(up)
    return moved if np.isfinite(moved) else value


def _between(edges: list[float] | tuple[float, ...], column: pd.Series, name: str) -> Counts:
    """The cell of each row: between which edges it lies, and the number after them where it is empty."""
    values = numbers(column, name)
    place = np.searchsorted(np.array(edges), values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, place).astype(np.int64)


def _between_all(table: Table, edges: Mapping[str, list[float]]) -> dict[str, Counts]:
    counts = {name: np.zeros(len(each) + 2, dtype=np.int64) for name, each in edges.items()}
    if edges:
        for frame in table.frames(edges):
            for name, each in edges.items():
                counts[name] += np.bincount(_between(each, frame[name], name), minlength=len(each) + 2)
    return counts


def _numbers(edges: list[float], counts: Counts, missing: int, k: int) -> Sketch:
    starts, apart = _blocks(counts[None, :-1], np.array([missing]), k)
    return _put(Sketch("numbers", tuple(edges), (), tuple(map(int, counts[:-1])), missing), starts, apart)


def _categories(column: _Column, k: int) -> Sketch:
    counted = column.levels or {}
    frequent = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MAX_LEVELS]
    kept = [(level, times) for level, times in frequent if times >= k and len(level) <= MAX_TEXT]
    others = column.known - sum(times for _, times in kept)
    whole = Sketch(
        "categories",
        (),
        tuple(level for level, _ in kept),
        (*(times for _, times in kept), others),
        column.missing,
    )
    return _without_small(whole, np.array([[*whole.counts, column.missing]]), k)


# Cells put together until no count gives anybody away


def _blocks(counts: Counts, missing: Counts, least: int) -> tuple[list[int], bool]:
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


def _put(whole: Sketch, starts: list[int], apart: bool) -> Sketch:
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


def _without_small(whole: Sketch, counts: Counts, least: int) -> Sketch:
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


# Groups


def cell_codes(whole: Sketch, column: pd.Series, name: str) -> Counts:
    """For each row of a column its place in the cells of `whole`, the number after the values where it is empty."""
    if whole.kind == "numbers":
        return _between(whole.edges, column, name)
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


def _crossed(
    table: Table,
    first: Mapping[str, Sketch],
    groups: Mapping[str, GroupTally],
    named: Mapping[str, _Named],
) -> dict[str, dict[str, Counts]]:
    """{column: {attribute: rows by group, then of all others, and cell}}."""
    found: dict[str, dict[str, Counts]] = {
        name: {
            attribute: np.zeros((len(each.stored) + 1, width(first[name])), dtype=np.int64)
            for attribute, each in named.items()
        }
        for name in table.names
    }
    if not groups:
        return found
    for frame in table.frames(table.names):
        codes = {
            attribute: each.into(groups[attribute].codes(frame[attribute], each.names))
            for attribute, each in named.items()
        }
        for name, tables in found.items():
            cells = cell_codes(first[name], frame[name], name)
            for attribute, counts in tables.items():
                counts += crossed(codes[attribute], len(counts), cells, counts.shape[1])
    return found


def _final(first: Sketch, tables: Mapping[str, Counts], name: str, k: int) -> Sketch:
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
        found = _without_small(whole, counts, k)
    else:
        starts, apart = _blocks(counts[:, :-1], counts[:, -1], k)
        found = _put(whole, starts, apart)
    return found


def _by_group(first: Sketch, final: Sketch, table: Counts, k: int) -> tuple[Sketch, ...]:
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


# What reads or makes one at once


def sketch(column: pd.Series, name: str, k: int = K) -> Sketch:
    """Of one column. Raises CheckError `column_not_finite` naming it."""
    return reference(Table.of(column.to_frame(name)), {}, k).columns[name]


def counted_like(whole: Sketch, column: pd.Series, name: str) -> tuple[Counts, int]:
    """Another column counted in the cells of a reference: shape (cells,), and how many cells are empty in it.

    Raises CheckError `column_kind_differs_from_reference` where the one holds numbers and the other does not.
    """
    if whole.kind == "numbers" and not is_number(column) and not bool(column.isna().all()):
        raise CheckError("column_kind_differs_from_reference", column=name)
    found = np.bincount(cell_codes(whole, column, name), minlength=width(whole))
    return found[:-1], int(found[-1])


def to_json(frame: pd.DataFrame, k: int = K, sensitive: Mapping[str, tuple[float, ...]] | None = None) -> Any:
    """A whole table's sketch, as it is stored."""
    return reference(Table.of(frame), sensitive or {}, k).to_json()


def checked(found: Reference) -> Reference:
    """CheckError where it cannot be stored: `sketch_too_few_rows`, `sketch_too_large`."""
    import json

    if found.rows < found.k:
        raise CheckError("sketch_too_few_rows", minimum=found.k)
    if len(json.dumps(found.to_json(), ensure_ascii=False).encode()) > MAX_BYTES:
        raise CheckError("sketch_too_large", limit_bytes=MAX_BYTES)
    return found
