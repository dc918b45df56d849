"""Counting data in the cells of a reference sketch, part by part: all of it is whole numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.groups import MAX_LEVELS, MAX_NUMERIC_LEVELS, UNKNOWN, bin_labels
from audits.checks.labels import canonical_column, recode

Counts = npt.NDArray[np.int64]
MOST = 100_000  # different values of a sensitive column that are counted before it is given up


class GroupTally:
    """How many rows each group of one sensitive column has: groups as in audits.checks.groups, over all parts."""

    def __init__(self, name: str, bins: tuple[float, ...]) -> None:
        self.name, self.bins = name, bins
        self.rows: dict[str, int] = {}
        self.unknown = 0
        self.known = self.numeric = self.text = self.infinite = False

    def add(self, column: pd.Series) -> None:
        missing = int(column.isna().sum())
        self.unknown += missing
        if missing == len(column):
            return
        self.known = True
        number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        self.numeric, self.text = self.numeric or number, self.text or not number
        if self.bins:
            if number:
                codes, levels = self._binned(column)
                self._count(codes, levels)
        elif len(self.rows) <= MOST:
            self._count(*canonical_column(column))

    def _count(self, codes: Counts, levels: Sequence[str]) -> None:
        times = np.bincount(codes[codes >= 0], minlength=len(levels))
        for level, count in zip(levels, times, strict=True):
            if count:
                self.rows[level] = self.rows.get(level, 0) + int(count)

    def _binned(self, column: pd.Series) -> tuple[Counts, tuple[str, ...]]:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        self.infinite = self.infinite or bool(np.isinf(values).any())
        codes = np.searchsorted(np.array(self.bins), values, side="right").astype(np.int64)
        return np.where(np.isnan(values), -1, codes), bin_labels(self.bins)

    def sizes(self) -> dict[str, int]:
        """Rows by group, in order, without those nobody is in. Raises CheckError as `grouping` does."""
        if not self.known:
            raise CheckError("sensitive_all_missing", column=self.name)
        if self.bins:
            if self.text:
                raise CheckError("sensitive_not_numeric", column=self.name)
            if self.infinite:
                raise CheckError("column_not_finite", column=self.name)
            names: list[str] = [name for name in bin_labels(self.bins) if name in self.rows]
        else:
            names = sorted(self.rows)
            number = self.numeric and not self.text
            if number and len(names) > MAX_NUMERIC_LEVELS:
                raise CheckError(
                    "sensitive_needs_bins", column=self.name, count=len(names), limit=MAX_NUMERIC_LEVELS
                )
            if len(names) > MAX_LEVELS:
                raise CheckError("too_many_groups", column=self.name, count=len(names), limit=MAX_LEVELS)
            if number:
                names.sort(key=float)
        found = {name: self.rows[name] for name in names}
        if self.unknown:
            found[UNKNOWN] = found.get(UNKNOWN, 0) + self.unknown
        return found

    @property
    def makes_groups(self) -> bool:
        try:
            self.sizes()
        except CheckError:
            return False
        return True

    def codes(self, column: pd.Series, names: Sequence[str]) -> Counts:
        """For each row the place of its group in `names`, the number after them for all others."""
        if self.bins and self.text:  # an error by the time somebody asks for the sizes
            return np.full(len(column), len(names), dtype=np.int64)
        codes, levels = self._binned(column) if self.bins else canonical_column(column)
        found = recode(codes, levels, names)
        found = np.where(found < 0, len(names), found)
        if UNKNOWN in names:
            found = np.where(codes < 0, list(names).index(UNKNOWN), found)
        return found.astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": dict(self.rows),
            "unknown": self.unknown,
            "flags": [self.known, self.numeric, self.text, self.infinite],
        }

    def merge(self, given: Mapping[str, Any]) -> None:
        """Add what another tally of the same column counted. ValueError where that is not what it is."""
        for name, count in given["rows"].items():
            self.rows[str(name)] = self.rows.get(str(name), 0) + _count(count)
        self.unknown += _count(given["unknown"])
        known, numeric, text, infinite = given["flags"]
        if not all(isinstance(flag, bool) for flag in given["flags"]):
            raise ValueError("flags")
        self.known, self.numeric = self.known or known, self.numeric or numeric
        self.text, self.infinite = self.text or text, self.infinite or infinite


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("fewer than none")
    return value
