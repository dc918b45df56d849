"""Everything the bias check needs of the rows, counted in one pass, in parts where the data are long.

All of it is whole numbers that add up, so how the rows are cut into parts, and who counts which, changes no byte of the
result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.cube import Cube, Grouping, count
from audits.checks.flips import Flips, other_levels
from audits.checks.group_calibration import CalibrationSums
from audits.checks.groups import UNKNOWN, grouping
from audits.checks.labels import recode
from audits.checks.leakage import Pairs, refuse_as_input, refuse_copies
from audits.checks.materials import Materials
from audits.checks.parts import ParquetParts

ROLE = "evaluation"


@dataclass(frozen=True)
class Counted:
    """`calibration` is None where the model gives no probability."""

    cube: Cube
    flips: Flips
    calibration: CalibrationSums | None


@dataclass(frozen=True)
class Distinct:
    """What occurs in the sensitive columns over all rows: the group names, and the values to try in the flips."""

    levels: dict[str, tuple[str, ...]]
    tried: dict[str, pd.Series]


def counted_rows(materials: Materials, columns: tuple[str, ...]) -> Counted:
    """The evaluation rows by the sensitive `columns`, truth and decision. Raises CheckError."""
    tally = Tally(materials, columns, distinct_values(materials, columns))
    parts = materials.parts(ROLE)
    for frame in [materials.frame(ROLE)] if parts is None else parts.frames():
        tally.add(frame, whole=parts is None)
    return tally.counted()


def distinct_values(materials: Materials, columns: tuple[str, ...]) -> Distinct:
    """What occurs in `columns` and in all declared sensitive ones. Raises CheckError."""
    semantics = materials.semantics
    every = tuple(dict.fromkeys((*columns, *semantics.sensitive_columns)))
    parts = materials.parts(ROLE)
    names = parts.columns if parts is not None else tuple(materials.frame(ROLE).columns)
    for name in every:
        if name not in names:
            raise CheckError("sensitive_missing", column=name, role=ROLE)
    values = (
        _distinct(parts, every)
        if parts is not None
        else {name: materials.frame(ROLE)[name] for name in every}
    )
    levels = {name: grouping(values[name], name, semantics.bins_of(name))[1] for name in every}
    predictor = materials.model()
    refuse_as_input(predictor, semantics.target, ROLE)
    tried = {
        item.column: other_levels(values[item.column], item.column)
        for item in semantics.sensitive
        if item.column in predictor.features
    }
    return Distinct(levels, tried)


def _distinct(parts: ParquetParts, names: tuple[str, ...]) -> dict[str, pd.Series]:
    """The values of each column, each once, a missing one included."""
    found: dict[str, pd.Series] = {}
    for frame in parts.frames(names):
        for name in names:
            both = frame[name]
            if name in found:
                # as it is here first: whole frames are long, what they add is short
                both = pd.concat([found[name], both.drop_duplicates()], ignore_index=True)
            found[name] = both.drop_duplicates(ignore_index=True)
    if names and not found:
        raise CheckError("data_empty", role=ROLE)
    return found


class Tally:
    """Counts of some of the rows, against what occurs in all of them. Those of other rows can be added."""

    def __init__(self, materials: Materials, columns: tuple[str, ...], distinct: Distinct) -> None:
        self.materials, self.columns, self.levels = materials, columns, distinct.levels
        self.predictor = materials.model()
        target = materials.semantics.target
        self.flips = Flips(self.predictor, materials.semantics, distinct.tried)
        self.pairs = Pairs(target, self.predictor.features)
        self.sums = CalibrationSums({name: distinct.levels[name] for name in columns})
        self.scored = materials.semantics.task == "binary"
        self.cube: Cube | None = None

    def add(self, frame: pd.DataFrame, *, whole: bool = False) -> None:
        """Count these rows; `whole`: they are all there are. Raises CheckError."""
        semantics, predictor = self.materials.semantics, self.predictor
        part = self.materials.part(ROLE, frame)
        groupings = {
            name: _grouped(frame[name], name, semantics.bins_of(name), self.levels[name])
            for name in self.columns
        }
        self.pairs.add(frame)
        if whole:  # said before anything is predicted from it
            refuse_copies(self.pairs.copies(), semantics.target, ROLE)
        truth = part.truth(ROLE, predictor.classes)
        self._count(count(groupings, truth, predictor.label_codes(frame), predictor.classes))
        self.flips.add(frame)
        scores = predictor.scores(frame) if self.scored else None
        self.scored = scores is not None
        if scores is not None:
            codes = {name: found for name, (found, _) in groupings.items()}
            self.sums.add(codes, truth == predictor.positive, scores)

    def _count(self, found: Cube) -> None:
        self.cube = found if self.cube is None else self.cube + found

    def counted(self) -> Counted:
        """Raises CheckError: an input is a copy of the target, or there were no rows."""
        refuse_copies(self.pairs.copies(), self.materials.semantics.target, ROLE)
        if self.cube is None:
            raise CheckError("data_empty", role=ROLE)
        return Counted(self.cube, self.flips, self.sums if self.scored else None)

    def to_json(self) -> dict[str, Any]:
        """All that was counted, for `merge` of another tally of the same question."""
        cube = self.cube
        return {
            "cells": [] if cube is None else cube.cells.tolist(),
            "counts": [] if cube is None else cube.counts.tolist(),
            "flips": {
                "rows": self.flips.rows,
                "overall": self.flips.overall,
                "changed": dict(self.flips.changed),
            },
            "pairs": self.pairs.to_json(),
            "sums": {name: sums.tolist() for name, sums in self.sums.sums.items()} if self.scored else None,
        }

    def merge(self, given: Mapping[str, Any]) -> None:
        """Add what another tally counted. ValueError where it cannot be one of the same question."""
        levels = tuple(self.levels[name] for name in self.columns)
        classes = self.predictor.classes
        cells, counts = _counts(given["cells"]), _counts(given["counts"])
        sizes = np.array([*(len(names) for names in levels), len(classes), len(classes)], dtype=np.int64)
        if counts.ndim != 1 or cells.shape != (len(counts), len(sizes)) or (cells >= sizes).any():
            raise ValueError("cells")
        self._count(Cube(self.columns, levels, classes, cells, counts))
        flips = given["flips"]
        if set(flips["changed"]) != set(self.flips.changed):
            raise ValueError("flips")
        self.flips.rows += int(_counts(flips["rows"]))
        self.flips.overall += int(_counts(flips["overall"]))
        for name, changed in flips["changed"].items():
            self.flips.changed[name] += int(_counts(changed))
        self.pairs.merge(given["pairs"])
        if given["sums"] is None:
            self.scored = False
        elif self.scored:
            for name, found in self.sums.sums.items():
                other = _whole(given["sums"][name])
                if other.shape != found.shape:
                    raise ValueError("sums")
                found += other


def _whole(values: Iterable[Any] | int) -> Any:
    """Whole numbers as int64. ValueError for anything else."""
    found = np.array(values)
    if found.size and found.dtype != np.int64:
        raise ValueError("not whole numbers")
    return found.astype(np.int64)


def _counts(values: Iterable[Any] | int) -> Any:
    """Whole numbers of at least 0."""
    found = _whole(values)
    if (found < 0).any():
        raise ValueError("fewer than none")
    return found


def _grouped(column: pd.Series, name: str, bins: tuple[float, ...], levels: tuple[str, ...]) -> Grouping:
    """Codes of these rows among the groups of all rows."""
    if bool(column.isna().all()):  # of this part: the column as a whole is not empty
        return np.full(len(column), levels.index(UNKNOWN), dtype=np.int64), levels
    codes, here = grouping(column, name, bins)
    return (codes, levels) if here == levels else (recode(codes, here, levels), levels)
