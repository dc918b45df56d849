"""One record: contributions that add up to its output, a linear second opinion, and not a value repeated."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from audits.checks.lime import lime
from audits.checks.local import _number, execute
from tests.checks import cast
from tests.checks.test_explain import mixed, preparing


def asked(
    model: Any, training: pd.DataFrame, record: dict[str, Any], *, with_lime: bool = False, **changes: Any
) -> dict[str, Any]:
    question = {
        "semantics": cast.semantics(**changes),
        "materials": [
            {"role": "artifact", "digest": "sha256:00", "format": "skops"},
            {"role": "training", "digest": "sha256:00", "format": "csv"},
        ],
        "seed": 5,
        "record": record,
        "lime": with_lime,
    }
    files = {"artifact": cast.model_file(model), "training": cast.data_file(training)}
    return execute(json.loads(json.dumps(question)), files)


def one_of(frame: pd.DataFrame, columns: list[str], place: int = 3) -> dict[str, Any]:
    row = json.loads(frame[columns].iloc[[place]].to_json(orient="records"))
    return dict(row[0])


def test_contributions_add_up_to_the_output_of_that_record() -> None:
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    columns = list(model.feature_names_in_)
    result = asked(model, training, one_of(evaluation, columns))
    assert result["outcome"] == "completed", result["error"]
    (table,) = result["tables"]
    phi = dict(table["rows"])
    margin = float(model.decision_function(evaluation[columns].iloc[[3]])[0])
    assert table["params"]["output"] == pytest.approx(margin)
    assert table["params"]["base_value"] + sum(phi.values()) == pytest.approx(margin, abs=1e-9)
    assert set(phi) == set(columns)
    assert table["params"]["prediction"] == str(int(margin > 0))
    assert table["params"]["explains"] == "1"
    sizes = [abs(value) for value in phi.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_no_value_of_the_record_is_repeated() -> None:
    training, _ = mixed()
    inputs = training.drop(columns="progression")
    model = make_pipeline(preparing(), LogisticRegression()).fit(inputs, training["progression"])
    canary = {"income": 73519.25, "age": 41.0, "region": "Canary-Ward-7", "sex": "m", "name": "Maria Canária"}
    result = asked(model, training, canary, with_lime=True)
    text = json.dumps(result, ensure_ascii=False)
    assert result["outcome"] == "completed", result["error"]
    assert "Canary" not in text
    assert "Canária" not in text
    assert "73519" not in text
    codes = {note["code"]: note["params"] for note in result["notes"]}
    assert codes["record_level_unknown"] == {"column": "region"}
    assert codes["record_columns_ignored"] == {"count": 1}


@pytest.mark.parametrize(
    ("change", "code", "params"),
    [
        ({"bmi": ...}, "record_column_missing", {"columns": "bmi"}),
        ({"bmi": "Maria"}, "record_type_differs", {"column": "bmi", "expected": "float64"}),
        ({"bmi": True}, "record_type_differs", {"column": "bmi", "expected": "float64"}),
        ({"bmi": 10**400}, "record_type_differs", {"column": "bmi", "expected": "float64"}),
    ],
)
def test_a_record_that_does_not_fit(change: dict[str, Any], code: str, params: dict[str, Any]) -> None:
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    record = {**one_of(evaluation, list(model.feature_names_in_)), **change}
    record = {name: value for name, value in record.items() if value is not ...}
    result = asked(model, training, record)
    assert result["error"] == {"code": code, "params": params}


@pytest.mark.parametrize(
    ("value", "dtype", "kept"),
    [
        (2**53 + 1, "int64", 2**53 + 1),  # through a float it would come out as another one
        (3.0, "int64", 3),
        (2.5, "int64", 2.5),
        (2**64, "int64", None),
        (300, "uint8", None),
        (7, "float64", 7.0),
        (10**400, "float64", None),
    ],
)
def test_numbers_of_a_record_are_kept_exactly_or_refused(value: Any, dtype: str, kept: Any) -> None:
    column = _number(value, np.dtype(dtype))
    if kept is None:
        assert column is None
    else:
        assert column is not None
        assert column.iloc[0] == kept
        assert isinstance(kept, float) == (column.dtype.kind == "f")


def test_lime_finds_the_weights_of_a_linear_model() -> None:
    stream = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"a": stream.normal(0, 2, 400), "b": stream.normal(5, 1, 400), "c": stream.choice(["x", "y"], 400)}
    )

    def output(rows: pd.DataFrame) -> Any:
        return (3 * rows["a"] - rows["b"] + 4 * (rows["c"] == "x")).to_numpy(float)

    record = pd.DataFrame({"a": [1.0], "b": [4.0], "c": ["x"]})
    found = lime(output, frame, record, seed=2)
    spread = frame[["a", "b"]].std(ddof=0)
    assert found.weights == pytest.approx((3 * spread["a"], -spread["b"], 4), rel=0.02)
    assert found.r2 == pytest.approx(1, abs=1e-3)
    assert found.fitted == pytest.approx(3, abs=0.1)
    again = lime(output, frame, record, seed=2)
    assert again == found


def test_lime_and_shapley_agree_on_what_matters_most() -> None:
    training, evaluation = cast.diabetes()
    model = cast.logistic(training)
    columns = list(model.feature_names_in_)
    result = asked(model, training, one_of(evaluation, columns), with_lime=True)
    local = next(table for table in result["tables"] if table["id"] == "lime_local")
    assert 0.5 < local["params"]["r2"] <= 1
    weights = dict(local["rows"])
    coefficients = dict(zip(columns, model[-1].coef_[0], strict=True))
    strongest = sorted(columns, key=lambda name: -abs(coefficients[name]))[:3]
    assert all(np.sign(weights[name]) == np.sign(coefficients[name]) for name in strongest)


def test_a_missing_number_is_explained_as_missing() -> None:
    training, _ = mixed()
    inputs = training.drop(columns="progression")
    model = make_pipeline(preparing(), LogisticRegression()).fit(inputs, training["progression"])
    record = {"income": None, "age": 41.0, "region": "north", "sex": "m"}
    result = asked(model, training, record, with_lime=True)
    assert result["outcome"] == "completed", result["error"]
    row = pd.DataFrame([{**record, "income": np.nan}])
    assert result["tables"][0]["params"]["output"] == pytest.approx(float(model.decision_function(row)[0]))


def test_hostile_bytes_are_errored_here_too() -> None:
    question = {
        "semantics": cast.semantics(),
        "materials": [{"role": "artifact", "digest": "sha256:00", "format": "skops"}],
        "seed": 1,
        "record": {},
        "lime": False,
    }
    result = execute(question, {"artifact": io.BytesIO(b"PK nonsense")})
    assert (result["outcome"], result["error"]["code"]) == ("errored", "model_unreadable")
