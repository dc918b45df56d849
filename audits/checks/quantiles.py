"""Exact order statistics of columns that are never held at once: values are found by counting, digit by digit.

A number becomes a whole number of 64 bits in the same order. Each pass over the data counts the next digit of those
that share the digits found so far with a wanted value; after six passes its bits are known. What is counted adds up, so
how the rows are cut into frames changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]
DISTINCT = 1 << 16  # different values of a column that are counted one by one
SHIFTS = (53, 42, 31, 20, 9, 0)  # of the digits: five of 11 bits, one of 9
AT_ONCE = 64  # columns looked at in one pass: each takes up to 1.6 MB
SIGN = np.uint64(1) << np.uint64(63)


class Distinct:
    """How often each value occurs, given up once there are too many; that depends on the data alone."""

    def __init__(self) -> None:
        self.values: Floats | None = np.zeros(0)
        self.times = np.zeros(0, dtype=np.int64)

    def add(self, values: Floats) -> None:
        if self.values is None:
            return
        here, times = np.unique(values + 0.0, return_counts=True)  # + 0.0: of -0.0
        both, place = np.unique(np.concatenate([self.values, here]), return_inverse=True)
        if len(both) > DISTINCT:
            self.values = None
            return
        self.times = np.bincount(place, np.concatenate([self.times, times]), len(both)).astype(np.int64)
        self.values = both

    def at(self, ranks: list[int]) -> Floats | None:
        """The values at these places (from 0) of all in order; None where they were given up."""
        if self.values is None:
            return None
        found: Floats = self.values[np.searchsorted(np.cumsum(self.times), np.array(ranks), side="right")]
        return found


def order_statistics(
    frames: Callable[[list[str]], Iterable[pd.DataFrame]], wanted: Mapping[str, list[int]]
) -> dict[str, Floats]:
    """{column: the values at its places (from 0, ascending) among its known values in order}."""
    names = list(wanted)
    found: dict[str, Floats] = {}
    for first in range(0, len(names), AT_ONCE):
        some = {name: _Search(wanted[name]) for name in names[first : first + AT_ONCE]}
        for shift in SHIFTS:
            for search in some.values():
                search.begin(shift)
            for frame in frames(list(some)):
                for name, search in some.items():
                    search.add(_keys(frame[name]))
            for search in some.values():
                search.end()
        found |= {name: _values(search.prefixes) for name, search in some.items()}
    return found


class _Search:
    """`prefixes`: the leading bits of each wanted value found so far; `left`: its place among those that share them."""

    def __init__(self, ranks: list[int]) -> None:
        self.prefixes: Keys = np.zeros(len(ranks), dtype=np.uint64)
        self.left = np.array(ranks, dtype=np.int64)
        self.above = 64  # bits that are not known yet

    def begin(self, shift: int) -> None:
        self.shift, self.size = shift, 1 << (self.above - shift)
        self.open, self.place = np.unique(self.prefixes, return_inverse=True)
        self.counts = np.zeros((len(self.open), self.size), dtype=np.int64)

    def add(self, keys: Keys) -> None:
        heads = keys >> np.uint64(self.above) if self.above < 64 else np.zeros(len(keys), dtype=np.uint64)
        at = np.minimum(np.searchsorted(self.open, heads), len(self.open) - 1)
        inside = self.open[at] == heads
        digits = (keys[inside] >> np.uint64(self.shift)) & np.uint64(self.size - 1)
        flat = at[inside] * self.size + digits.astype(np.int64)
        self.counts += np.bincount(flat, minlength=self.counts.size).reshape(self.counts.shape)

    def end(self) -> None:
        upto = np.cumsum(self.counts, axis=1)[self.place]
        digits = (upto <= self.left[:, None]).sum(axis=1)
        rows = np.arange(len(digits))
        self.left = self.left - np.where(digits > 0, upto[rows, np.maximum(digits - 1, 0)], 0)
        bits = np.uint64(self.above - self.shift)
        self.prefixes = (self.prefixes << bits) | digits.astype(np.uint64)
        self.above = self.shift


def _keys(column: pd.Series) -> Keys:
    values = column.dropna().to_numpy(dtype=np.float64) + 0.0
    bits: Keys = values.view(np.uint64)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def _values(keys: Keys) -> Floats:
    bits: Keys = np.where(keys & SIGN, keys & ~SIGN, ~keys)
    return bits.view(np.float64)
