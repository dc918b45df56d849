"""Cells and rows as 64-bit keys: equal where the values are, whatever stands in the rows around them.

Numbers, times and truth values keep their bits, so a column's keys differ where its values do. Texts are hashed, and so
are rows: of 20 million different ones two have the same key with a probability of 1 in 90,000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Keys = npt.NDArray[np.uint64]
MISSING = np.uint64(0x9E37_79B9_7F4A_7C15)
_ONE, _TWO, _ODD = (
    np.uint64(0xBF58_476D_1CE4_E5B9), np.uint64(0x94D0_49BB_1331_11EB), np.uint64(0xD6E8_FEB8_6659_FD93),
)  # fmt: skip


def of_column(column: pd.Series) -> Keys:
    """A key per cell; those of empty cells mean nothing."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufmM":
        values: npt.NDArray[Any] = column.to_numpy()
        if dtype.kind == "f":
            values = values.astype(np.float64) + 0.0  # -0.0 is 0.0
        elif dtype.kind in "biu":
            values = values.astype(np.int64 if dtype.kind == "i" else np.uint64)
        return np.ascontiguousarray(values).view(np.uint64)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return of_column(column.dt.tz_convert("UTC").dt.tz_localize(None))
    codes, values = pd.factorize(column, use_na_sentinel=True)
    texts = [value if isinstance(value, str) else f"{type(value).__name__}\0{value!r}" for value in values]
    keys = np.append(_hashed(texts), MISSING)
    return keys[np.asarray(codes, dtype=np.int64)]


def _hashed(texts: list[str]) -> Keys:
    if not texts:
        return np.empty(0, dtype=np.uint64)
    found = pd.util.hash_array(np.array([*texts, ""], dtype=object)[:-1], categorize=False)
    return np.asarray(found, dtype=np.uint64)


def of_rows(frame: pd.DataFrame) -> Keys:
    """A key per row, of all columns in their order; empty cells are alike."""
    keys = np.zeros(len(frame), dtype=np.uint64)
    for name in frame.columns:
        column = frame[name]
        cells = np.where(column.isna().to_numpy(), MISSING, of_column(column))
        keys = _mixed(keys * _ODD + _mixed(cells))
    return keys


def _mixed(keys: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele et al. 2014): a bijection in which every bit moves half of the others."""
    keys = (keys ^ (keys >> np.uint64(30))) * _ONE
    keys = (keys ^ (keys >> np.uint64(27))) * _TWO
    found: Keys = keys ^ (keys >> np.uint64(31))
    return found
