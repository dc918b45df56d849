"""One record explained, in the confined child: attributions that add up to its own output, LIME beside them on request.

Nothing here repeats a value of the record: the answer holds names of columns, contributions and the outcome.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import pandas as pd

from audits.checks.contract import CheckError, CheckInput, CheckResult, Material, Message, Table
from audits.checks.execute import guarded_answer
from audits.checks.explain import ESTIMANDS_BACKGROUND, digest, explain
from audits.checks.labels import listed
from audits.checks.lime import lime
from audits.checks.materials import Materials
from audits.checks.predictor import Predictor

BACKGROUND_ROWS = 100
VERSION = "1"


def execute(question: dict[str, Any], files: dict[str, BinaryIO]) -> dict[str, Any]:
    """Entry point. `question`: semantics, materials (artifact and training), seed, record {column: value}, lime.

    Answers CheckResult as JSON: table `shap_local` (feature, phi), `lime_local` (feature, weight) if asked for.
    """
    return guarded_answer(lambda: _explained(question, files))


def _explained(question: dict[str, Any], files: dict[str, BinaryIO]) -> CheckResult:
    inputs = CheckInput(
        check="explanation",
        version=VERSION,
        parameters={},
        seed=int(question["seed"]),
        semantics=question["semantics"],
        materials=tuple(Material(**item) for item in question["materials"]),
    )
    materials = Materials(inputs, files)
    predictor = materials.model()
    training = materials.frame("training")
    record, notes = _row(question["record"], predictor, training)
    found = explain(
        predictor, training, record, seed=inputs.seed, max_rows=1, background_rows=BACKGROUND_ROWS
    )
    phi = found.found.phi[0]
    order = sorted(range(len(phi)), key=lambda place: (-abs(float(phi[place])), predictor.features[place]))
    route = found.route
    params = {
        "route": route.name,
        "output_space": route.output_space,
        "estimand": route.estimand,
        "base_value": found.found.base,
        "output": float(route.output(found.explained)[0]),
        "additivity_error": found.error,
        "background_rows": len(found.background) if route.estimand in ESTIMANDS_BACKGROUND else 0,
        "background_digest": digest(found.background, predictor.features),
        "seed": inputs.seed,
        "sensitive": list(materials.semantics.sensitive_columns),
        **_outcome(predictor, record),
    }
    tables = [
        Table(
            "shap_local",
            ("feature", "phi"),
            tuple((predictor.features[place], float(phi[place])) for place in order),
            params,
        )
    ]
    if question.get("lime"):
        tables.append(_lime(predictor, route, training, record, inputs.seed))
    return CheckResult("completed", tables=tuple(tables), notes=(*found.notes, *notes))


def _lime(predictor: Predictor, route: Any, training: pd.DataFrame, record: pd.DataFrame, seed: int) -> Table:
    columns = list(predictor.features)
    found = lime(route.output, training[columns], record[columns], seed=seed)
    order = sorted(range(len(columns)), key=lambda place: (-abs(found.weights[place]), columns[place]))
    params = {
        "output_space": route.output_space,
        "intercept": found.intercept,
        "fitted": found.fitted,
        "r2": found.r2,
        "samples": found.samples,
        "kernel_width": found.kernel_width,
        "seed": seed,
    }
    return Table(
        "lime_local", ("feature", "weight"), tuple((columns[at], found.weights[at]) for at in order), params
    )


def _outcome(predictor: Predictor, record: pd.DataFrame) -> dict[str, Any]:
    """What the model decides, and for which label the contributions speak."""
    if predictor.semantics.task == "regression":
        return {"prediction": float(predictor.values(record)[0])}
    label = str(predictor.labels(record)[0])
    scores = predictor.scores(record)
    return {
        "prediction": label,
        "favourable": label == predictor.semantics.favourable_label,
        "explains": predictor.classes[predictor.positive],
        "score": None if scores is None else float(scores[0]),
    }


def _row(
    record: dict[str, Any], predictor: Predictor, training: pd.DataFrame
) -> tuple[pd.DataFrame, tuple[Message, ...]]:
    """The record as a frame of one row with the types of the training data. Raises CheckError naming columns only."""
    missing = [name for name in predictor.features if name not in record]
    if missing:
        raise CheckError("record_column_missing", columns=listed(missing))
    notes = []
    columns: dict[str, Any] = {}
    for name in predictor.features:
        if name not in training.columns:
            raise CheckError("column_missing", columns=name, reader="model")
        value, known = record[name], training[name]
        if pd.api.types.is_bool_dtype(known.dtype):
            column = pd.Series([bool(value)]) if isinstance(value, bool) else None
        elif pd.api.types.is_numeric_dtype(known.dtype):
            column = _number(value, known.dtype)
        else:
            column = pd.Series([None if value is None else str(value)], dtype=known.dtype)
            if value is not None and not bool((known == str(value)).any()):
                notes.append(Message("record_level_unknown", {"column": name}))
        if column is None:
            raise CheckError("record_type_differs", column=name, expected=str(known.dtype))
        columns[name] = column
    ignored = len(set(record) - set(predictor.features))
    if ignored:
        notes.append(Message("record_columns_ignored", {"count": ignored}))
    return pd.DataFrame(columns), tuple(notes)


def _number(value: Any, dtype: Any) -> pd.Series | None:
    """A cell of numbers, exact where the column holds whole ones; None for what is no number, or too large for it."""
    if value is None:
        return pd.Series([None], dtype=float)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        if pd.api.types.is_integer_dtype(dtype) and (isinstance(value, int) or value.is_integer()):
            return pd.Series([int(value)], dtype=dtype)
        return pd.Series([value], dtype=float)
    except (OverflowError, ValueError):
        return None
