"""The count cube: how many rows have each combination of groups, truth and prediction. Exact and addable.

Only combinations that occur are kept, so ten attributes of a thousand levels cost at most one cell per row.
Every rate of the bias check comes from it; rows are never looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.checks.labels import Codes, recode

Grouping = tuple[Codes, tuple[str, ...]]  # a code per row, and what the codes mean
DENSE_CELLS = 1 << 22  # up to here one bincount beats sorting
_SAFE = 1 << 62


@dataclass(frozen=True)
class Cube:
    """`cells` (k, attributes + 2): codes of each attribute, then of truth and prediction; `counts` (k,)."""

    attributes: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    cells: Codes
    counts: Codes

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def groups(self, names: Sequence[str]) -> tuple[tuple[tuple[str, ...], ...], Codes]:
        """Marginal over `names`: the groups that occur, in level order, and counts (groups, truth, prediction)."""
        axes = [self.attributes.index(name) for name in names]
        keys, place = np.unique(self.cells[:, axes], axis=0, return_inverse=True)
        size = len(self.classes)
        flat = (place.reshape(-1) * size + self.cells[:, -2]) * size + self.cells[:, -1]
        # add.at and not bincount(weights=): counts stay integers
        table = np.zeros(len(keys) * size * size, dtype=np.int64)
        np.add.at(table, flat, self.counts)
        named = tuple(
            tuple(self.levels[axis][code] for axis, code in zip(axes, key, strict=True)) for key in keys
        )
        return named, table.reshape(len(keys), size, size)

    def __add__(self, other: Cube) -> Cube:
        """The cube of both sets of rows. Levels may differ (a partition need not see every group)."""
        if (self.attributes, self.classes) != (other.attributes, other.classes):
            raise ValueError("cubes of different attributes or classes cannot be added")
        levels = tuple(
            mine + tuple(name for name in theirs if name not in mine)
            for mine, theirs in zip(self.levels, other.levels, strict=True)
        )
        moved = other.cells.copy()
        for axis, (theirs, both) in enumerate(zip(other.levels, levels, strict=True)):
            moved[:, axis] = recode(other.cells[:, axis], theirs, both)
        cells, place = np.unique(np.concatenate([self.cells, moved]), axis=0, return_inverse=True)
        counts = np.zeros(len(cells), dtype=np.int64)
        np.add.at(counts, place.reshape(-1), np.concatenate([self.counts, other.counts]))
        return Cube(self.attributes, levels, self.classes, cells, counts)


def count(columns: Mapping[str, Grouping], truth: Codes, predicted: Codes, classes: tuple[str, ...]) -> Cube:
    """One pass over the columns: each a code per row (no -1), truth and prediction as positions in `classes`."""
    codes = [grouping[0] for grouping in columns.values()] + [truth, predicted]
    sizes = [len(grouping[1]) for grouping in columns.values()] + [len(classes)] * 2
    total = 1
    for size in sizes:
        total *= max(size, 1)
    if total <= DENSE_CELLS:
        flat = np.ravel_multi_index(codes, sizes) if len(truth) else np.zeros(0, dtype=np.int64)
        dense = np.bincount(flat, minlength=total)
        seen = np.flatnonzero(dense)
        cells = np.stack(np.unravel_index(seen, sizes), axis=1).astype(np.int64)
        counts = dense[seen].astype(np.int64)
    else:
        cells, counts = _count_sparse(codes, sizes)
    levels = tuple(grouping[1] for grouping in columns.values())
    return Cube(tuple(columns), levels, classes, cells, counts)


def _count_sparse(codes: list[Codes], sizes: list[int]) -> tuple[Codes, Codes]:
    """The same for a cube too large to lay out: keys are renumbered whenever their range would overflow."""
    key: npt.NDArray[np.int64] = np.zeros(len(codes[0]), dtype=np.int64)
    span = 1
    for column, size in zip(codes, sizes, strict=True):
        if span * size >= _SAFE:
            distinct, key = np.unique(key, return_inverse=True)
            span = len(distinct)
        key = key * size + column
        span *= size
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    return np.stack([column[first] for column in codes], axis=1).astype(np.int64), counts.astype(np.int64)
