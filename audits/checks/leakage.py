"""Target leakage: an input that already is the answer. No figure of such a model means anything, so there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from audits.checks.contract import CheckError
from audits.checks.labels import canonical_column, listed
from audits.checks.materials import MAX_LABELS, Materials
from audits.checks.predictor import Predictor

MIN_ROWS = 30  # in fewer rows a binary column may agree by chance


def refuse_leakage(materials: Materials, predictor: Predictor, role: str) -> None:
    """Raises CheckError `target_leaks`, naming the columns: the target is an input, or an input is the target renamed.

    An input counts when its values and the target's stand one to one in every row of `role` (at least 30 rows, empty
    cells as a value of their own). A column that merely predicts well is told as `leakage_auc` by data.quality.
    """
    target = materials.semantics.target
    if target in predictor.features:
        raise CheckError("target_leaks", columns=target, target=target, role=role)
    frame = materials.frame(role)
    found = copies(frame, target, predictor.features)
    if found:
        raise CheckError("target_leaks", columns=listed(found), target=target, role=role)


def copies(frame: pd.DataFrame, target: str, columns: tuple[str, ...]) -> list[str]:
    """Columns whose values stand one to one with the target's."""
    if target not in frame.columns or len(frame) < MIN_ROWS:
        return []
    truth, classes = canonical_column(frame[target])
    if len(classes) < 2:
        return []
    if len(classes) > MAX_LABELS:
        return _same_numbers(frame, target, columns)
    found = []
    for name in columns:
        if name not in frame.columns or frame[name].nunique(dropna=False) > len(classes) + 1:
            continue
        codes, _ = canonical_column(frame[name])
        pairs = np.unique(np.stack([codes, truth]), axis=1)
        one_to_one = all(len(np.unique(side)) == pairs.shape[1] for side in pairs)
        if one_to_one and len(np.unique(codes)) == len(np.unique(truth)):
            found.append(name)
    return found


def _same_numbers(frame: pd.DataFrame, target: str, columns: tuple[str, ...]) -> list[str]:
    """Numeric columns that are an increasing or decreasing straight line of a numeric target."""
    numeric = [
        name
        for name in (target, *columns)
        if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]
    if target not in numeric:
        return []
    truth = frame[target].to_numpy(dtype=np.float64, na_value=np.nan)
    found = []
    for name in numeric[1:]:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if not (np.isfinite(values) & np.isfinite(truth)).all():
            continue
        centred, wanted = values - values.mean(), truth - truth.mean()
        scale = float(np.sqrt((centred @ centred) * (wanted @ wanted)))
        if scale > 0 and abs(float(centred @ wanted)) / scale > 1 - 1e-12:
            found.append(name)
    return found
