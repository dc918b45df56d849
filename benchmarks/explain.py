"""The routes of the explainability check beside the naive `shap.Explainer(model.predict_proba, background)`.

Both explain the same rows against the same background, for the models that the naive way is written for in tutorials.
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


if __name__ == "__main__":
    main()
