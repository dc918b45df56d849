"""LIME for tables (Ribeiro, Singh and Guestrin 2016): a weighted linear model of the outputs around one record.

Written here because the reference package has had no release since 2020. Differences from it: numbers are not cut into
quartiles (its `discretize_continuous=False`), samples are drawn around the record, all columns are kept.
A second opinion: unlike Shapley values it does not add up, and says so with its R².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.intervals import generator
from audits.checks.shapley import Output

Floats = npt.NDArray[np.float64]
SAMPLES = 2_000
RIDGE = 1.0
WIDTH = 0.75  # of the kernel, times the root of the number of columns


@dataclass(frozen=True)
class Local:
    """`weights` per column: change of the output for one standard deviation, or for keeping the record's category."""

    weights: tuple[float, ...]
    intercept: float
    fitted: float  # what the linear model says of the record itself
    r2: float | None
    samples: int
    kernel_width: float


def lime(
    output: Output, background: pd.DataFrame, record: pd.DataFrame, *, seed: int, samples: int = SAMPLES
) -> Local:
    """Weights of `record` (one row). `background` gives the spread of numbers and the frequencies of categories."""
    stream = generator(seed, "lime")
    drawn: dict[str, pd.Series] = {}
    design = np.zeros((samples, record.shape[1]))
    for place, name in enumerate(record.columns):
        own, others = record[name].iloc[0], background[name]
        numeric = pd.api.types.is_numeric_dtype(others.dtype) and not pd.api.types.is_bool_dtype(others.dtype)
        if numeric and not pd.isna(own):
            spread = float(others.std(ddof=0))
            spread = spread if math.isfinite(spread) and spread > 0 else 0.0
            noise = stream.standard_normal(samples)
            noise[0] = 0.0
            values = float(own) + noise * spread
            if pd.api.types.is_integer_dtype(others.dtype):
                values = values.round()
            drawn[name] = pd.Series(values)
            design[:, place] = (values - float(own)) / spread if spread else 0.0
        else:  # a category, or a number that is missing: kept, or exchanged for one of the background's
            chosen = stream.integers(0, len(others), samples)
            exchanged = others.take(chosen).reset_index(drop=True)
            kept = stream.random(samples) < 0.5
            kept[0] = True
            column = exchanged.where(~kept, own)
            drawn[name] = column
            same = column.isna() if pd.isna(own) else column == own
            design[:, place] = same.to_numpy(dtype=np.float64)
    frame = pd.DataFrame(drawn)
    answers = output(frame)
    width = WIDTH * math.sqrt(record.shape[1])
    distance = ((design - design[0]) ** 2).sum(axis=1)
    kernel = np.sqrt(np.exp(-distance / width**2))
    return _fitted(design, answers, kernel, width)


def _fitted(design: Floats, answers: Floats, kernel: Floats, width: float) -> Local:
    """Weighted ridge regression in closed form; the intercept is not shrunk."""
    total = float(kernel.sum())
    centre, mean = kernel @ design / total, float(kernel @ answers / total)
    x, y = design - centre, answers - mean
    weighted = x * kernel[:, None]
    weights = np.linalg.solve(weighted.T @ x + RIDGE * np.eye(design.shape[1]), weighted.T @ y)
    intercept = mean - float(centre @ weights)
    residual = float(kernel @ (y - x @ weights) ** 2)
    spread = float(kernel @ y**2)
    r2 = 1 - residual / spread if spread > 1e-12 else None
    fitted = intercept + float(design[0] @ weights)
    return Local(tuple(float(item) for item in weights), intercept, fitted, r2, len(design), width)
