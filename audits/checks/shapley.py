"""Shapley values of any function of a frame, players being its columns. Additive by construction.

Interventional estimand: v(S) is the mean output over the background with the columns of S set to the explained row
(Janzing et al. 2020). Columns keep their own types, so text, categories and missing values are players like others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from audits.checks.intervals import generator

Floats = npt.NDArray[np.float64]
Output = Callable[[pd.DataFrame], Floats]  # frame of k rows → k numbers

EXACT_COLUMNS = 10
CHUNK_ROWS = 200_000
PERMUTATIONS = 10  # each walked forwards and backwards (antithetic, Mitchell et al. 2022)


@dataclass(frozen=True)
class Attribution:
    """phi (rows, columns), base value, and the largest standard error of a phi where it was sampled."""

    phi: Floats
    base: float
    error_bound: float | None = None


class Coalitions:
    """Evaluates v(S) for one explained row at a time against a fixed background."""

    def __init__(self, output: Output, background: pd.DataFrame, explained: pd.DataFrame) -> None:
        self.output = output
        self.rows = len(background)
        # one frame, so that every column has one type (one set of categories) for both
        self.pool = pd.concat([background, explained], ignore_index=True)
        for name in background.columns:
            if background[name].dtype == explained[name].dtype:
                self.pool[name] = self.pool[name].astype(background[name].dtype)

    def values(self, row: int, masks: npt.NDArray[np.bool_]) -> Floats:
        """v of each mask (masks, columns), True where the column comes from explained row `row`."""
        found = np.empty(len(masks))
        step = max(1, CHUNK_ROWS // self.rows)
        for start in range(0, len(masks), step):
            part = masks[start : start + step]
            background = np.tile(np.arange(self.rows), len(part))
            columns = {}
            for place, name in enumerate(self.pool.columns):
                chosen = np.where(np.repeat(part[:, place], self.rows), self.rows + row, background)
                columns[name] = self.pool[name].take(chosen).reset_index(drop=True)
            outputs = self.output(pd.DataFrame(columns))
            found[start : start + step] = outputs.reshape(len(part), self.rows).mean(axis=1)
        return found


def exact(output: Output, background: pd.DataFrame, explained: pd.DataFrame) -> Attribution:
    """All 2^M coalitions (Shapley 1953); cost rows × background × 2^M outputs."""
    size = background.shape[1]
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    sizes = masks.sum(axis=1)
    weight = np.array(
        [math.factorial(k) * math.factorial(size - k - 1) / math.factorial(size) for k in range(size)]
    )
    without = [np.flatnonzero(~masks[:, place]) for place in range(size)]
    coalitions = Coalitions(output, background, explained)
    phi = np.zeros((len(explained), size))
    base = 0.0
    for row in range(len(explained)):
        value = coalitions.values(row, masks)
        base = float(value[0])
        for place, absent in enumerate(without):
            gain = value[absent + (1 << place)] - value[absent]
            phi[row, place] = float((weight[sizes[absent]] * gain).sum())
    return Attribution(phi, base)


def permutation(
    output: Output, background: pd.DataFrame, explained: pd.DataFrame, *, seed: int
) -> Attribution:
    """Antithetic permutation sampling (Strumbelj and Kononenko 2014); a stream of its own per row.

    Each walk telescopes from base to output, so the sum is exact; `error_bound` is the largest standard error of a
    single phi over the walks.
    """
    size = background.shape[1]
    coalitions = Coalitions(output, background, explained)
    phi = np.zeros((len(explained), size))
    base, bound = 0.0, 0.0
    for row in range(len(explained)):
        stream = generator(seed, "permutation", str(row))
        orders = []
        for _ in range(PERMUTATIONS):
            order = stream.permutation(size)
            orders += [order, order[::-1]]
        masks = np.zeros((len(orders), size + 1, size), dtype=bool)
        for number, order in enumerate(orders):
            for step, place in enumerate(order, start=1):
                masks[number, step:, place] = True
        value = coalitions.values(row, masks.reshape(-1, size)).reshape(len(orders), size + 1)
        gains = np.empty((len(orders), size))
        for number, order in enumerate(orders):
            gains[number, order] = np.diff(value[number])
        pairs = gains.reshape(PERMUTATIONS, 2, size).mean(axis=1)
        phi[row] = pairs.mean(axis=0)
        bound = max(bound, float(pairs.std(axis=0, ddof=1).max()) / math.sqrt(PERMUTATIONS))
        base = float(value[0, 0])
    return Attribution(phi, base, bound)


def evaluations(columns: int) -> int:
    """Outputs needed per explained row and background row."""
    return int(2**columns) if columns <= EXACT_COLUMNS else 2 * PERMUTATIONS * (columns + 1)
