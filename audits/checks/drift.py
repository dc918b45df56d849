"""Drift: how far the evaluation data has moved away from the reference (the training data, or its stored sketch).

The training data are made a sketch of first, so that both ways give the same figures. Gates are on effect size (index
0.1: watch, 0.25: moved); p-values come along as information, because with many rows every difference is significant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.distances import MEASURES, Counts, chi_square, intervals, minimum_n, wasserstein
from audits.checks.drift_counts import CurrentCounts
from audits.checks.intervals import Interval, generator, holm
from audits.checks.materials import Materials
from audits.checks.sketch_form import DIGITS, LEAST_GROUP, ZONE_DIGITS, K, Reference, Sketch, from_bytes
from audits.checks.sketches import Table as Data
from audits.checks.sketches import reference

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
    missing_change: float | None
    names: tuple[str, ...]  # of the coarse cells


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """parameters: columns (default all in both), level, replicates, min_group (rows a group needs in both data sets).

    Each metric carries the column as its `attribute`; drifted_columns counts those whose index reaches 0.25, and
    group_population_stability_index is the largest over columns and groups of one sensitive column.
    Raises CheckError naming a column that is infinite, of another kind than the reference, or not there.
    """
    found, notes = reference_of(materials)
    counts = counts_for(inputs, materials, found)
    for frame in data_of(materials, "evaluation").frames((*counts.names, *counts.groups)):
        counts.add(frame)
    return concluded(inputs, materials, counts, notes)


def data_of(materials: Materials, role: str) -> Data:
    """The data of a role: in batches where they are long, several files of one role one below the other."""
    parts = materials.parts(role) if not materials.format_of(f"{role}:2") else None
    if parts is None:
        return Data.of(materials.frame(role))
    return Data(parts.columns, lambda names: parts.frames(names))


def reference_of(materials: Materials) -> tuple[Reference, list[Message]]:
    """Of the training data, or their stored sketch where that is all there is, and a note that says so."""
    for role in ("training", "reference"):
        if materials.format_of(role) == "sketch" and (role == "training" or not materials.there("training")):
            return from_bytes(materials.bytes_of(role)), [Message("reference_is_sketch")]
    semantics = materials.semantics
    sensitive = {name: semantics.bins_of(name) for name in semantics.sensitive_columns}
    # As a sketch that may leave the zone would be made: from it and from the data come the same figures.
    k, digits = (materials.smallest_cell, ZONE_DIGITS) if materials.smallest_cell else (K, DIGITS)
    return reference(data_of(materials, "training"), sensitive, max(K, k), digits=digits), []


def counts_for(inputs: CheckInput, materials: Materials, found: Reference) -> CurrentCounts:
    """An empty count of the evaluation data over the columns that are asked for. Raises `column_missing`."""
    there = data_of(materials, "evaluation").names
    asked = inputs.parameters.get("columns")
    names = tuple(asked) if asked else tuple(name for name in there if name in found.columns)
    for name in names:
        if name not in found.columns or name not in there:
            raise CheckError("column_missing", columns=name, reader="drift")
    semantics = materials.semantics
    for name in semantics.sensitive_columns:
        if name not in there:
            raise CheckError("sensitive_missing", column=name, role="evaluation")
    return CurrentCounts(
        found, names, {name: semantics.bins_of(name) for name in semantics.sensitive_columns}
    )


def concluded(
    inputs: CheckInput, materials: Materials, counts: CurrentCounts, notes: list[Message]
) -> CheckResult:
    """The result, from what was counted of all rows."""
    references, there = counts.reference.columns, data_of(materials, "evaluation").names
    if not counts.rows:
        raise CheckError("data_empty", role="evaluation")
    counts.refuse_wrong()
    notes = notes + [
        Message("column_only_in", {"column": name, "role": role})
        for role, mine, others in (("training", references, there), ("evaluation", there, references))
        for name in sorted(mine)
        if name not in others
    ]
    metrics: list[Metric] = []
    rows: list[list[Any]] = []
    shares: list[tuple[Any, ...]] = []
    drifted = 0
    known = 0
    for name in counts.names:
        current, missing = counts.current(name)
        if references[name].kind == "empty" or missing == counts.rows:
            side = "training" if references[name].kind == "empty" else "evaluation"
            metrics += _undefined(name, Message("drift_column_empty", {"column": name, "role": side}))
            continue
        found = compared(name, references[name], current, missing)
        mine = list(_metrics(found, inputs))
        metrics += mine
        known += 1
        drifted += float(mine[0].value or 0.0) >= MOVED
        rows.append(_row(found, mine))
        shares += _shares(found)
    _correct(rows)
    metrics.append(Metric("drifted_columns", float(drifted), n=counts.rows, denominators={"columns": known}))
    by_group, lines, more = _by_group(inputs, counts)
    tables = [
        Table("drift", COLUMNS, tuple(map(tuple, rows)), {"watch": WATCH, "moved": MOVED}),
        Table("drift_distributions", DISTRIBUTION_COLUMNS, tuple(shares)),
    ]
    if lines:
        tables.append(Table("drift_by_group", GROUP_COLUMNS, tuple(lines), {"moved": MOVED}))
    return CheckResult("completed", (*metrics, *by_group), tuple(tables), (*notes, *more))


def compared(name: str, whole: Sketch, current: Counts, missing: int) -> Compared:
    """`current`: rows over the values of the reference's cells. Where few empty cells of the reference were counted
    with its last values, so are those of the current data."""
    change = None
    if whole.missing is None:
        current = current.copy()
        current[-1] += missing
    else:
        rows = int(current.sum()) + missing
        change = missing / rows - whole.missing / whole.rows
    mine = np.array(whole.counts, dtype=np.int64)
    starts, names = _coarse(whole)
    return Compared(
        name,
        whole,
        (mine, current),
        (np.add.reduceat(mine, starts), np.add.reduceat(current, starts)),
        change,
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
        found.missing_change,
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
    inputs: CheckInput, counts: CurrentCounts
) -> tuple[list[Metric], list[tuple[Any, ...]], list[Message]]:
    """The index within each sensitive group that is large enough on both sides."""
    if counts.reference.groups is None:
        return [], [], [Message("sketch_without_groups")] if counts.groups else []
    metrics: list[Metric] = []
    lines: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    for attribute, tally in counts.groups.items():
        sizes = tally.sizes()
        if attribute not in counts.compared:
            code = "reference_without_attribute"
            if attribute in counts.reference.groups:
                code = "reference_bins_differ"
            undefined = Message(code, {"attribute": attribute})
            metrics.append(Metric(GROUPED, None, attribute=attribute, undefined=undefined))
            continue
        mine, more, said = _of_attribute(inputs, counts, attribute, sizes)
        metrics.append(mine)
        lines += more
        notes += said
    return metrics, lines, notes[:NAMED_EXCLUSIONS]


def _of_attribute(
    inputs: CheckInput, counts: CurrentCounts, attribute: str, sizes: dict[str, int]
) -> tuple[Metric, list[tuple[Any, ...]], list[Message]]:
    least = int(inputs.parameters.get("min_group", MIN_GROUP))
    known = (counts.reference.groups or {})[attribute]
    place = {name: at for at, name in enumerate(known.names)}
    every = dict.fromkeys((*sizes, *known.names))
    lines: list[tuple[Any, ...]] = []
    notes: list[Message] = []
    worst: Metric | None = None
    groups = 0
    for group in every:
        about: dict[str, Any] = {"attribute": attribute, "group": group}
        if group not in place:
            told = {**about, "n": sizes[group], "minimum": max(LEAST_GROUP, counts.reference.k)}
            notes.append(Message("group_not_in_reference", told))
            continue
        both = known.rows[place[group]], sizes.get(group, 0)
        if min(both) < least:
            notes.append(Message("group_left_out", {**about, "n": min(both), "minimum": least}))
            continue
        groups += 1
        if group == known.merged:
            notes.append(Message("group_with_others", {**about, "minimum": counts.reference.k}))
        for name in counts.names:
            if (attribute, name) not in counts.crossed:
                continue
            current, missing, part = counts.of_group(attribute, place[group], name)
            if not part.n or missing == both[1]:
                continue
            metric = next(_metrics(compared(name, part, current, missing), inputs))
            lines.append((attribute, group, name, *both, metric.value))
            if worst is None or (metric.value or 0.0) > (worst.value or 0.0):
                worst = metric
    denominators = {"groups": groups, "groups_excluded": len(every) - groups}
    if worst is None:
        undefined = Message("no_group_large_enough", {"attribute": attribute, "n": 0, "minimum": least})
        metric = Metric(GROUPED, None, attribute=attribute, denominators=denominators, undefined=undefined)
        return metric, lines, notes
    metric = Metric(
        GROUPED,
        worst.value,
        attribute=attribute,
        interval=worst.interval,
        level=worst.level,
        n=worst.n,
        denominators={**worst.denominators, **denominators},
        minimum_n=worst.minimum_n,
    )
    return metric, lines, notes


GROUPED = "group_population_stability_index"
