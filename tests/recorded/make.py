"""Record what the real checks say of a real study, so that tests of pages need not compute it again.

The study: the 442 diabetes patients that scikit-learn bundles; does the disease progress faster than the median?
`python -m tests.recorded.make` trains the model, runs every check of the catalogue on it and writes diabetes.json.
"""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("diabetes.json")
SEED = 14
POINTS_KEPT = 400  # rows of the largest table: enough to draw


def study() -> tuple[dict[str, bytes], dict[str, Any]]:
    """The bytes of training, evaluation and artifact, and the semantics the version declares."""
    import numpy as np
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    bunch = load_diabetes(scaled=False, as_frame=True)
    frame = bunch.data.copy()
    frame["sex"] = frame["sex"].map({1.0: "A", 2.0: "B"})  # the study does not say which is which
    frame["progressed"] = np.where(bunch.target > bunch.target.median(), "yes", "no")
    order = np.random.default_rng(SEED).permutation(len(frame))
    evaluation, training = frame.iloc[order[:177]], frame.iloc[order[177:]]
    numbers = [name for name in frame.columns if name not in ("sex", "progressed")]

    columns = ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("sex", OneHotEncoder(drop="first"), ["sex"])]
    )
    features = [*numbers, "sex"]
    model = make_pipeline(columns, LogisticRegression(C=0.5, max_iter=1000))
    model.fit(training[features], training["progressed"])
    decided = model.predict(evaluation[features])
    scores = model.predict_proba(evaluation[features])[:, 1]
    claimed = {
        "accuracy": round(float(accuracy_score(evaluation["progressed"], decided)), 3),
        "roc_auc": round(float(roc_auc_score(evaluation["progressed"] == "yes", scores)), 3),
    }
    files = {
        "training": training.to_csv(index=False).encode(),
        "evaluation": evaluation.to_csv(index=False).encode(),
        "artifact": skops.io.dumps(model),
    }
    semantics = {
        "task": "binary",
        "target": "progressed",
        "positive_label": "yes",
        "favourable_label": "yes",
        "output": "probability",
        "threshold": 0.5,
        "sensitive": {
            "sex": {"use": "allowed", "reason": "Without it enrolment would differ more between the sexes."},
            "age": {"use": "monitored", "bins": [40, 55]},
        },
        "format": "skops",
        "framework": "scikit-learn",
        "claimed_metrics": claimed,
    }
    return files, semantics


def main() -> None:
    from audits.checks.catalogue import CATALOGUE
    from audits.checks.execute import execute

    files, semantics = study()
    formats = {"training": "csv", "evaluation": "csv", "artifact": "skops"}
    results = {}
    for slug, definition in CATALOGUE.items():
        check_input = {
            "check": slug,
            "version": definition.version,
            "parameters": {"min_group": 30} if slug.startswith("bias") else {},
            "seed": SEED,
            "semantics": semantics,
            "materials": [
                {
                    "role": role,
                    "digest": f"sha256:{sha256(files[role]).hexdigest()}",
                    "format": formats[role],
                }
                for role in definition.reads
            ],
        }
        result = execute(check_input, {role: io.BytesIO(files[role]) for role in definition.reads})
        for table in result["tables"]:
            if table["id"] == "shap_points":
                table["rows"] = table["rows"][:: max(1, len(table["rows"]) // POINTS_KEPT)]
        results[slug] = _rounded(result)
    RECORDED.write_text(json.dumps({"semantics": semantics, "results": results}, indent=None) + "\n")


def _rounded(value: Any) -> Any:
    """Six decimals are plenty to show, and keep the file small."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value


if __name__ == "__main__":
    main()
