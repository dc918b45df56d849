"""Proxy scan: can the model's inputs tell who belongs to a sensitive group, the column itself left out?

A model that never sees a column may still act on it through others. Each sensitive column is predicted from the other
inputs by extremely randomised trees (Geurts et al. 2006), cross-validated; the figure is the area under the ROC curve
of each group against the rest, averaged. 0.5: nothing to be had from the inputs. 1: the column by another name.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.contract import CheckInput, CheckResult, Message, Metric, Table
from audits.checks.cube import Grouping
from audits.checks.evaluation import row_keys
from audits.checks.flips import flip_metrics
from audits.checks.groups import sensitive_groupings
from audits.checks.intervals import Interval, generator
from audits.checks.labels import canonical_column
from audits.checks.materials import Materials
from audits.checks.scores import roc_auc

FOLDS, LEVEL, MIN_GROUP, MAX_ROWS = 5, 0.95, 30, 20_000
TREES, TREE_ROWS = 80, 5_000
MAX_CATEGORIES = 250  # of one input, by frequency; the rest are one
ASSOCIATION_BINS = 10
MOST_CELLS = 4_000_000  # of a table of levels and groups
COLUMNS = ("attribute", "use", "is_input", "groups", "n", "proxy_auc", "low", "high", "flips")
FEATURE_COLUMNS = ("attribute", "feature", "cramers_v", "n")
Floats = npt.NDArray[np.float64]


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """proxy_auc per sensitive column, beside the decisions that changing only that column flips.

    parameters: folds (5), max_rows (20,000, drawn by the seed), min_group (groups with fewer rows are left out), level.
    Undefined with fewer than two groups left, or without another input to look at.
    """
    frame, predictor = materials.frame("evaluation"), materials.model()
    predictor.inputs(frame)  # refuses infinite and missing columns by name
    columns = materials.semantics.sensitive_columns
    order = np.argsort(
        row_keys(frame, tuple(frame.columns)), kind="stable"
    )  # the folds follow content, not place
    groupings = sensitive_groupings(materials, "evaluation", columns) if columns else {}
    groupings = {name: (codes[order], levels) for name, (codes, levels) in groupings.items()}
    frame = frame.iloc[order].reset_index(drop=True)
    level = float(inputs.parameters.get("level", LEVEL))
    flips, notes = flip_metrics(predictor, frame, materials.semantics)
    flipped = {metric.attribute: metric.value for metric in flips if metric.attribute}
    metrics: list[Metric] = []
    rows: list[tuple[Any, ...]] = []
    associations: list[tuple[Any, ...]] = []
    for item in materials.semantics.sensitive:
        features = tuple(name for name in predictor.features if name != item.column)
        metric = scan(inputs, frame, item.column, groupings[item.column], features, level)
        metrics.append(metric)
        low, high = metric.interval or (None, None)
        rows.append(
            (
                item.column,
                item.use,
                item.column in predictor.features,
                metric.denominators.get("groups", 0),
                metric.n,
                metric.value,
                low,
                high,
                flipped.get(item.column),
            )
        )
        associations += _associations(frame, item.column, groupings[item.column], features)
    tables = (
        Table("proxies", COLUMNS, tuple(rows), {"level": level}),
        Table("proxy_features", FEATURE_COLUMNS, tuple(associations)),
    )
    return CheckResult("completed", (*metrics, *flips), tables, notes)


def scan(
    inputs: CheckInput,
    frame: pd.DataFrame,
    attribute: str,
    grouping: Grouping,
    features: tuple[str, ...],
    level: float,
) -> Metric:
    """proxy_auc of one sensitive column."""
    codes, levels = grouping
    least = max(
        int(inputs.parameters.get("min_group", MIN_GROUP)), int(inputs.parameters.get("folds", FOLDS))
    )
    sizes = np.bincount(codes, minlength=len(levels))
    kept = [place for place in range(len(levels)) if sizes[place] >= least]
    excluded = int((sizes > 0).sum()) - len(kept)
    counts = {"groups": len(kept), "groups_excluded": excluded, "features": len(features)}
    if len(kept) < 2:
        params = {"attribute": attribute, "groups": len(kept), "excluded": excluded}
        few = Message("fewer_than_two_groups", params)
        return Metric("proxy_auc", None, attribute=attribute, denominators=counts, undefined=few)
    if not features:
        nothing = Message("no_other_inputs", {"column": attribute})
        return Metric("proxy_auc", None, attribute=attribute, denominators=counts, undefined=nothing)
    stream = generator(inputs.seed, "proxies", attribute)
    rows = np.flatnonzero(np.isin(codes, kept))
    limit = int(inputs.parameters.get("max_rows", MAX_ROWS))
    if len(rows) > limit:
        rows = _spread_sample(rows, codes, kept, limit, stream)
    wanted = np.searchsorted(np.array(kept), codes[rows])
    table = encoded(frame.iloc[rows], features)
    chances = cross_validated(table, wanted, int(inputs.parameters.get("folds", FOLDS)), stream)
    value, interval = mean_auc(wanted, chances, level)
    return Metric(
        "proxy_auc",
        value,
        attribute=attribute,
        interval=interval,
        level=None if interval is None else level,
        n=len(rows),
        denominators={**counts, "rows": len(rows)},
    )


def _spread_sample(
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    kept: list[int],
    limit: int,
    stream: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """At most `limit` rows, every group in proportion and none below what the folds need."""
    parts = []
    for place in kept:
        mine = rows[codes[rows] == place]
        size = min(len(mine), max(MIN_GROUP, round(limit * len(mine) / len(rows))))
        parts.append(stream.choice(mine, size=size, replace=False))
    return np.sort(np.concatenate(parts))


def encoded(frame: pd.DataFrame, features: tuple[str, ...]) -> Floats:
    """Numbers as they are, anything else as the rank of its level by frequency; empty cells are NaN."""
    table = np.full((len(frame), len(features)), np.nan)
    for place, name in enumerate(features):
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        if numeric:
            table[:, place] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            continue
        codes, levels = canonical_column(column)
        often = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(levels)), kind="stable")
        rank = np.empty(len(levels) + 1)
        rank[often] = np.minimum(np.arange(len(levels)), MAX_CATEGORIES)
        rank[-1] = np.nan
        table[:, place] = rank[codes]
    return table


def cross_validated(
    table: Floats,
    wanted: npt.NDArray[np.int64],
    folds: int,
    stream: np.random.Generator,
) -> Floats:
    """P(group) of every row by a model that has not seen it, shape (rows, groups). Folds hold groups in proportion."""
    from sklearn.ensemble import ExtraTreesClassifier

    size = int(wanted.max()) + 1
    fold = np.empty(len(wanted), dtype=np.int64)
    for place in range(size):
        mine = np.flatnonzero(wanted == place)
        fold[stream.permutation(mine)] = np.arange(len(mine)) % folds
    chances = np.zeros((len(wanted), size))
    for number in range(folds):
        held = fold == number
        # one thread and a bounded sample per tree: the same on every machine, and seconds at most
        model = ExtraTreesClassifier(
            n_estimators=TREES,
            min_samples_leaf=3,
            bootstrap=True,
            max_samples=min(TREE_ROWS, int((~held).sum())),
            max_features=None,
            random_state=number,
        ).fit(table[~held], wanted[~held])
        chances[held] = model.predict_proba(table[held])
    return chances


def mean_auc(wanted: npt.NDArray[np.int64], chances: Floats, level: float) -> tuple[float, Interval | None]:
    """Mean of one-vs-rest areas. Areas of one sample go together, so their half-widths are averaged, not their
    variances: conservative (Minkowski). Two groups are one question, not two."""
    places = (1,) if chances.shape[1] == 2 else range(chances.shape[1])
    figures = [roc_auc(wanted == place, chances[:, place], level) for place in places]
    values = [figure.value for figure in figures]
    known = [value for value in values if value is not None]
    mean = float(np.mean(known))
    halves = [
        max(figure.value - figure.interval[0], figure.interval[1] - figure.value)
        for figure in figures
        if figure.interval is not None and figure.value is not None
    ]
    if len(halves) < len(figures):
        return mean, None
    half = float(np.mean(halves))
    return mean, (max(0.0, mean - half), min(1.0, mean + half))


def _associations(
    frame: pd.DataFrame, attribute: str, grouping: Grouping, features: tuple[str, ...]
) -> list[tuple[Any, ...]]:
    """Which single inputs go with the column, strongest first."""
    found = [
        (attribute, name, value, n)
        for name in features
        for value, n in [cramers_v(frame[name], grouping[0])]
        if value is not None
    ]
    return sorted(found, key=lambda row: (-row[2], row[1]))[:50]


def cramers_v(column: pd.Series, codes: npt.NDArray[np.int64]) -> tuple[float | None, int]:
    """Association of a column (numbers in ten parts) with groups, bias-corrected (Bergsma 2013), and the rows used."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numeric and column.nunique() > ASSOCIATION_BINS:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        edges = np.unique(np.nanquantile(values, np.arange(1, ASSOCIATION_BINS) / ASSOCIATION_BINS))
        cells = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="left"))
    else:
        cells, _ = canonical_column(column)
    known = cells >= 0
    cells, groups = cells[known], codes[known]
    n = len(cells)
    if n < 2:
        return None, n
    _, cells = np.unique(cells, return_inverse=True)
    _, groups = np.unique(groups, return_inverse=True)
    rows, width = int(cells.max()) + 1, int(groups.max()) + 1
    if rows * width > MOST_CELLS:
        return None, n
    return strength(np.bincount(cells * width + groups, minlength=rows * width).reshape(rows, width)), n


def strength(table: npt.NDArray[np.int64]) -> float | None:
    """Cramér's V of a table of counts without an empty row or column; None where it means nothing."""
    rows, width = table.shape
    n = int(table.sum())
    if n < 2 or rows < 2 or width < 2:
        return None
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi - (rows - 1) * (width - 1) / (n - 1))
    smaller = min(rows - (rows - 1) ** 2 / (n - 1), width - (width - 1) ** 2 / (n - 1)) - 1
    return None if smaller <= 0 else min(1.0, math.sqrt(corrected / smaller))
