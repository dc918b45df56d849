"""The same bytes in another process: another hash seed, number of threads, language and time zone change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import hashlib, json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from audits.checks.catalogue import CATALOGUE
from tests.checks import cast

frames = cast.diabetes()
for place, frame in enumerate(frames):
    stream = np.random.default_rng(place)
    frame["região"] = stream.choice(["norte", "sul", "leste", "oeste", None], len(frame))
    frame["when"] = [f"20{24 + place}-{1 + row % 12:02d}-01" for row in range(len(frame))]
training, evaluation = frames
numbers = [name for name in training if name not in ("progression", "região", "when")]
shown = ColumnTransformer([("c", OneHotEncoder(), ["região"]), ("n", "passthrough", numbers)])
inputs = training[["região", *numbers]].fillna("?")
declared = cast.semantics(
    time_column="when",
    sensitive={"sex": {"use": "forbidden"}, "age": {"use": "monitored", "bins": [50, 65]}, "região": {}},
)
found = {}
for kind in (RandomForestClassifier(20, max_depth=4, random_state=0, n_jobs=-1), LogisticRegression(max_iter=3000)):
    model = make_pipeline(shown, kind).fit(inputs, training["progression"])
    for slug, definition in CATALOGUE.items():
        if definition.repeatable:
            result = cast.run(
                slug,
                model=model,
                training=training.fillna("?"),
                evaluation=evaluation.fillna("?"),
                declared=declared,
                parameters={"intersections": 2} if slug == "bias.group_disparity" else {},
            )
            text = json.dumps(result, sort_keys=False)
            found[f"{slug} of {type(kind).__name__}"] = [
                result["outcome"], hashlib.sha256(text.encode()).hexdigest()
            ]
print(json.dumps(found))
"""
PLACES = (
    {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C", "TZ": "UTC"},
    {
        "PYTHONHASHSEED": "4242",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "LC_ALL": "pt_BR.UTF-8",
        "TZ": "America/Sao_Paulo",
    },
)


@pytest.mark.slow
def test_two_processes_give_the_same_bytes() -> None:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    # as in the confined child: jobs in sequence, since threads add up their votes in whatever order they end
    kept["JOBLIB_MULTIPROCESSING"] = "0"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=kept | place | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in PLACES
    ]
    here, there = (json.loads(process.communicate(timeout=500)[0]) for process in started)
    assert {outcome for outcome, _ in here.values()} == {"completed"}
    assert [name for name in here if here[name] != there[name]] == []
