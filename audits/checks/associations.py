"""How closely single columns go with the target: a column that comes too close may hold the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from audits.checks.labels import canonical_column
from audits.checks.materials import MAX_LABELS, Materials
from audits.checks.proxies import cramers_v

Association = tuple[float, str, int]  # strength 0 to 1, column, rows


def associations(materials: Materials, role: str) -> list[Association]:
    """Strongest first. Cramér's V with the classes of the target; for a regression the absolute rank correlation.

    Empty where the target has fewer than two classes (or too many for classes), or no other column can be compared.
    """
    frame, semantics = materials.frame(role), materials.semantics
    column = materials.column(role, semantics.target, "target")
    names = [
        name
        for name in frame.columns
        if name not in (semantics.target, semantics.entity_key, semantics.time_column)
    ]
    if semantics.task == "regression":
        found = [_ranks(frame[name], column) for name in names]
    else:
        codes, levels = canonical_column(column)
        if not 2 <= len(levels) <= MAX_LABELS:
            return []
        rows = codes >= 0
        found = [cramers_v(frame[name][rows], codes[rows]) for name in names]
    strengths = [(value, name, n) for name, (value, n) in zip(names, found, strict=True) if value is not None]
    return sorted(strengths, key=lambda item: (-item[0], item[1]))


def _ranks(column: pd.Series, target: pd.Series) -> tuple[float | None, int]:
    if not all(
        pd.api.types.is_numeric_dtype(side.dtype) and not pd.api.types.is_bool_dtype(side.dtype)
        for side in (column, target)
    ):
        return None, 0
    known = (column.notna() & target.notna()).to_numpy()
    first, second = (side[known].rank().to_numpy(dtype=np.float64) for side in (column, target))
    n = len(first)
    if n < 3 or not first.std() or not second.std():
        return None, n
    return min(1.0, abs(float(np.corrcoef(first, second)[0, 1]))), n
