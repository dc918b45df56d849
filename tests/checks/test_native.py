"""XGBoost and LightGBM explained by their own attributions, everything else by its own answers; through pipelines."""

from __future__ import annotations

import io
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from audits.checks import routes
from audits.checks.explain import explain
from audits.checks.loading import load_model
from audits.checks.predictor import Predictor
from audits.checks.semantics import Semantics
from tests.checks import cast
from tests.checks.test_explain import mixed, preparing

REGRESSION = {"task": "regression", "output": "value", "positive_label": None, "favourable_label": None}
LIBRARIES: dict[str, Any] = {
    "xgboost": lambda **how: xgboost.XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1, **how),
    "lightgbm": lambda **how: lightgbm.LGBMClassifier(n_estimators=12, n_jobs=1, verbose=-1, **how),
}


def explained(model: Any, training: pd.DataFrame, evaluation: pd.DataFrame, **declared: Any) -> Any:
    predictor = Predictor(model, Semantics.read(cast.semantics(**declared)), columns=tuple(training.columns))
    found = explain(predictor, training, evaluation, seed=3, max_rows=12, background_rows=30)
    output = found.route.output(found.explained)
    total = found.found.phi.sum(axis=1) + found.found.base
    assert (np.abs(total - output) <= 1e-4 * np.maximum(1, np.abs(output))).all()
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_through_a_pipeline_the_one_hot_columns_return_to_their_source(library: str) -> None:
    training, evaluation = mixed()
    inputs = training.drop(columns="progression")
    model = make_pipeline(preparing(), LIBRARIES[library]()).fit(inputs, training["progression"])
    found = explained(model, training, evaluation, output="label")
    assert (found.route.name, found.route.output_space, found.route.estimand) == (
        "native",
        "margin",
        "path-dependent",
    )
    assert found.found.phi.shape == (12, 4)
    chance = model.predict_proba(found.explained[inputs.columns])[:, 1]
    assert 1 / (1 + np.exp(-(found.found.phi.sum(axis=1) + found.found.base))) == pytest.approx(
        chance, abs=1e-5
    )


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("positive", [0, 1])
def test_a_file_alone_with_holes_and_either_sign(library: str, positive: int) -> None:
    training, evaluation = cast.diabetes()
    for frame in (training, evaluation):
        frame.loc[::7, "bmi"] = np.nan
    model = LIBRARIES[library]().fit(training.drop(columns="progression"), training["progression"])
    text = (
        model.get_booster().save_raw(raw_format="ubj")
        if library == "xgboost"
        else model.booster_.model_to_string().encode()
    )
    loaded = load_model(io.BytesIO(bytes(text)), library).estimator
    found = explained(loaded, training, evaluation, positive_label=positive, favourable_label=positive)
    assert found.route.name == "native"
    chance = model.predict_proba(found.explained[list(training.columns[:-1])])[:, positive]
    total = found.found.phi.sum(axis=1) + found.found.base
    assert 1 / (1 + np.exp(-total)) == pytest.approx(chance, abs=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_categories_by_name(library: str) -> None:
    training, evaluation = (frame.assign(sex=frame["sex"].map({1: "f", 2: "m"})) for frame in cast.diabetes())
    how: dict[str, Any] = {"enable_categorical": True} if library == "xgboost" else {"min_child_samples": 5}
    inputs = training.drop(columns="progression").astype({"sex": "category"})
    model = LIBRARIES[library](**how).fit(inputs, training["progression"])
    text = (
        model.get_booster().save_raw(raw_format="json")
        if library == "xgboost"
        else model.booster_.model_to_string().encode()
    )
    found = explained(load_model(io.BytesIO(bytes(text)), library).estimator, training, evaluation)
    assert found.route.name == "native"


def three_classes() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    training, evaluation = mixed()
    for frame in (training, evaluation):
        frame["progression"] = pd.cut(
            frame["age"], [0, 40, 60, 200], labels=["young", "middle", "old"]
        ).astype(str)
    declared = {"task": "multiclass", "positive_label": None, "favourable_label": "old", "threshold": None}
    return training, evaluation, {**declared, "output": "label"}


@pytest.mark.parametrize(
    ("last", "route", "space"),
    [
        (LogisticRegression(max_iter=500), "linear", "margin"),
        (RandomForestClassifier(8, random_state=0), "tree", "probability"),
        (GradientBoostingClassifier(n_estimators=4, random_state=0), "exact", "probability"),
        (HistGradientBoostingClassifier(max_iter=4, random_state=0), "exact", "probability"),
        (lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1), "native", "margin"),
    ],
)
def test_several_classes_are_explained_for_the_favourable_one(last: Any, route: str, space: str) -> None:
    training, evaluation, declared = three_classes()
    prepare = make_column_transformer(
        (SimpleImputer(), ["income", "age"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["region", "sex"]),
    )
    model = make_pipeline(prepare, last).fit(training.drop(columns="progression"), training["progression"])
    found = explained(model, training, evaluation, **declared)
    assert (found.route.name, found.route.output_space) == (route, space)
    strongest = np.abs(found.found.phi).mean(axis=0).argmax()
    assert list(model.feature_names_in_)[strongest] == "age"


def test_a_transformed_target_is_explained_in_its_own_unit() -> None:
    training, evaluation = mixed()
    for frame in (training, evaluation):
        frame["progression"] = np.exp(frame["age"] / 40) * 100
    inner = make_pipeline(preparing(), Ridge())
    model = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
    model.fit(training.drop(columns="progression"), training["progression"])
    found = explained(model, training, evaluation, **REGRESSION)
    assert (found.route.name, found.route.output_space) == ("exact", "value")
    values = model.predict(found.explained[list(training.columns[:-1])])
    assert found.found.phi.sum(axis=1) + found.found.base == pytest.approx(values)


def test_a_log_link_is_explained_by_its_answers() -> None:
    """Its own attributions add up to the logarithm, not to what it answers: they are left."""
    training, evaluation = cast.diabetes()
    for frame in (training, evaluation):
        frame["progression"] = np.round(frame["bmi"])
    few = ["bmi", "bp", "s5"]
    model = lightgbm.LGBMRegressor(objective="poisson", n_estimators=10, n_jobs=1, verbose=-1)
    model.fit(training[few], training["progression"])
    found = explained(model, training, evaluation, **REGRESSION)
    assert found.route.name == "exact"
    assert [note.code for note in found.notes] == ["route_not_additive"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_regression_in_its_own_unit(library: str) -> None:
    training, evaluation = cast.diabetes()
    inputs = training.drop(columns="progression")
    kind = xgboost.XGBRegressor if library == "xgboost" else lightgbm.LGBMRegressor
    model = kind(n_estimators=10, n_jobs=1).fit(inputs, inputs["bmi"] * 3 + inputs["s5"])
    found = explained(model, training, evaluation, **REGRESSION)
    assert (found.route.name, found.route.output_space) == ("native", "value")


def test_histogram_boosting_with_holes_is_explained_by_its_answers() -> None:
    training, evaluation = mixed()
    columns = ["income", "age"]
    model = HistGradientBoostingRegressor(max_iter=5).fit(training[columns], training["age"] * 2)
    found = explained(model, training, evaluation, **REGRESSION)
    assert (found.route.name, found.error <= 1e-4) == ("exact", True)


def test_a_share_without_a_source_is_not_given_away() -> None:
    """Path-dependent attributions charge a column even where it never varies among the rows at hand."""
    training, evaluation = mixed()
    inputs = training.drop(columns="progression")
    model = make_pipeline(preparing(), LIBRARIES["lightgbm"]()).fit(inputs, training["progression"])
    north = [frame[frame["region"] == "north"].reset_index(drop=True) for frame in (training, evaluation)]
    found = explained(model, *north)
    codes = [note.code for note in found.notes]
    assert (found.route.name, codes) in (("exact", ["route_not_attributable"]), ("native", []))


def test_ten_columns_is_where_enumeration_ends() -> None:
    training, _ = cast.diabetes()
    inputs = training.drop(columns="progression")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, training["progression"])
    chosen = routes.choose(Predictor(model, Semantics.read(cast.semantics())), seed=1)
    assert [route.name for route in chosen] == ["linear", "exact"]
