"""Everything the bias check needs of the rows, counted in one pass, in parts where the file is long.

All of it is whole numbers that add up, so how the rows are cut into parts changes no byte of the result.
"""

from __future__ import annotations

from dataclasses import dataclass

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
from audits.checks.predictor import Predictor
from audits.checks.reading import ParquetParts

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
    semantics = materials.semantics
    every = tuple(dict.fromkeys((*columns, *semantics.sensitive_columns)))
    parts = materials.parts(ROLE)
    names = parts.columns if parts is not None else tuple(materials.frame(ROLE).columns)
    for name in every:
        if name not in names:
            raise CheckError("sensitive_missing", column=name, role=ROLE)
    values = {
        name: materials.frame(ROLE)[name] if parts is None else _distinct(parts, name) for name in every
    }
    levels = {name: grouping(values[name], name, semantics.bins_of(name))[1] for name in every}
    predictor = materials.model()
    refuse_as_input(predictor, semantics.target, ROLE)
    tried = {
        item.column: other_levels(values[item.column], item.column)
        for item in semantics.sensitive
        if item.column in predictor.features
    }
    return _counted(materials, columns, predictor, Distinct(levels, tried), parts)


def _distinct(parts: ParquetParts, name: str) -> pd.Series:
    """The values of a column, each once, a missing one included."""
    found: pd.Series | None = None
    for frame in parts.frames([name]):
        both = frame[name] if found is None else pd.concat([found, frame[name]], ignore_index=True)
        found = both.drop_duplicates(ignore_index=True)
    if found is None:
        raise CheckError("data_empty", role=ROLE)
    return found


def _counted(
    materials: Materials,
    columns: tuple[str, ...],
    predictor: Predictor,
    distinct: Distinct,
    parts: ParquetParts | None,
) -> Counted:
    target = materials.semantics.target
    flips = Flips(predictor, materials.semantics, distinct.tried)
    pairs = Pairs(target, predictor.features)
    sums = CalibrationSums({name: distinct.levels[name] for name in columns})
    cube: Cube | None = None
    scored = materials.semantics.task == "binary"
    for frame in [materials.frame(ROLE)] if parts is None else parts.frames():
        part = materials.part(ROLE, frame)
        groupings = {
            name: _grouped(frame[name], name, materials.semantics.bins_of(name), distinct.levels[name])
            for name in columns
        }
        pairs.add(frame)
        if parts is None:  # said before anything is predicted from it
            refuse_copies(pairs.copies(), target, ROLE)
        truth = part.truth(ROLE, predictor.classes)
        found = count(groupings, truth, predictor.label_codes(frame), predictor.classes)
        cube = found if cube is None else cube + found
        flips.add(frame)
        scores = predictor.scores(frame) if scored else None
        scored = scores is not None
        if scores is not None:
            sums.add(
                {name: codes for name, (codes, _) in groupings.items()}, truth == predictor.positive, scores
            )
    refuse_copies(pairs.copies(), target, ROLE)
    if cube is None:
        raise CheckError("data_empty", role=ROLE)
    return Counted(cube, flips, sums if scored else None)


def _grouped(column: pd.Series, name: str, bins: tuple[float, ...], levels: tuple[str, ...]) -> Grouping:
    """Codes of these rows among the groups of all rows."""
    if bool(column.isna().all()):  # of this part: the column as a whole is not empty
        return np.full(len(column), levels.index(UNKNOWN), dtype=np.int64), levels
    codes, here = grouping(column, name, bins)
    return (codes, levels) if here == levels else (recode(codes, here, levels), levels)
