"""Performance recomputed by us on the evaluation data, beside what was claimed, a dummy and the training data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.alikeness import split_notes, time_overlap, unfamiliar
from audits.checks.claims import ALIASES, TOLERANCE
from audits.checks.contract import CheckError, CheckInput, CheckResult, Message, Metric, Table
from audits.checks.costs import cheapest, cost_gain, cost_table, expected_cost
from audits.checks.labels import Codes, canonical_column, listed
from audits.checks.leakage import refuse_leakage
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor
from audits.checks.scores import (
    Figure,
    brier,
    confusion_figures,
    regression_figures,
    roc_auc,
)

LEVEL = 0.95
BINS = 10


def run(inputs: CheckInput, materials: Materials) -> CheckResult:
    """Metrics as the catalogue names them; interval at 95 %.

    generalisation_gap is training minus evaluation accuracy (r2 for regression); baseline_gain the gain in accuracy
    over always answering the most frequent training class (for regression the relative drop in mean absolute error
    against always answering the training median); row_overlap the share of evaluation rows (inputs and target) that
    also occur in training; time_overlap the share not later than the last training row; unknown_level_ratio the share
    with a category that training never had; expected_cost and cost_gain what a row costs by the cost matrix, and how
    much less than with the cheapest constant answer. Raises CheckError where the target has one class only.
    """
    predictor = materials.model()
    for role in ("training", "evaluation"):
        refuse_leakage(materials, predictor, role)
    unknown, columns = unfamiliar(inputs, materials, predictor)
    if materials.semantics.task == "regression":
        figures, training, baseline, tables = _regression(materials, predictor)
        gap_of, costs = "r2", []
    else:
        figures, training, baseline, tables = _classification(inputs, materials, predictor)
        gap_of = "accuracy"
        costs = _costs(materials, predictor, figures, training, baseline)
    metrics = [_metric(name, figure) for name, figure in figures.items()]
    metrics.append(_gap(gap_of, training[gap_of], figures[gap_of]))
    metrics.append(_gain(materials.semantics.task, figures, baseline))
    metrics += costs
    metrics += _overlaps(materials, predictor)
    metrics += time_overlap(materials)
    metrics += unknown
    columns = (*columns, *split_notes(materials.semantics.split, metrics))
    claimed, claim_metric, notes = _claims(inputs, materials, figures)
    metrics.append(claim_metric)
    table = Table(
        "evaluation",
        ("metric", "training", "evaluation", "claimed", "baseline"),
        tuple(
            (
                name,
                _value(training.get(name)),
                figure.value,
                claimed.get(name),
                _value(baseline.get(name)),
            )
            for name, figure in figures.items()
        ),
    )
    return CheckResult("completed", tuple(metrics), (table, *tables), (*notes, *columns))


Figures = dict[str, Figure]
Found = tuple[Figures, Figures, Figures, tuple[Table, ...]]


def _classification(inputs: CheckInput, materials: Materials, predictor: Predictor) -> Found:
    truth = {role: _truth(materials, predictor, role) for role in ("training", "evaluation")}
    positive = predictor.positive if materials.semantics.task == "binary" else None
    figures: dict[str, Figures] = {}
    for role, true in truth.items():
        figures[role] = classification_figures(
            predictor, materials.frame(role), true, positive, seed=inputs.seed
        )
    true = truth["evaluation"]
    decided = predictor.label_codes(materials.frame("evaluation"))
    size = len(predictor.classes)
    most_frequent = int(np.bincount(truth["training"], minlength=size).argmax())
    dummy = confusion_figures(
        _confusion(true, np.full(len(true), most_frequent), size), positive, seed=inputs.seed, level=LEVEL
    )
    tables = [_confusion_table(_confusion(true, decided, size), predictor.classes)]
    scores = predictor.scores(materials.frame("evaluation")) if positive is not None else None
    if scores is not None:
        tables.append(calibration(true == positive, scores))
    return figures["evaluation"], figures["training"], dummy, tuple(tables)


def _costs(
    materials: Materials, predictor: Predictor, evaluation: Figures, training: Figures, dummy: Figures
) -> list[Metric]:
    """Adds expected_cost to the figures, and gives cost_gain; nothing without a declared cost matrix."""
    table = cost_table(materials.semantics.costs, predictor.classes)
    if table is None:
        return []
    roles = ("training", "evaluation")
    truth = {role: materials.truth(role, predictor.classes) for role in roles}
    decided = {role: predictor.label_codes(materials.frame(role)) for role in roles}
    for role, figures in (("training", training), ("evaluation", evaluation)):
        figures["expected_cost"] = expected_cost(table, truth[role], decided[role], LEVEL)
    constant = cheapest(table, truth["training"])
    answer = np.full_like(truth["evaluation"], constant)
    dummy["expected_cost"] = expected_cost(table, truth["evaluation"], answer, LEVEL)
    return [cost_gain(table, truth["evaluation"], decided["evaluation"], constant, LEVEL)]


def _truth(materials: Materials, predictor: Predictor, role: str) -> Codes:
    true = materials.truth(role, predictor.classes)
    if len(np.unique(true)) < 2:
        raise CheckError("target_single_class", role=role, column=materials.semantics.target, count=1)
    return true


def classification_figures(
    predictor: Predictor, frame: pd.DataFrame, true: Codes, positive: int | None, *, seed: int
) -> Figures:
    """Everything computed of a classifier; `true` as positions in its classes, `positive` None for multi-class."""
    size = len(predictor.classes)
    table = _confusion(true, predictor.label_codes(frame), size)
    figures = confusion_figures(table, positive, seed=seed, level=LEVEL)
    missing = Message("model_gives_no_scores", {"output": predictor.semantics.output})
    probabilities = predictor.probabilities(frame)
    if positive is not None:
        ranking = predictor.ranking(frame)
        figures["roc_auc"] = (
            Figure(None, len(true), undefined=missing)
            if ranking is None
            else roc_auc(true == positive, ranking, LEVEL)
        )
    else:
        figures["roc_auc"] = (
            Figure(None, len(true), undefined=missing)
            if probabilities is None
            else _macro_auc(true, probabilities)
        )
    figures["brier_score"] = (
        Figure(None, len(true), undefined=missing)
        if probabilities is None
        else brier(true, probabilities, positive, LEVEL)
    )
    return figures


def _macro_auc(true: Codes, probabilities: npt.NDArray[np.float64]) -> Figure:
    """Mean of one-vs-rest areas; undefined when a class has no row. No interval: the areas are not independent."""
    areas = [roc_auc(true == place, column, LEVEL).value for place, column in enumerate(probabilities.T)]
    known = [area for area in areas if area is not None]
    if len(known) < len(areas):
        return Figure(None, len(true), undefined=Message("class_without_rows", {"metric": "roc_auc"}))
    return Figure(float(np.mean(known)), len(true), None, {"rows": len(true), "classes": len(areas)})


def _regression(materials: Materials, predictor: Predictor) -> Found:
    figures: dict[str, Figures] = {}
    truth = {role: materials.truth_values(role) for role in ("training", "evaluation")}
    for role, true in truth.items():
        figures[role] = regression_figures(true, predictor.values(materials.frame(role)), LEVEL)
    median = np.full(len(truth["evaluation"]), np.median(truth["training"]))
    dummy = regression_figures(truth["evaluation"], median, LEVEL)
    return figures["evaluation"], figures["training"], dummy, ()


def _confusion(true: Codes, decided: Codes, size: int) -> npt.NDArray[np.int64]:
    return np.bincount(true * size + decided, minlength=size * size).reshape(size, size).astype(np.int64)


def _confusion_table(table: npt.NDArray[np.int64], classes: tuple[str, ...]) -> Table:
    rows = tuple(
        (truth, prediction, int(table[row, column]))
        for row, truth in enumerate(classes)
        for column, prediction in enumerate(classes)
    )
    return Table("confusion", ("truth", "prediction", "n"), rows)


def calibration(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> Table:
    """Ten bins of equal width over [0, 1], the last closed; an empty bin has nulls, not zeros."""
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    rows: list[tuple[Any, ...]] = []
    for number in range(BINS):
        inside = place == number
        n = int(inside.sum())
        mean = float(scores[inside].mean()) if n else None
        observed = float(truth[inside].mean()) if n else None
        rows.append((number / BINS, (number + 1) / BINS, n, mean, observed))
    return Table("calibration", ("bin_low", "bin_high", "n", "mean_score", "observed_rate"), tuple(rows))


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _metric(name: str, figure: Figure) -> Metric:
    return Metric(
        name,
        figure.value,
        interval=figure.interval,
        level=None if figure.interval is None else LEVEL,
        n=figure.n,
        denominators=figure.denominators,
        undefined=figure.undefined,
    )


def _gap(name: str, training: Figure, evaluation: Figure) -> Metric:
    counts = {"training_rows": training.n, "evaluation_rows": evaluation.n}
    if training.value is None or evaluation.value is None:
        undefined = training.undefined or evaluation.undefined
        return Metric("generalisation_gap", None, n=evaluation.n, denominators=counts, undefined=undefined)
    # independent samples: half-widths add in squares (Newcombe 1998, method 10)
    interval = None
    if training.interval is not None and evaluation.interval is not None:
        value = training.value - evaluation.value
        below = math.hypot(training.value - training.interval[0], evaluation.interval[1] - evaluation.value)
        above = math.hypot(training.interval[1] - training.value, evaluation.value - evaluation.interval[0])
        interval = value - below, value + above
    return Metric(
        "generalisation_gap",
        training.value - evaluation.value,
        interval=interval,
        level=None if interval is None else LEVEL,
        n=evaluation.n,
        denominators=counts,
    )


def _gain(task: str, figures: Figures, baseline: Figures) -> Metric:
    if task != "regression":
        mine, theirs = figures["accuracy"], baseline["accuracy"]
        assert mine.value is not None and theirs.value is not None  # noqa: S101, PT018 (accuracy always is)
        return Metric("baseline_gain", mine.value - theirs.value, n=mine.n, denominators={"rows": mine.n})
    mine, theirs = figures["mae"], baseline["mae"]
    if not theirs.value or mine.value is None:
        return Metric("baseline_gain", None, n=mine.n, undefined=Message("target_constant"))
    return Metric("baseline_gain", 1 - mine.value / theirs.value, n=mine.n, denominators={"rows": mine.n})


def _overlaps(materials: Materials, predictor: Predictor) -> list[Metric]:
    training, evaluation = materials.frame("training"), materials.frame("evaluation")
    columns = (*predictor.features, materials.semantics.target)
    missing = [name for name in columns if name not in training.columns]
    if missing:
        raise CheckError("column_missing", columns=listed(missing), reader="training")
    # what is a number in the one file and text in the other (a single bad cell does that) is compared as text
    mixed = frozenset(name for name in columns if _numeric(training[name]) != _numeric(evaluation[name]))
    found = [_overlap("row_overlap", lambda frame: row_keys(frame, columns, mixed), training, evaluation)]
    entity = materials.semantics.entity_key
    if entity is not None:
        for role in ("training", "evaluation"):
            if bool(materials.column(role, entity, "entity_key").isna().any()):
                raise CheckError("entity_key_missing", role=role, column=entity)
        differs = _numeric(training[entity]) != _numeric(evaluation[entity])
        apart = frozenset({entity} if differs else ())
        found.append(
            _overlap("entity_overlap", lambda frame: row_keys(frame, (entity,), apart), training, evaluation)
        )
    return found


def _overlap(
    name: str,
    keys: Callable[[pd.DataFrame], npt.NDArray[np.uint64]],
    training: pd.DataFrame,
    evaluation: pd.DataFrame,
) -> Metric:
    shared = int(np.isin(keys(evaluation), keys(training)).sum())
    n = len(evaluation)
    return Metric(name, shared / n, n=n, denominators={"shared": shared, "rows": n})


def _numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype))


def row_keys(
    frame: pd.DataFrame, columns: tuple[str, ...], as_text: frozenset[str] = frozenset()
) -> npt.NDArray[np.uint64]:
    """A 64-bit hash per row that does not depend on how a file stored its numbers (1 and 1.0 agree).

    Whole numbers that no float holds are told apart. `as_text`: columns to compare by their canonical text.
    """
    alike = {}
    beyond = np.zeros(len(frame), dtype=np.uint64)
    for position, name in enumerate(columns):
        column = frame[name]
        if _numeric(column) and name not in as_text:
            beyond ^= _beyond_floats(column, position)
            # + 0.0 turns -0.0 into 0.0, which hash apart
            alike[position] = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0)
        else:
            codes, levels = canonical_column(column)
            names = np.array([*levels, ""], dtype=object)
            alike[position] = pd.Series(names[codes], dtype=object)
    hashed = pd.util.hash_pandas_object(pd.DataFrame(alike), index=False)
    return np.asarray(hashed.to_numpy(), dtype=np.uint64) ^ beyond


def _beyond_floats(column: pd.Series, position: int) -> npt.NDArray[np.uint64]:
    """A hash of each whole number that a float rounds (account numbers of 18 digits are such), 0 of any other."""
    found = np.zeros(len(column), dtype=np.uint64)
    if column.dtype.kind not in "iu":
        return found
    values = column.to_numpy()
    large = np.flatnonzero((values > 2**53) | (values < -(2**53)))
    if large.size:
        exact = values[large]
        with np.errstate(invalid="ignore"):  # 2**63 comes back as something else, which is what is asked
            rounded = exact.astype(np.float64).astype(exact.dtype) != exact
        hashes = pd.util.hash_array(exact[rounded].astype(np.uint64))
        found[large[rounded]] = hashes * np.uint64(2 * position + 1)
    return found


def _claims(
    inputs: CheckInput, materials: Materials, figures: Figures
) -> tuple[dict[str, float], Metric, tuple[Message, ...]]:
    """Claimed values by our names, the largest gap to ours, and a note for each claim that is off or unknown."""
    tolerance = float(inputs.parameters.get("claim_tolerance", TOLERANCE))
    claimed: dict[str, float] = {}
    notes: list[Message] = []
    for name, value in materials.semantics.claimed_metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise CheckError("claimed_metric_invalid", metric=name)
        ours = ALIASES.get(name, name)
        if ours in figures:
            claimed[ours] = float(value)
        else:
            notes.append(Message("claimed_metric_unknown", {"metric": name}))
    gaps: list[float] = []
    for name, value in claimed.items():
        found = figures[name].value
        if found is None:
            undefined = Message("claimed_metric_undefined", {"metric": name})
            return claimed, Metric("claimed_metric_gap", None, undefined=undefined), tuple(notes)
        gaps.append(abs(value - found))
        if gaps[-1] > tolerance:
            params = {"metric": name, "claimed": value, "found": found, "tolerance": tolerance}
            notes.append(Message("claim_differs", params))
    if not gaps:
        nothing = Metric("claimed_metric_gap", None, undefined=Message("nothing_claimed"))
        return claimed, nothing, tuple(notes)
    n = next(iter(figures.values())).n
    return (
        claimed,
        Metric("claimed_metric_gap", max(gaps), n=n, denominators={"claims": len(gaps)}),
        tuple(notes),
    )
