"""Public data sets with golden figures, outside the repository; tests that need them skip where they are absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def golden(dataset: str, name: str = "golden.json") -> dict[str, Any]:
    path = DATA / dataset / name
    if not path.exists():
        pytest.skip(f"golden figures of {dataset} are not at ../shared/data")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def table(dataset: str, name: str) -> pd.DataFrame:
    path = DATA / dataset / name
    if not path.exists():
        pytest.skip(f"data set {dataset} is not at ../shared/data")
    return pd.read_csv(path, keep_default_na=False)
