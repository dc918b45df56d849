"""The current data counted in the cells of a reference, in one pass, in parts where they are long.

All of it is whole numbers that add up, so how the rows are cut into parts, and who counts which, changes no byte of the
result. What is wrong with a column is remembered and said at the end, in the order of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.cells import cell_codes, crossed, is_number, width
from audits.checks.contract import CheckError
from audits.checks.sketch_form import Reference, Sketch, places
from audits.checks.tallies import GroupTally, _count

Counts = npt.NDArray[np.int64]


class CurrentCounts:
    """`names`: the columns compared; `sensitive`: {column: bins}, of which those that the reference has are counted."""

    def __init__(
        self, reference: Reference, names: tuple[str, ...], sensitive: Mapping[str, tuple[float, ...]]
    ) -> None:
        self.reference, self.names = reference, names
        self.rows = 0
        self.columns = {name: np.zeros(width(self._of(name)), dtype=np.int64) for name in names}
        self.wrong = {name: {"kind": False, "infinite": False} for name in names}
        self.groups = {name: GroupTally(name, bins) for name, bins in sensitive.items()}
        known = reference.groups or {}
        self.compared = tuple(
            name for name, bins in sensitive.items() if name in known and known[name].bins == bins
        )
        self.crossed = {
            (attribute, name): np.zeros(
                (len(known[attribute].names) + 1, width(self._of(name))), dtype=np.int64
            )
            for attribute in self.compared
            for name in names
            if name != attribute and name in known[attribute].columns
        }

    def _of(self, name: str) -> Sketch:
        return self.reference.columns[name]

    def add(self, frame: pd.DataFrame) -> None:
        """Count these rows. They need the columns compared and the sensitive ones."""
        self.rows += len(frame)
        codes = {}
        for name, tally in self.groups.items():
            tally.add(frame[name])
            if name in self.compared:
                codes[name] = tally.codes(frame[name], (self.reference.groups or {})[name].names)
        for name in self.names:
            cells = self._cells(name, frame[name])
            if cells is None:
                continue
            self.columns[name] += np.bincount(cells, minlength=width(self._of(name)))
            for attribute, groups in codes.items():
                table = self.crossed.get((attribute, name))
                if table is not None:
                    table += crossed(groups, len(table), cells, table.shape[1])

    def _cells(self, name: str, column: pd.Series) -> Counts | None:
        """None where the column is not one that the reference could be compared with."""
        whole = self._of(name)
        if whole.kind == "empty":  # nothing to compare it with: only whether it is empty, too
            return np.zeros(len(column), dtype=np.int64) if bool(column.isna().all()) else None
        if whole.kind == "numbers" and not is_number(column) and not bool(column.isna().all()):
            self.wrong[name]["kind"] = True
            return None
        try:
            return cell_codes(whole, column, name)
        except CheckError:
            self.wrong[name]["infinite"] = True
            return None

    def refuse_wrong(self) -> None:
        """Raises CheckError naming the first column that cannot be compared, or sensitive column with no groups."""
        for name, wrong in self.wrong.items():
            if wrong["kind"]:
                raise CheckError("column_kind_differs_from_reference", column=name)
            if wrong["infinite"]:
                raise CheckError("column_not_finite", column=name)

    def current(self, name: str) -> tuple[Counts, int]:
        """Rows over the values of the reference's cells, and how many cells of the column are empty."""
        found = self.columns[name]
        return found[:-1], int(found[-1])

    def of_group(self, attribute: str, group: int, name: str) -> tuple[Counts, int, Sketch]:
        """The same of one group, over the cells that its own sketch has, which comes with it."""
        part = (self.reference.groups or {})[attribute].columns[name][group]
        row = self.crossed[attribute, name][group]
        found = np.zeros(len(part.counts) + 1, dtype=np.int64)
        whole = self._of(name)
        where = places(whole, part)
        np.add.at(found, where, row[: len(where)])
        if whole.missing is None:
            found[-1] += row[-1]
        elif part.missing is None:  # places has put them with the last values; they are told apart here
            found[len(part.counts) - 1] -= row[-1]
            found[-1] += row[-1]
        return found[:-1], int(found[-1]), part

    def to_json(self) -> dict[str, Any]:
        """All that was counted, for `merge` of another one of the same question."""
        return {
            "rows": self.rows,
            "columns": {name: counts.tolist() for name, counts in self.columns.items()},
            "wrong": {name: dict(wrong) for name, wrong in self.wrong.items()},
            "groups": {name: tally.to_json() for name, tally in self.groups.items()},
            "crossed": [table.tolist() for table in self.crossed.values()],
        }

    def merge(self, given: Mapping[str, Any]) -> None:
        """Add what another one counted. ValueError where it cannot be of the same question."""
        if any(set(given[part]) != set(self.__dict__[part]) for part in ("columns", "wrong", "groups")):
            raise ValueError("another question")
        self.rows += _count(given["rows"])
        for name, counts in self.columns.items():
            counts += _like(counts, given["columns"][name])
        for name, wrong in self.wrong.items():
            for what in wrong:
                wrong[what] = wrong[what] or given["wrong"][name][what] is True
        for name, tally in self.groups.items():
            tally.merge(given["groups"][name])
        for table, counts in zip(self.crossed.values(), given["crossed"], strict=True):
            table += _like(table, counts)


def _like(mine: Counts, given: Any) -> Counts:
    found = np.array(given)
    if found.shape != mine.shape or found.dtype != np.int64 or (found < 0).any():
        raise ValueError("counts")
    return found.astype(np.int64)
