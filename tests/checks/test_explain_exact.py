"""Attributions of nested, unusual and composed models against all 2^M coalitions, counted here by plain loops.

Where a route is interventional and each source column feeds one column of the final estimator (or the estimator is
linear), it must equal the enumeration; a tree over one-hot columns treats them as players of their own, and only their
sum is told. In every case the attributions add up to what the model itself answers, and one record explained on its
own gets the same route and the same numbers.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from audits.checks import local
from audits.checks.explain import explain
from audits.checks.materials import Materials
from tests.checks import cast

NUMBERS, TEXTS = ["a", "b"], ["c", "sex"]
COLUMNS = [*NUMBERS, *TEXTS]


def rows(n: int, seed: int, *, holes: bool = False) -> pd.DataFrame:
    stream = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": stream.normal(size=n).round(3),
            "b": stream.integers(0, 9, n).astype(float),
            "c": stream.choice(["x", "y", "z"], n),
            "sex": stream.choice(["f", "m"], n),
        }
    )
    score = frame["a"] + 1.5 * (frame["c"] == "x") - 0.2 * frame["b"] + 0.5 * (frame["sex"] == "f")
    frame["y"] = (score + stream.normal(size=n) / 2 > 0).astype(int)
    frame["three"] = np.digitize(score, [-1, 0.5])
    frame["r"] = score * 3
    if holes:
        frame.loc[stream.random(n) < 0.15, "a"] = np.nan
    return frame


def table(texts: Any = None, numbers: Any = "passthrough", *, rest: bool = False) -> ColumnTransformer:
    parts = [("texts", texts or OneHotEncoder(), TEXTS)]
    if rest:
        return ColumnTransformer(parts, remainder="passthrough")
    return ColumnTransformer([*parts, ("numbers", numbers, NUMBERS)])


LABEL = {"output": "label", "threshold": None}
REGRESSION = {
    "task": "regression",
    "output": "value",
    "threshold": None,
    "positive_label": None,
    "favourable_label": None,
}
THREE = {
    "task": "multi-class",
    "output": "label",
    "threshold": None,
    "positive_label": None,
    "favourable_label": 2,
}
two = LogisticRegression, DecisionTreeClassifier
# name: model, target, what is declared, route, equal to the enumeration
MODELS: dict[str, tuple[Any, str, dict[str, Any], str, bool]] = {
    "a pipeline in a pipeline": (
        make_pipeline(
            make_pipeline(table(), StandardScaler()), make_pipeline(MinMaxScaler(), LogisticRegression())
        ),
        "y",
        {},
        "exact",
        True,
    ),
    "a union": (
        make_pipeline(FeatureUnion([("p", table()), ("q", table(OrdinalEncoder()))]), LogisticRegression()),
        "y",
        {},
        "linear",
        True,
    ),
    "one level dropped": (
        make_pipeline(table(OneHotEncoder(drop="first"), StandardScaler()), LogisticRegression()),
        "y",
        {"positive_label": 0, "favourable_label": 1},
        "linear",
        True,
    ),
    "the rest passed through": (
        make_pipeline(
            table(OrdinalEncoder(), rest=True), RandomForestClassifier(8, max_depth=3, random_state=0)
        ),
        "y",
        {},
        "tree",
        True,
    ),
    "a forest over one-hot columns": (
        make_pipeline(table(), RandomForestClassifier(8, max_depth=3, random_state=0)),
        "three",
        THREE,
        "tree",
        False,
    ),
    "boosting from nothing": (
        make_pipeline(table(OrdinalEncoder()), GradientBoostingClassifier(n_estimators=5, init="zero")),
        "y",
        {},
        "exact",
        True,
    ),
    "components before a tree": (
        make_pipeline(table(), PCA(3), DecisionTreeClassifier(max_depth=3, random_state=0)),
        "y",
        {},
        "exact",
        True,
    ),
    "an indicator of what was missing": (
        make_pipeline(table(numbers=SimpleImputer(add_indicator=True)), LogisticRegression()),
        "y",
        {},
        "linear",
        True,
    ),
    "a transformed target": (
        TransformedTargetRegressor(
            make_pipeline(table(), LinearRegression()), transformer=QuantileTransformer(n_quantiles=20)
        ),
        "r",
        REGRESSION,
        "exact",
        True,
    ),
    "calibrated": (
        CalibratedClassifierCV(make_pipeline(table(), LogisticRegression()), cv=2),
        "y",
        {},
        "exact",
        True,
    ),
    "votes": (
        VotingClassifier([(kind.__name__, make_pipeline(table(), kind())) for kind in two]),
        "y",
        LABEL,
        "exact",
        True,
    ),
    "stacked": (
        StackingClassifier(
            [(kind.__name__, make_pipeline(table(), kind())) for kind in (*two, GaussianNB)], cv=2
        ),
        "y",
        {},
        "exact",
        True,
    ),
    "a machine without chances": (make_pipeline(table(), SVC()), "y", LABEL, "exact", True),
    "neighbours of three kinds": (
        make_pipeline(table(), KNeighborsClassifier()),
        "three",
        THREE,
        "exact",
        True,
    ),
}


def enumerated(output: Any, background: pd.DataFrame, record: pd.Series) -> tuple[list[float], float]:
    """Shapley (1953) by its definition: the weighted mean of what a column adds to every coalition without it."""
    players = list(background.columns)

    def worth(coalition: tuple[str, ...]) -> float:
        shown = background.copy()
        for name in coalition:
            shown[name] = pd.Series(
                [record[name]] * len(shown), index=shown.index, dtype=background[name].dtype
            )
        return float(np.mean(output(shown)))

    every = [
        set(found) for size in range(len(players) + 1) for found in itertools.combinations(players, size)
    ]
    known = {frozenset(found): worth(tuple(found)) for found in every}
    phi = []
    for player in players:
        total = 0.0
        for found in every:
            if player not in found:
                size = len(found)
                weight = (
                    math.factorial(size)
                    * math.factorial(len(players) - size - 1)
                    / math.factorial(len(players))
                )
                total += weight * (known[frozenset(found | {player})] - known[frozenset(found)])
        phi.append(total)
    return phi, known[frozenset()]


def answered(model: Any, space: str, frame: pd.DataFrame, positive: int) -> Any:
    """What the model itself says, without our code between."""
    if space == "value":
        return model.predict(frame)
    if space == "probability":
        return model.predict_proba(frame)[:, positive]
    if space == "decision":
        return (model.predict(frame) == model.classes_[positive]).astype(float)
    margin = model.decision_function(frame)
    return margin[:, positive] if margin.ndim == 2 else (margin if positive == 1 else -margin)


@pytest.mark.parametrize("name", list(MODELS))
def test_against_every_coalition(name: str) -> None:
    model, target, declared, route, equal = MODELS[name]
    holes = "missing" in name
    training, evaluation = rows(160, 1, holes=holes), rows(12, 2, holes=holes)
    model.fit(training[COLUMNS], training[target])
    semantics = cast.semantics(target=target, sensitive={"sex": {}}, **declared)
    inputs, files = cast.given(
        "explainability.shap",
        model=model,
        training=training[[*COLUMNS, target]],
        evaluation=evaluation[[*COLUMNS, target]],
        declared=semantics,
        model_format="pickle",
        data_format="parquet",
    )
    materials = Materials(inputs, files)
    predictor = materials.model()
    frames = materials.frame("training"), materials.frame("evaluation")
    found = explain(predictor, *frames, seed=7, max_rows=3, background_rows=10)
    assert found.route.name == route
    positive = predictor.positive if predictor.classes else 0
    own = answered(model, found.route.output_space, found.explained[COLUMNS], positive)
    assert found.found.phi.sum(axis=1) + found.found.base == pytest.approx(own, abs=1e-6)
    for place in range(len(found.explained)):
        phi, base = enumerated(
            lambda frame: answered(model, found.route.output_space, frame, positive),
            found.background[COLUMNS],
            found.explained[COLUMNS].iloc[place],
        )
        assert base == pytest.approx(found.found.base, abs=1e-6)
        if equal:
            assert found.found.phi[place] == pytest.approx(phi, abs=1e-6)

    record = {
        name: None if pd.isna(value) else value
        for name, value in found.explained[COLUMNS].iloc[0].to_dict().items()
    }
    question = {
        "seed": 7,
        "semantics": semantics,
        "materials": [item for item in inputs.to_json()["materials"] if item["role"] != "evaluation"],
        "record": record,
    }
    answer = local.execute(question, {role: files[role] for role in ("artifact", "training")})
    one = explain(predictor, frames[0], found.explained.iloc[:1], seed=7, max_rows=1, background_rows=100)
    alone = dict(answer["tables"][0]["rows"])
    assert answer["tables"][0]["params"]["route"] == route
    assert [alone[name] for name in COLUMNS] == pytest.approx(list(one.found.phi[0]), abs=1e-12)
    assert answer["tables"][0]["params"]["output"] == pytest.approx(own[0], abs=1e-9)


@pytest.mark.parametrize("check", ["explainability.shap", "evaluation.performance", "bias.group_disparity"])
def test_a_model_of_no_supported_task_is_named(check: str) -> None:
    training = rows(60, 1)
    model = make_pipeline(table(), IsolationForest(n_estimators=5, random_state=0)).fit(training[COLUMNS])
    result = cast.run(
        check,
        model=model,
        training=training,
        evaluation=rows(60, 2),
        declared=cast.semantics(target="y", sensitive={"sex": {}}, output="label", threshold=None),
        model_format="pickle",
    )
    assert (result["error"]["code"], result["error"]["params"]) == (
        "model_has_no_classes",
        {"type": "Pipeline"},
    )
