"""Group disparity of every class against the rest, for decisions among more than two classes.

The favourable label alone may hide a disparity between the other classes. The figures are the largest over classes;
their interval comes from redrawing the whole (group, truth, prediction) table, so that classes stay tied together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.checks.contract import CheckInput, Message, Metric
from audits.checks.cube import Cube
from audits.checks.disparity import AGGREGATES, Counts, in_order, rate
from audits.checks.groups import JOIN, combined
from audits.checks.intervals import generator, percentile_interval

OVR_COLUMNS = (
    "attribute",
    "class",
    "group",
    "n",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
    "excluded",
)
OF = {
    "one_vs_rest_demographic_parity_difference": "demographic_parity_difference",
    "one_vs_rest_equal_opportunity_difference": "equal_opportunity_difference",
    "one_vs_rest_equalized_odds_difference": "equalized_odds_difference",
}
MAX_DRAWS = 50_000_000  # cells × replicates; beyond, fewer replicates are drawn
CHUNK = 2_000_000


def class_counts(table: Counts) -> Counts:
    """(…, groups, truth, prediction) as (…, classes, groups, 4): tp, fp, fn, tn of each class against the rest."""
    tp = np.diagonal(table, axis1=-2, axis2=-1)
    fp, fn = table.sum(axis=-2) - tp, table.sum(axis=-1) - tp
    tn = table.sum(axis=(-2, -1))[..., None] - tp - fp - fn
    return np.moveaxis(np.stack([tp, fp, fn, tn], axis=-1), -2, -3)


def _largest(function: Callable[[Counts, int], npt.NDArray[np.float64]], counts: Counts) -> Any:
    """Largest over the classes in which the figure is defined; NaN where it is in none."""
    found = function(counts, 2)
    best = np.where(np.isnan(found), -np.inf, found).max(axis=-1)
    return np.where(np.isinf(best), np.nan, best)


def one_vs_rest(
    cube: Cube, names: tuple[str, ...], min_group: int, inputs: CheckInput, level: float
) -> tuple[list[Metric], list[tuple[Any, ...]]]:
    """Metrics of `OF` for one attribute or intersection, and a line per class and group."""
    attribute = JOIN.join(names)
    keys, table = cube.groups(names)
    included = table.sum(axis=(1, 2)) >= min_group
    compared = table[included]
    counts = {
        "rows": int(compared.sum()),
        "groups": int(included.sum()),
        "groups_excluded": int((~included).sum()),
        "classes": len(cube.classes),
    }
    metrics = []
    intervals = _intervals(compared, attribute, inputs, level)
    for name, of in OF.items():
        value = float(_largest(AGGREGATES[of], class_counts(compared))) if included.any() else math.nan
        if math.isnan(value):
            undefined = Message(
                "fewer_than_two_groups",
                {"attribute": attribute, "groups": counts["groups"], "excluded": counts["groups_excluded"]},
            )
            metrics.append(
                Metric(
                    name,
                    None,
                    attribute=attribute,
                    n=counts["rows"],
                    denominators=counts,
                    undefined=undefined,
                )
            )
            continue
        metrics.append(
            Metric(
                name,
                value,
                attribute=attribute,
                interval=intervals[name],
                level=None if intervals[name] is None else level,
                n=counts["rows"],
                denominators=counts,
            )
        )
    return metrics, _lines(attribute, cube.classes, keys, table, included)


def _intervals(compared: Counts, attribute: str, inputs: CheckInput, level: float) -> dict[str, Any]:
    total = int(compared.sum())
    if len(compared) < 2 or not total:
        return dict.fromkeys(OF)
    flat = in_order(compared).reshape(-1)  # what a group is called moves no interval
    seen = np.flatnonzero(flat)  # a cell without rows is never drawn
    replicates = min(int(inputs.parameters.get("replicates", 10_000)), max(200, MAX_DRAWS // flat.size))
    stream = generator(inputs.seed, "one_vs_rest", attribute)
    found: dict[str, list[Any]] = {name: [] for name in OF}
    step = max(1, CHUNK // flat.size)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        drawn = np.zeros((size, flat.size), dtype=np.int64)
        drawn[:, seen] = stream.multinomial(total, flat[seen] / total, size=size)
        by_class = class_counts(drawn.reshape(size, *compared.shape))
        for name, of in OF.items():
            found[name].append(_largest(AGGREGATES[of], by_class))
    observed = class_counts(compared)
    return {
        name: percentile_interval(
            np.concatenate(parts), level, float(_largest(AGGREGATES[OF[name]], observed))
        )
        for name, parts in found.items()
    }


def _lines(
    attribute: str,
    classes: tuple[str, ...],
    keys: tuple[tuple[str, ...], ...],
    table: Counts,
    included: npt.NDArray[np.bool_],
) -> list[tuple[Any, ...]]:
    lines: list[tuple[Any, ...]] = []
    shown = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision")
    for name, counts in zip(classes, class_counts(table), strict=True):
        rates = [rate(counts, which) for which in shown]
        for place, key in enumerate(keys):
            cells = [None if np.isnan(column[place]) else float(column[place]) for column in rates]
            lines.append(
                (
                    attribute,
                    name,
                    combined(key),
                    int(counts[place].sum()),
                    *cells,
                    None if included[place] else "below_min_group",
                )
            )
    return lines
