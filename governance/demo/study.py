"""The study of the demonstration: 442 real patients, two models of one question, everything a registration needs.

`python -m governance.demo.study DIR` writes tables, model files and metadata to DIR.

Data: Efron, Hastie, Johnstone, Tibshirani, "Least Angle Regression" (2004), as bundled with scikit-learn in its
original units. The question asked here: does the disease progress faster than in half of the patients? Whoever is
predicted to progress faster is offered a place in a care programme, so 1 is both the positive label and the favourable
one. Sex (1 and 2, as the source has them) and age are sensitive.

The two versions differ in one thing only: `without` never sees sex and age, `with` does. Leaving them out makes the
difference between the sexes larger, not smaller: their share of the target is carried by other measurements.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

USE_CASE = "diabetes-progression"
PURPOSE = (
    "Select patients with diabetes for a care programme: those whose disease is predicted to progress faster than "
    "in half of the patients a year from now."
)
RISK_TIER = "high"
MODEL = "diabetes-progression"
TRAINING = "diabetes-training"
EVALUATION = "diabetes-evaluation"
TARGET = "progression"
SENSITIVE = {"sex": {}, "age": {"bins": [50]}}
SEED = 0
THRESHOLD = 0.5
WHY_SEX = (
    "Sex changes how laboratory values relate to progression. Measured on this study, leaving it out makes the "
    "selection rates of the sexes differ more, not less."
)
PROJECT = Path(__file__).resolve().parent.parent.parent
LOCK = PROJECT / "requirements.txt"


@dataclass(frozen=True)
class Variant:
    """One version: the columns it does not see, and what it declares of the sensitive ones."""

    name: str
    hidden: tuple[str, ...]
    sensitive: dict[str, dict[str, Any]]
    description: str


VARIANTS = (
    Variant(
        "without",
        ("sex", "age"),
        {"sex": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [50]}},
        "Logistic regression on eight measurements; sex and age are not among its inputs.",
    ),
    Variant(
        "with",
        (),
        {"sex": {"use": "allowed", "reason": WHY_SEX}, "age": {"use": "monitored", "bins": [50]}},
        "Logistic regression on all ten measurements, sex and age included.",
    ),
)


@dataclass(frozen=True)
class Study:
    """Where the files lie. `artifacts` and `metadata` by the name of the variant."""

    training: Path
    evaluation: Path
    artifacts: dict[str, Path]
    metadata: dict[str, Path]
    lock: Path
    """Of the environment it was trained in: what `environment_digest` is the digest of."""


def tables() -> tuple[DataFrame, DataFrame]:
    """(training, evaluation): 265 and 177 rows, ten measurements in their own units and the target, a fixed split."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    bunch = load_diabetes(scaled=False, as_frame=True)
    frame = bunch.data.copy()
    for column in ("age", "sex"):
        frame[column] = frame[column].astype(int)
    frame[TARGET] = (bunch.target > bunch.target.median()).astype(int)
    training, evaluation = train_test_split(frame, test_size=0.4, random_state=SEED, stratify=frame[TARGET])
    return training, evaluation


def build(folder: Path, *, author: str | None = None) -> Study:
    """Write the study to `folder` and say where. Tables and numbers are the same each time, with the same libraries.

    Model files are not: skops archives hold the time of writing.
    """
    import pandas

    folder.mkdir(parents=True, exist_ok=True)
    study = Study(
        training=folder / "training.csv",
        evaluation=folder / "evaluation.csv",
        artifacts={variant.name: folder / f"{variant.name}.skops" for variant in VARIANTS},
        metadata={variant.name: folder / f"{variant.name}.json" for variant in VARIANTS},
        lock=LOCK,
    )
    for frame, path in zip(tables(), (study.training, study.evaluation), strict=True):
        frame.to_csv(path, index=False)
    # Trained on what is uploaded, not on what was in memory before it was written.
    training, evaluation = pandas.read_csv(study.training), pandas.read_csv(study.evaluation)
    for variant in VARIANTS:
        metadata = _train(variant, training, evaluation, study.artifacts[variant.name])
        if author is not None:
            metadata["author"] = author
        study.metadata[variant.name].write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
    return study


def _train(variant: Variant, training: DataFrame, evaluation: DataFrame, path: Path) -> dict[str, Any]:
    import sklearn
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = [column for column in training.columns if column not in (TARGET, *variant.hidden)]
    params = {"C": 1.0, "max_iter": 1000, "random_state": SEED}
    model = make_pipeline(StandardScaler(), LogisticRegression(**params))
    model.fit(training[features], training[TARGET])
    path.write_bytes(skops.io.dumps(model))
    probability = model.predict_proba(evaluation[features])[:, 1]
    decided = (probability >= THRESHOLD).astype(int)
    return {
        "format": "skops",
        "framework": f"scikit-learn {sklearn.__version__}",
        "task": "binary",
        "target": TARGET,
        "positive_label": 1,
        "favourable_label": 1,
        "output": "probability",
        "threshold": THRESHOLD,
        "sensitive": variant.sensitive,
        "training": [f"{TRAINING}@1"],
        "evaluation": f"{EVALUATION}@1",
        "claimed_metrics": {
            "accuracy": float(accuracy_score(evaluation[TARGET], decided)),
            "roc_auc": float(roc_auc_score(evaluation[TARGET], probability)),
        },
        "params": params,
        "seed": SEED,
        "code_commit": code_commit(),
        "environment_digest": digest_of_file(LOCK),
        "use_case": USE_CASE,
        "description": variant.description,
    }


def digest_of_file(path: Path) -> str:
    """sha256:… of a file's bytes, as Crivo names it."""
    return "sha256:" + sha256(path.read_bytes()).hexdigest()


def code_commit() -> str:
    """The commit this code is at; outside a repository, SHA-256 over this file, which is the training code."""
    # A hook of somebody else's repository may have set GIT_DIR: the question is about this checkout.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        found = subprocess.run(
            ["git", "-C", str(PROJECT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
            env=environ,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found = ""
    return found or sha256(Path(__file__).read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0].startswith("-"):
        print("usage: python -m governance.demo.study DIR", file=sys.stderr)
        return 2
    study = build(Path(given[0]))
    for path in (study.training, study.evaluation, *study.artifacts.values(), *study.metadata.values()):
        print(f"{digest_of_file(path)}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
