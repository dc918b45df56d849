"""The routes of the explainability check beside the naive `shap.Explainer(model.predict_proba, background)`.

Both explain the same rows against the same background, for the models that the naive way is written for in tutorials.

Then, for tree ensembles of many shapes: how well an estimate from the model alone predicts what TreeSHAP takes. The
spread is the largest time per unit of the estimate divided by the smallest: 1 would be a perfect estimate, and the row
cap of audits/checks/routes.py rests on the best one for the algorithm it uses (interventional).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import ground

ROWS, BACKGROUND, SEED = 25, 100, 7


def models(frame: pd.DataFrame, target: pd.Series) -> list[tuple[str, Any]]:
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier

    made: list[tuple[str, Any]] = [
        ("logistic pipeline", make_pipeline(StandardScaler(), LogisticRegression())),
        ("random forest", RandomForestClassifier(100, max_depth=8, random_state=SEED, n_jobs=1)),
        ("HistGradientBoosting", HistGradientBoostingClassifier(random_state=SEED)),
        ("XGBoost", XGBClassifier(n_estimators=100, max_depth=4, random_state=SEED, n_jobs=1)),
        ("LightGBM", LGBMClassifier(n_estimators=100, random_state=SEED, n_jobs=1, verbose=-1)),
    ]
    return [(name, model.fit(frame, target)) for name, model in made]


def ensembles() -> list[tuple[str, Any, Any]]:
    """(name, fitted, its rows): few and many leaves, shallow and deep, one output and five."""
    from sklearn.datasets import make_classification, make_regression
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
        RandomForestRegressor,
    )

    def data(rows: int, classes: int = 2) -> Any:
        return make_classification(
            rows, 20, n_informative=6, n_classes=classes, flip_y=0.1, random_state=SEED
        )

    values = make_regression(4000, 20, n_informative=6, noise=5, random_state=SEED)
    made: list[tuple[str, Any, Any]] = [
        ("forest, depth 4", RandomForestClassifier(50, max_depth=4, random_state=SEED), data(4000)),
        ("forest, depth 8", RandomForestClassifier(50, max_depth=8, random_state=SEED), data(4000)),
        ("forest, full", RandomForestClassifier(30, random_state=SEED), data(400)),
        ("forest, full, more rows", RandomForestClassifier(30, random_state=SEED), data(8000)),
        ("forest, five classes", RandomForestClassifier(20, random_state=SEED), data(4000, 5)),
        ("extra trees, full", ExtraTreesClassifier(20, random_state=SEED), data(4000)),
        ("forest of a regression", RandomForestRegressor(10, random_state=SEED), values),
        ("boosting, depth 3", GradientBoostingClassifier(random_state=SEED), data(4000)),
        ("boosting, depth 8", GradientBoostingClassifier(n_estimators=30, max_depth=8, random_state=SEED), data(4000)),
        ("histogram, 31 leaves", HistGradientBoostingClassifier(random_state=SEED), data(4000)),
        ("histogram, 255 leaves", HistGradientBoostingClassifier(max_leaf_nodes=255, random_state=SEED), data(8000)),
    ]  # fmt: skip
    return [(name, model.fit(*rows), rows[0]) for name, model, rows in made]


def estimates(model: Any) -> dict[str, float]:
    from audits.checks.routes import _leaves, tree_work

    leaves = _leaves(model)[0]
    if hasattr(model, "_predictors"):
        depth = max(tree.get_max_depth() for iteration in model._predictors for tree in iteration)
    else:
        depth = max(tree.get_depth() for tree in np.ravel(model.estimators_))
    return {
        "trees × depth²": float(len(leaves) * depth**2),
        "trees × leaves × depth²": float(leaves.sum() * depth**2),
        "trees × leaves": float(leaves.sum()),
        "outputs × Σ leaves^0.6": tree_work(model),
    }


def cost_of_trees() -> None:
    import time

    import shap

    def cpu(call: Any) -> float:
        found = []
        for _ in range(3):
            start = time.process_time()
            call()
            found.append(time.process_time() - start)
        return min(found)

    explained, behind = 20, 50
    taken: dict[str, list[float]] = {"interventional": [], "path-dependent": []}
    guessed: list[dict[str, float]] = []
    rows: list[tuple[Any, ...]] = []
    for name, model, values in ensembles():
        masker = shap.maskers.Independent(values[:behind], max_samples=behind)
        against = shap.TreeExplainer(
            model, data=masker, feature_perturbation="interventional", model_output="raw"
        )
        along = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        last = values[-explained:]
        pair = cpu(lambda: against.shap_values(last, check_additivity=False)) / (explained * behind)  # noqa: B023
        row = cpu(lambda: along.shap_values(last, check_additivity=False)) / explained  # noqa: B023
        taken["interventional"].append(pair)
        taken["path-dependent"].append(row)
        guessed.append(estimates(model))
        rows.append(
            (
                name,
                f"{pair * 1e6:.0f}",
                f"{row * 1e6:.0f}",
                f"{pair / guessed[-1]['outputs × Σ leaves^0.6'] * 1e9:.0f}",
            )
        )
    ground.table(
        "TreeSHAP, CPU time",
        ("ensemble", "µs per pair of rows", "path-dependent, µs per row", "ns per unit"),
        rows,
    )
    spread = []
    for estimate in guessed[0]:
        found = [estimate]
        for times in taken.values():
            units = [time_ / guess[estimate] for time_, guess in zip(times, guessed, strict=True)]
            found.append(f"{max(units) / min(units):.1f}")
        spread.append(tuple(found))
    ground.table("Largest time per unit / smallest", ("estimate", *taken), spread)


def main() -> None:
    import shap
    from sklearn.datasets import make_classification

    from audits.checks.explain import explain
    from audits.checks.predictor import Predictor
    from audits.checks.semantics import Semantics

    values, labels = make_classification(2000, 12, n_informative=6, random_state=SEED)
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(values.shape[1])])
    target = pd.Series(labels, name="y")
    training, evaluation = frame.iloc[:1500], frame.iloc[1500:].reset_index(drop=True)
    semantics = Semantics.read(
        {"task": "binary", "target": "y", "output": "probability", "positive_label": 1, "favourable_label": 1}
    )
    rows: list[tuple[Any, ...]] = []
    for name, model in models(training, target.iloc[:1500]):
        predictor = Predictor(model, semantics)
        found: dict[str, Any] = {}

        def ours(predictor: Predictor = predictor, found: dict[str, Any] = found) -> None:
            found["explanation"] = explain(
                predictor, training, evaluation, seed=SEED, max_rows=ROWS, background_rows=BACKGROUND
            )

        def naive(model: Any = model) -> None:
            columns = list(training.columns)

            def probability(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
                return np.asarray(model.predict_proba(pd.DataFrame(given, columns=columns))[:, 1])

            explainer = shap.Explainer(probability, training.to_numpy()[:BACKGROUND], seed=SEED)
            explainer(evaluation.to_numpy()[:ROWS], silent=True)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine, theirs = ground.timed(ours, 2)[0], ground.timed(naive, 1)[0]
        explanation = found["explanation"]
        explained = len(explanation.explained)
        rows.append(
            (name, explanation.route.name, explained, mine / explained, theirs / ROWS,
             (theirs / ROWS) / (mine / explained), f"{explanation.error:.1e}")
        )  # fmt: skip
    ground.table(
        f"One explained row, {values.shape[1]} columns, background of {BACKGROUND}",
        ("model", "route", "rows", "Crivo ms", "shap.Explainer ms", "times faster", "additivity error"),
        rows,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cost_of_trees()


if __name__ == "__main__":
    main()
