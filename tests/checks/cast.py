"""Small real inputs for checks: the diabetes study, model files in each format, one call to run a check."""

from __future__ import annotations

import io
import pickle
from typing import Any, BinaryIO

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckInput, Material
from audits.checks.execute import execute
from audits.checks.materials import Materials

AGE_BINS = [50, 65]


def diabetes() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and evaluation rows with the target `progression`: above the median or not."""
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.copy()
    frame["progression"] = (data.target > data.target.median()).astype(int)
    training, evaluation = train_test_split(
        frame, test_size=0.4, random_state=0, stratify=frame["progression"]
    )
    return training.reset_index(drop=True), evaluation.reset_index(drop=True)


def logistic(training: pd.DataFrame, without: tuple[str, ...] = ()) -> Pipeline:
    inputs = training.drop(columns=["progression", *without])
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(inputs, training["progression"])


def semantics(**changes: Any) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "task": "binary",
        "target": "progression",
        "output": "probability",
        "threshold": 0.5,
        "positive_label": 1,
        "favourable_label": 1,
        "sensitive": {
            "sex": {"use": "allowed", "reason": "clinical", "bins": None},
            "age": {"use": "monitored", "bins": AGE_BINS},
        },
        "claimed_metrics": {},
    }
    return {**declared, **changes}


def model_file(model: Any, format_: str = "skops") -> BinaryIO:
    if format_ == "skops":
        return io.BytesIO(skops.io.dumps(model))
    if format_ == "joblib":
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        buffer.seek(0)
        return buffer
    return io.BytesIO(pickle.dumps(model))


def data_file(frame: pd.DataFrame | str | bytes, format_: str = "csv") -> BinaryIO:
    if isinstance(frame, bytes):
        return io.BytesIO(frame)
    if isinstance(frame, str):
        return io.BytesIO(frame.encode())
    if format_ == "parquet":
        return io.BytesIO(frame.to_parquet(index=False))
    return io.BytesIO(frame.to_csv(index=False).encode())


def given(
    check: str,
    *,
    model: Any = None,
    training: Any = None,
    evaluation: Any = None,
    declared: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    model_format: str = "skops",
    data_format: str = "csv",
    seed: int = 7,
) -> tuple[CheckInput, dict[str, BinaryIO]]:
    """An input and its open files. `model` may be bytes already; frames may be text or bytes."""
    files: dict[str, BinaryIO] = {}
    materials = []
    if model is not None:
        files["artifact"] = io.BytesIO(model) if isinstance(model, bytes) else model_file(model, model_format)
        materials.append(Material("artifact", "sha256:00", model_format))
    for role, data in (("training", training), ("evaluation", evaluation)):
        if data is not None:
            files[role] = data_file(data, data_format)
            materials.append(Material(role, "sha256:00", data_format))
    inputs = CheckInput(
        check=check,
        version=CATALOGUE[check].version if check in CATALOGUE else "1",
        parameters=parameters or {},
        seed=seed,
        semantics=semantics() if declared is None else declared,
        materials=tuple(materials),
    )
    return inputs, files


def run(check: str, **what: Any) -> dict[str, Any]:
    inputs, files = given(check, **what)
    return execute(inputs.to_json(), files)


def materials(**what: Any) -> Materials:
    return Materials(*given("bias.group_disparity", **what))


def metric(result: dict[str, Any], name: str, attribute: str | None = None, group: str | None = None) -> Any:
    """The one metric of that name, attribute and group."""
    assert result["outcome"] == "completed", result["error"]
    found = [
        item
        for item in result["metrics"]
        if (item["metric"], item["attribute"], item["group"]) == (name, attribute, group)
    ]
    assert len(found) == 1, (name, attribute, group, len(found))
    return found[0]


def table(result: dict[str, Any], identity: str) -> pd.DataFrame:
    assert result["outcome"] == "completed", result["error"]
    found = next(item for item in result["tables"] if item["id"] == identity)
    return pd.DataFrame(found["rows"], columns=found["columns"])


def codes(result: dict[str, Any]) -> list[str]:
    return [note["code"] for note in result["notes"]]


def predicted(model: Any, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    return np.asarray(model.predict_proba(frame[list(model.feature_names_in_)])[:, 1] >= 0.5)
