"""How many decisions change when one attribute changes and nothing else (Kusner et al. 2017, the direct effect only).

A decision is the favourable label or not; of a regression it is the predicted number, which counts as changed beyond
rounding. It says nothing about proxies: a model that never sees the column flips 0 decisions and may still tell groups
apart (see proxies).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckError, Message, Metric
from audits.checks.labels import listed
from audits.checks.predictor import Predictor
from audits.checks.semantics import Semantics

MAX_LEVELS = 21  # of a numeric column with more distinct values: evenly spread ones, both ends included
MAX_CATEGORIES = 100
ROUNDING = 1e-9
Answers = npt.NDArray[np.bool_] | npt.NDArray[np.float64]


def flip_metrics(
    predictor: Predictor, frame: pd.DataFrame, semantics: Semantics
) -> tuple[tuple[Metric, ...], tuple[Message, ...]]:
    """Rows whose decision some other level of the column would change, per declared sensitive column.

    `forbidden_attribute_flips` counts columns declared forbidden, each with its attribute, and once without attribute
    for all together (0 where none is declared); `attribute_flips` is the same for allowed and monitored ones, kept
    apart so that a requirement on forbidden columns never judges a permitted one.
    """
    levels = {
        item.column: other_levels(frame[item.column], item.column)
        for item in semantics.sensitive
        if item.column in predictor.features
    }
    flips = Flips(predictor, semantics, levels)
    flips.add(frame)
    return flips.metrics()


class Flips:
    """The counts behind `flip_metrics`, over parts of the rows. `levels`: those to try of each sensitive column that
    is an input of the model, from all rows."""

    def __init__(self, predictor: Predictor, semantics: Semantics, levels: dict[str, pd.Series]) -> None:
        self.predictor, self.semantics, self.levels = predictor, semantics, levels
        self.rows, self.overall = 0, 0
        self.changed = {name: 0 for name, tried in levels.items() if len(tried) > 1}

    def add(self, frame: pd.DataFrame) -> None:
        self.rows += len(frame)
        if not self.changed:
            return
        decided = answers(self.predictor, frame)
        total = np.zeros(len(frame), dtype=bool)
        for item in self.semantics.sensitive:
            if item.column in self.changed:
                rows = flipped(self.predictor, frame, item.column, self.levels[item.column], decided)
                self.changed[item.column] += int(rows.sum())
                if item.use == "forbidden":
                    total |= rows
        self.overall += int(total.sum())

    def metrics(self) -> tuple[tuple[Metric, ...], tuple[Message, ...]]:
        metrics: list[Metric] = []
        notes: list[Message] = []
        n, known = self.rows, True
        for item in self.semantics.sensitive:
            name = "forbidden_attribute_flips" if item.use == "forbidden" else "attribute_flips"
            tried = self.levels.get(item.column)
            if tried is None:
                metrics.append(Metric(name, 0.0, attribute=item.column, n=n, denominators={"levels": 0}))
                notes.append(Message("not_a_model_input", {"column": item.column}))
            elif item.column not in self.changed:
                undefined = Message("attribute_constant", {"column": item.column})
                metrics.append(Metric(name, None, attribute=item.column, n=n, undefined=undefined))
                known = known and item.use != "forbidden"
            else:
                metrics.append(
                    Metric(
                        name,
                        float(self.changed[item.column]),
                        attribute=item.column,
                        n=n,
                        denominators={"rows": n, "levels": len(tried)},
                    )
                )
        columns = [item.column for item in self.semantics.sensitive if item.use == "forbidden"]
        overall = Metric(
            "forbidden_attribute_flips",
            float(self.overall) if known else None,
            n=n,
            denominators={"rows": n, "columns": len(columns)},
            undefined=None if known else Message("attribute_constant", {"column": listed(columns)}),
        )
        return (overall, *metrics), tuple(notes)


def answers(predictor: Predictor, frame: pd.DataFrame) -> Answers:
    """What the model decides of each row: favourable or not; for a regression the number."""
    if predictor.semantics.task == "regression":
        return predictor.values(frame)
    return predictor.decisions(frame)


def differs(first: Answers, second: Answers) -> npt.NDArray[np.bool_]:
    if first.dtype == np.bool_:
        return np.asarray(first != second)
    return np.asarray(np.abs(first - second) > ROUNDING * np.maximum(1.0, np.abs(first)))


def other_levels(column: pd.Series, name: str) -> pd.Series:
    """The levels to try, from those that occur: all of a category's, spread ones of a fine-grained number."""
    distinct = column.dropna().drop_duplicates()
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numeric:
        distinct = distinct.sort_values()
        if len(distinct) > MAX_LEVELS:
            spread = np.unique(np.linspace(0, len(distinct) - 1, MAX_LEVELS).round().astype(int))
            distinct = distinct.iloc[spread]
    elif len(distinct) > MAX_CATEGORIES:
        raise CheckError("too_many_groups", column=name, count=len(distinct), limit=MAX_CATEGORIES)
    return distinct


def flipped(
    predictor: Predictor,
    frame: pd.DataFrame,
    column: str,
    levels: pd.Series,
    decided: Answers,
) -> npt.NDArray[np.bool_]:
    """Rows whose decision differs under at least one level, shape (rows,)."""
    changed = np.zeros(len(frame), dtype=bool)
    for place in range(len(levels)):
        other = frame.copy(deep=False)
        # repeated from the column itself, so that its type (categories included) stays as the model knows it
        other[column] = levels.iloc[np.full(len(frame), place)].set_axis(frame.index)
        changed |= differs(decided, answers(predictor, other))
    return changed
