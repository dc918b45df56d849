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
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.cells import (
    between,
    blocks,
    by_group,
    cell_codes,
    crossed,
    is_number,
    put,
    rounded,
    width,
    within_groups,
    without_small,
)
from audits.checks.contract import CheckError
from audits.checks.labels import canonical
from audits.checks.quantiles import DISTINCT, Distinct, order_statistics
from audits.checks.sketch_form import (
    DIGITS,
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
)
from audits.checks.tallies import GroupTally

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
    table: Table,
    sensitive: Mapping[str, tuple[float, ...]],
    k: int = K,
    *,
    digits: int = DIGITS,
    every: bool = True,
    role: str = "training",
) -> Reference:
    """The sketch of a whole table. `sensitive`: {column: bins}; `digits`: that an edge has at most. `every` False: a
    sensitive column whose values make no groups (numbers without bins, too many texts) has none, and is no error.

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
    if not every:
        groups = {name: tally for name, tally in groups.items() if tally.makes_groups}
    named = {name: _named(tally, rows, k) for name, tally in groups.items()}
    first = _first(table, seen, k, digits)
    tables = _crossed(table, first, groups, named)
    columns = {name: within_groups(first[name], tables[name], name, k) for name in table.names}
    attributes = {
        name: Attribute(
            groups[name].bins,
            tuple(named[name].names),
            tuple(size for _, size in named[name].stored),
            named[name].merged,
            {
                other: parts
                for other in table.names
                if other != name and (parts := by_group(first[other], columns[other], tables[other][name], k))
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


def _first(table: Table, seen: Mapping[str, _Column], k: int, digits: int) -> dict[str, Sketch]:
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
    edges = {name: rounded(np.unique(values[name]), digits) for name in values}
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


def _between_all(table: Table, edges: Mapping[str, list[float]]) -> dict[str, Counts]:
    counts = {name: np.zeros(len(each) + 2, dtype=np.int64) for name, each in edges.items()}
    if edges:
        for frame in table.frames(edges):
            for name, each in edges.items():
                counts[name] += np.bincount(between(each, frame[name], name), minlength=len(each) + 2)
    return counts


def _numbers(edges: list[float], counts: Counts, missing: int, k: int) -> Sketch:
    starts, apart = blocks(counts[None, :-1], np.array([missing]), k)
    return put(Sketch("numbers", tuple(edges), (), tuple(map(int, counts[:-1])), missing), starts, apart)


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
    return without_small(whole, np.array([[*whole.counts, column.missing]]), k)


# Groups


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
