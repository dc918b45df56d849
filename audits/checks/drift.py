"""Drift: how far the evaluation data has moved away from the reference (the training data, or its stored sketch).

Gates are on effect size (index 0.1: watch, 0.25: moved); p-values come along as information, because with many rows
every difference is significant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.distances import MEASURES, Counts, chi_square, intervals, minimum_n, wasserstein
from audits.checks.groups import sensitive_groupings
from audits.checks.intervals import Interval, generator, holm
from audits.checks.materials import Materials
from audits.checks.sketches import Sketch, counted_like, from_json, sketch

LEVEL, REPLICATES, MIN_GROUP = 0.95, 2_000, 100
WATCH, MOVED = 0.10, 0.25
NAMED_EXCLUSIONS = 20
CELLS = 10  # of the index, as it is used in practice; the other distances use the sketch's own cells
COLUMNS = (
    "column",
    "kind",
    "reference_n",
    "current_n",
    "population_stability_index",
    "population_stability_index_low",
    "population_stability_index_high",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "wasserstein",
    "chi_square",
    "degrees",
    "p_holm",
    "missing_change",
)
GROUP_COLUMNS = ("attribute", "group", "column", "reference_n", "current_n", "population_stability_index")
DISTRIBUTION_COLUMNS = ("column", "cell", "reference_share", "current_share")


@dataclass(frozen=True)
class Compared:
    """One column counted twice over the same cells: fine ones, and those of the index."""

    name: str
    reference: Sketch
    fine: tuple[Counts, Counts]
    coarse: tuple[Counts, Counts]
    missing: tuple[float, float]
    names: tuple[str, ...]  # of the coarse cells


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """parameters: columns (default all in both), level, replicates, min_group (rows a group needs in both data sets).

    Each metric carries the column as its `attribute`; drifted_columns counts those whose index reaches 0.25, and
    group_population_stability_index is the largest over columns and groups of one sensitive column.
    Raises CheckError naming a column that is infinite, of another kind than the reference, or not there.
    """
    references = reference_sketches(materials)
    frame = materials.frame("evaluation")
    asked = inputs.parameters.get("columns")
    names = tuple(asked) if asked else tuple(name for name in references if name in frame.columns)
    for name in names:
        if name not in references or name not in frame.columns:
            raise CheckError("column_missing", columns=name, reader="drift")
    notes = [
        Message("column_only_in", {"column": name, "role": role})
        for role, mine, others in (
            ("training", references, frame.columns),
            ("evaluation", frame.columns, references),
        )
        for name in mine
        if name not in others
    ]
    metrics: list[Metric] = []
    rows: list[list[Any]] = []
    shares: list[tuple[Any, ...]] = []
    drifted = 0
    known = 0
    for name in names:
        if references[name].kind == "empty" or bool(frame[name].isna().all()):
            side = "training" if references[name].kind == "empty" else "evaluation"
            metrics += _undefined(name, Message("drift_column_empty", {"column": name, "role": side}))
            continue
        found = compared(name, references[name], frame[name])
        mine = list(_metrics(found, inputs))
        metrics += mine
        known += 1
        drifted += float(mine[0].value or 0.0) >= MOVED
        rows.append(_row(found, mine))
        shares += _shares(found)
    _correct(rows)
    metrics.append(Metric("drifted_columns", float(drifted), n=len(frame), denominators={"columns": known}))
    by_group, lines, more = _by_group(inputs, materials, names)
    tables = [
        Table("drift", COLUMNS, tuple(map(tuple, rows)), {"watch": WATCH, "moved": MOVED}),
        Table("drift_distributions", DISTRIBUTION_COLUMNS, tuple(shares)),
    ]
    if lines:
        tables.append(Table("drift_by_group", GROUP_COLUMNS, tuple(lines), {"moved": MOVED}))
    return CheckResult("completed", (*metrics, *by_group), tuple(tables), (*notes, *more))


def reference_sketches(materials: Materials) -> dict[str, Sketch]:
    """The reference by column: from the training data, or from its stored sketch where that is all there is."""
    if materials.format_of("training") == "sketch":
        try:
            return from_json(json.loads(materials.bytes_of("training")))
        except ValueError:
            raise CheckError("sketch_unreadable") from None
    frame = materials.frame("training")
    return {str(name): sketch(frame[name], str(name)) for name in frame.columns}


def compared(name: str, reference: Sketch, column: pd.Series) -> Compared:
    current, missing = counted_like(reference, column, name)
    mine = np.array(reference.counts, dtype=np.int64)
    starts, names = _coarse(reference)
    return Compared(
        name,
        reference,
        (mine, current),
        (np.add.reduceat(mine, starts), np.add.reduceat(current, starts)),
        (reference.missing / (reference.n + reference.missing), missing / len(column)),
        names,
    )


def _coarse(reference: Sketch) -> tuple[list[int], tuple[str, ...]]:
    """Where each of at most ten cells of about equal reference share starts; categories stay as they are."""
    if reference.kind != "numbers":
        return list(range(len(reference.counts))), (*reference.levels, "…")
    starts, filled = [0], 0
    total = reference.n
    for place, count in enumerate(reference.counts[:-1], start=1):
        filled += count
        if filled >= len(starts) * total / CELLS:
            starts.append(place)
    edges = [reference.edges[start - 1] for start in starts[1:]]
    if not edges:
        return starts, ("",)
    names = [f"≤{edges[0]:g}", *(f"≤{edge:g}" for edge in edges[1:]), f">{edges[-1]:g}"]
    return starts, tuple(names)


def _metrics(found: Compared, inputs: CheckInput) -> Iterator[Metric]:
    level = float(inputs.parameters.get("level", LEVEL))
    replicates = int(inputs.parameters.get("replicates", REPLICATES))
    limits = inputs.parameters.get("limits") or {}
    ordered = found.reference.kind == "numbers"
    fine = ("jensen_shannon", "kolmogorov_smirnov") if ordered else ("jensen_shannon",)
    known: dict[str, Interval | None] = {}
    for names, pair in ((("population_stability_index",), found.coarse), (fine, found.fine)):
        stream = generator(inputs.seed, "drift", names[0], found.name)
        known |= intervals(names, *pair, stream=stream, replicates=replicates, level=level)
    for name, interval in known.items():
        pair = found.coarse if name == "population_stability_index" else found.fine
        needed = None
        if name == "population_stability_index":
            limit = float(limits.get(name, MOVED))
            needed = minimum_n(limit, len(pair[0]), int(pair[0].sum()), level)
        yield Metric(
            name,
            float(MEASURES[name](*pair)),
            attribute=found.name,
            interval=interval,
            level=None if interval is None else level,
            n=int(pair[1].sum()),
            denominators={
                "reference_rows": int(pair[0].sum()),
                "current_rows": int(pair[1].sum()),
                "cells": len(pair[0]),
            },
            minimum_n=needed,
        )


def _undefined(name: str, why: Message) -> list[Metric]:
    return [Metric(metric, None, attribute=name, undefined=why) for metric in MEASURES]


def _row(found: Compared, metrics: list[Metric]) -> list[Any]:
    value = {metric.metric: metric for metric in metrics}
    index = value["population_stability_index"]
    low, high = index.interval or (None, None)
    tested = chi_square(*found.coarse)
    distance = value.get("kolmogorov_smirnov")
    edges = np.array(found.reference.edges)
    return [
        found.name,
        found.reference.kind,
        int(found.fine[0].sum()),
        int(found.fine[1].sum()),
        index.value,
        low,
        high,
        value["jensen_shannon"].value,
        None if distance is None else distance.value,
        wasserstein(*found.fine, edges) if found.reference.kind == "numbers" else None,
        None if tested is None else tested[0],
        None if tested is None else tested[1],
        None,
        found.missing[1] - found.missing[0],
    ]


def _correct(rows: list[list[Any]]) -> None:
    """p-values of chi², corrected over all columns; for information."""
    from scipy.special import chdtrc

    statistic, degrees, place = COLUMNS.index("chi_square"), COLUMNS.index("degrees"), COLUMNS.index("p_holm")
    tested = [row for row in rows if row[statistic] is not None]
    for row, adjusted in zip(
        tested, holm([float(chdtrc(row[degrees], row[statistic])) for row in tested]), strict=True
    ):
        row[place] = adjusted


def _shares(found: Compared) -> Iterator[tuple[Any, ...]]:
    sizes = [max(int(counts.sum()), 1) for counts in found.coarse]
    for cell, mine, theirs in zip(found.names, *found.coarse, strict=True):
        yield found.name, cell, int(mine) / sizes[0], int(theirs) / sizes[1]


def _by_group(
    inputs: CheckInput, materials: Materials, names: tuple[str, ...]
) -> tuple[list[Metric], list[tuple[Any, ...]], list[Message]]:
    """The index within each sensitive group that is large enough on both sides. A stored sketch knows no groups."""
    columns = materials.semantics.sensitive_columns
    if not columns:
        return [], [], []
    if materials.format_of("training") == "sketch":
        return [], [], [Message("sketch_without_groups")]
    least = int(inputs.parameters.get("min_group", MIN_GROUP))
    frames = materials.frame("training"), materials.frame("evaluation")
    grouped = [sensitive_groupings(materials, role, columns) for role in ("training", "evaluation")]
    metrics: list[Metric] = []
    lines: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for attribute in columns:
        worst: Metric | None = None
        groups = 0
        every = dict.fromkeys((*grouped[0][attribute][1], *grouped[1][attribute][1]))
        for group in every:
            inside = [
                codes == _position(levels, group) for codes, levels in (part[attribute] for part in grouped)
            ]
            sizes = [int(rows.sum()) for rows in inside]
            if min(sizes) < least:
                params = {"attribute": attribute, "group": group, "n": min(sizes), "minimum": least}
                notes.append(Message("group_left_out", params))
                continue
            groups += 1
            parts = [frame.loc[rows] for frame, rows in zip(frames, inside, strict=True)]
            for name in names:
                if name == attribute or any(bool(part[name].isna().all()) for part in parts):
                    continue
                found = compared(name, sketch(parts[0][name], name), parts[1][name])
                metric = next(_metrics(found, inputs))
                lines.append((attribute, group, name, *sizes, metric.value))
                if worst is None or (metric.value or 0.0) > (worst.value or 0.0):
                    worst = metric
        counts = {"groups": groups, "groups_excluded": len(every) - groups}
        if worst is None:
            params = {"attribute": attribute, "n": 0, "minimum": least}
            undefined = Message("no_group_large_enough", params)
            metrics.append(
                Metric(GROUPED, None, attribute=attribute, denominators=counts, undefined=undefined)
            )
            continue
        metrics.append(
            Metric(
                GROUPED,
                worst.value,
                attribute=attribute,
                interval=worst.interval,
                level=worst.level,
                n=worst.n,
                denominators={**worst.denominators, **counts},
                minimum_n=worst.minimum_n,
            )
        )
    return metrics, lines, notes[:NAMED_EXCLUSIONS]


GROUPED = "group_population_stability_index"


def _position(levels: tuple[str, ...], group: str) -> int:
    return levels.index(group) if group in levels else -2
