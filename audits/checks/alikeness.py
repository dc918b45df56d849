"""Evaluation data beside training data: is it later in time, with the same columns and known categories?"""

from __future__ import annotations

import pandas as pd

from audits.checks.concept_drift import counts_time, moments
from audits.checks.contract import CheckError, CheckInput, Message, Metric
from audits.checks.intervals import wilson
from audits.checks.labels import canonical_column, listed
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor

LEVEL = 0.95
NAMED = 20


def time_overlap(materials: Materials) -> list[Metric]:
    """Share of evaluation rows that are not later than the last training row; nothing without a time column."""
    column = materials.semantics.time_column
    if column is None:
        return []
    last = moments(materials, "training", column).max()
    times = moments(materials, "evaluation", column)
    kinds = [
        "number" if counts_time(materials.frame(role)[column]) else "date"
        for role in ("training", "evaluation")
    ]
    if kinds[0] != kinds[1]:  # a count of seconds and a date cannot be put in one order
        raise CheckError("column_kind_differs", column=column, training=kinds[0], evaluation=kinds[1])
    early, n = int((times <= last).sum()), len(times)
    return [Metric("time_overlap", early / n, n=n, denominators={"not_later": early, "rows": n})]


def split_notes(split: str | None, metrics: list[Metric]) -> tuple[Message, ...]:
    """A note where the data are not split the way the version declares."""
    against = {
        "time": ("time_overlap", "not_later", "split_not_by_time"),
        "entity": ("entity_overlap", "shared", "split_not_by_entity"),
    }
    name, count, code = against.get(split or "", ("", "", ""))
    for metric in metrics:
        if metric.metric == name and metric.denominators[count]:
            return (Message(code, {"rows": metric.denominators[count]}),)
    return ()


def unfamiliar(
    inputs: CheckInput, materials: Materials, predictor: Predictor
) -> tuple[list[Metric], tuple[Message, ...]]:
    """unknown_level_ratio and reordered_columns, with a note for each column and level to blame.

    parameters: unknown_levels "count" (default) or "error". Raises CheckError `unknown_level` in the latter case, and
    `columns_reordered` where the model knows its inputs by position only and the two data sets disagree about them.
    """
    training, evaluation = materials.frame("training"), materials.frame("evaluation")
    known = [name for name in predictor.features if name in training.columns and name in evaluation.columns]
    notes = []
    touched = pd.Series(False, index=evaluation.index)
    for name in known:
        if _numeric(training[name]) and _numeric(evaluation[name]):
            continue
        codes, levels = canonical_column(evaluation[name])
        new = set(levels) - set(canonical_column(training[name])[1])
        if not new:
            continue
        rows = pd.Series(codes, index=evaluation.index).isin([levels.index(level) for level in new])
        touched |= rows
        shown, count = listed(sorted(new)), int(rows.sum())
        if inputs.parameters.get("unknown_levels", "count") == "error":
            raise CheckError("unknown_level", column=name, levels=shown, rows=count)
        notes.append(Message("unknown_level", {"column": name, "levels": shown, "rows": count}))
    moved = reordered(list(predictor.features), [name for name in evaluation.columns if name in known])
    if moved and not predictor.named:
        raise CheckError("columns_reordered", columns=listed(moved))
    apart = reordered(
        [name for name in training.columns if name in known],
        [name for name in evaluation.columns if name in known],
    )
    if apart:
        if not predictor.named:
            raise CheckError("columns_reordered", columns=listed(apart))
        notes.append(Message("columns_reordered", {"columns": listed(apart)}))
    bad, n = int(touched.sum()), len(evaluation)
    return [
        Metric(
            "unknown_level_ratio",
            bad / n,
            interval=wilson(bad, n, LEVEL),
            level=LEVEL,
            n=n,
            denominators={"unknown": bad, "rows": n},
        ),
        Metric("reordered_columns", float(len(apart)), n=n, denominators={"columns": len(known)}),
    ], tuple(notes[:NAMED])


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def reordered(first: list[str], second: list[str]) -> list[str]:
    """Names that stand at another place among those both have."""
    both = [name for name in first if name in second], [name for name in second if name in first]
    return [one for one, other in zip(*both, strict=True) if one != other]
