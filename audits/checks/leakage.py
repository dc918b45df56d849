"""Target leakage: an input that already is the answer. No figure of such a model means anything, so there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import canonical_column, listed
from audits.checks.materials import MAX_LABELS, Materials
from audits.checks.predictor import Predictor

MIN_ROWS = 30  # in fewer rows a binary column may agree by chance
FEW_VALUES = (
    20  # a number with more of them seldom comes twice, and then any other number stands one to one with it
)
MIN_REPEATS = (
    MIN_ROWS - 2
)  # rows with a label seen before: where every label is seen once, any key stands one to one


def refuse_leakage(materials: Materials, predictor: Predictor, role: str) -> None:
    """Raises CheckError `target_leaks`, naming the columns: the target is an input, or an input is the target renamed.

    An input counts when its values and the target's stand one to one in every row of `role` (at least 30 rows, empty
    cells as a value of their own). A column that merely predicts well is told as `leakage_auc` by data.quality.
    """
    target = materials.semantics.target
    refuse_as_input(predictor, target, role)
    number = materials.semantics.task == "regression"
    refuse_copies(copies(materials.frame(role), target, predictor.features, number=number), target, role)


def refuse_as_input(predictor: Predictor, target: str, role: str) -> None:
    if target in predictor.features:
        raise CheckError("target_leaks", columns=target, target=target, role=role)


def refuse_copies(found: list[str], target: str, role: str) -> None:
    if found:
        raise CheckError("target_leaks", columns=listed(found), target=target, role=role)


def copies(frame: pd.DataFrame, target: str, columns: tuple[str, ...], *, number: bool = False) -> list[str]:
    """Columns whose values stand one to one with the target's; of a `number` with many values, straight lines only."""
    if target not in frame.columns or len(frame) < MIN_ROWS:
        return []
    _, classes = canonical_column(frame[target])
    if len(classes) > (FEW_VALUES if number else MAX_LABELS) or len(frame) - len(classes) < MIN_REPEATS:
        return _same_numbers(frame, target, columns)
    pairs = Pairs(target, columns)
    pairs.add(frame)
    return pairs.copies()


class Pairs:
    """Which values of each column stand beside which label, collected over parts of the rows. A column is let go as
    soon as it cannot be a copy, so what is kept is never more than labels."""

    def __init__(self, target: str, columns: tuple[str, ...]) -> None:
        self.target, self.rows = target, 0
        self.labels: set[str | None] = set()
        self.beside: dict[str, dict[str | None, str | None]] = {name: {} for name in columns}

    def add(self, frame: pd.DataFrame) -> None:
        if self.target not in frame.columns:
            return
        self.rows += len(frame)
        truth, classes = canonical_column(frame[self.target])
        self.labels |= {None if code < 0 else classes[code] for code in np.unique(truth)}
        for name in list(self.beside):
            if name not in frame.columns or not self._stands(frame[name], name, truth, classes):
                del self.beside[name]

    def _stands(
        self, column: pd.Series, name: str, truth: npt.NDArray[np.int64], classes: tuple[str, ...]
    ) -> bool:
        if column.nunique(dropna=False) > len(classes) + 1:
            return False
        codes, levels = canonical_column(column)
        beside = self.beside[name]
        for code, label in np.unique(np.stack([codes, truth]), axis=1).T:
            value, other = None if code < 0 else levels[code], None if label < 0 else classes[label]
            if beside.setdefault(value, other) != other:
                return False
        return len(set(beside.values())) == len(beside)

    def to_json(self) -> dict[str, Any]:
        beside = {name: [list(pair) for pair in found.items()] for name, found in self.beside.items()}
        return {"rows": self.rows, "labels": list(self.labels), "beside": beside}

    def merge(self, given: Mapping[str, Any]) -> None:
        """Add what was collected over other rows, as `to_json` gives it."""
        self.rows += int(given["rows"])
        self.labels |= set(given["labels"])
        for name in list(self.beside):
            beside = self.beside[name]
            pairs = given["beside"].get(name)
            if (
                pairs is None
                or any(beside.setdefault(value, label) != label for value, label in pairs)
                or len(set(beside.values())) < len(beside)
            ):
                del self.beside[name]

    def copies(self) -> list[str]:
        if self.rows - len(self.labels) < MIN_REPEATS or len(self.labels - {None}) < 2:
            return []
        return [name for name, beside in self.beside.items() if len(beside) == len(self.labels)]


def _centred(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Less their mean, and first brought to about 1: squares of very large numbers overflow."""
    largest = float(np.abs(values).max())
    unit = values / largest if largest > 0 else values
    return np.asarray(unit - unit.mean())


def _same_numbers(frame: pd.DataFrame, target: str, columns: tuple[str, ...]) -> list[str]:
    """Numeric columns that are an increasing or decreasing straight line of a numeric target."""
    numeric = [
        name
        for name in (target, *columns)
        if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    if target not in numeric:
        return []
    truth = frame[target].to_numpy(dtype=np.float64, na_value=np.nan)
    found = []
    for name in numeric[1:]:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if not (np.isfinite(values) & np.isfinite(truth)).all():
            continue
        centred, wanted = _centred(values), _centred(truth)
        scale = float(np.sqrt((centred @ centred) * (wanted @ wanted)))
        if scale > 0 and abs(float(centred @ wanted)) / scale > 1 - 1e-12:
            found.append(name)
    return found
