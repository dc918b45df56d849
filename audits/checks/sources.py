"""Which input column each transformed column of a pipeline comes from, found by trying and not by name.

Names lie (a custom transformer may call its output anything) and differ between transformers. Instead: change one
input column, see which outputs move. One-hot columns move with their one source; a product of two columns moves with
both and is not attributable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
SHIFTS = (1, 2, 3, 7, 31, 101)


def dense(transformed: Any) -> Floats | None:
    """The numbers a transformer returned, dense; None where they are not a table of numbers."""
    if hasattr(transformed, "toarray"):
        transformed = transformed.toarray()
    try:
        values = np.asarray(transformed, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return values if values.ndim == 2 else None


def source_columns(
    transform: Callable[[pd.DataFrame], Any], sample: pd.DataFrame
) -> npt.NDArray[np.int64] | None:
    """For each transformed column the position of its source column, or -1 where it never varies in `sample`.

    `sample` is background and explained rows together: an output that no exchange of values within it moves has the
    same value everywhere there, hence no share in any attribution. None where an output depends on two columns.
    """
    reference = dense(transform(sample))
    if reference is None or len(reference) != len(sample):
        return None
    found = np.full(reference.shape[1], -1, dtype=np.int64)
    for place, name in enumerate(sample.columns):
        moved = np.zeros(reference.shape[1], dtype=bool)
        for shift in SHIFTS:
            if shift % len(sample) == 0:
                continue
            other = sample.copy(deep=False)
            rolled = np.roll(np.arange(len(sample)), shift)
            other[name] = sample[name].take(rolled).set_axis(sample.index)
            changed = dense(transform(other))
            if changed is None or changed.shape != reference.shape:
                return None
            same = (changed == reference) | (np.isnan(changed) & np.isnan(reference))
            moved |= ~same.all(axis=0)
        if (moved & (found >= 0)).any():
            return None
        found[moved] = place
    varies = ~((reference == reference[0]) | (np.isnan(reference) & np.isnan(reference[0]))).all(axis=0)
    # varies, yet no single column moves it: depends on several, or on the row's place
    return None if (varies & (found < 0)).any() else found


def gather(phi: Floats, sources: npt.NDArray[np.int64], columns: int) -> Floats:
    """Sum attributions (rows, transformed) to their source columns (rows, columns)."""
    total = np.zeros((phi.shape[0], columns))
    for place, source in enumerate(sources):
        if source >= 0:
            total[:, source] += phi[:, place]
    return total
