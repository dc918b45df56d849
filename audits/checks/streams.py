"""Exact figures of columns too long to be held: how many values differ, and quantiles.

Each goes over the values as often as it needs to and never holds more than LIMIT of them. How they are cut into chunks
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

LIMIT = 1 << 22  # values held at once: 32 MB, and three times as much while they are sorted
ALL = 1 << 64
DIGIT = 16  # bits that one pass of `quantiles` looks at
Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def distinct(chunks: Callable[[], Iterable[Keys]], n: int, low: int = 0, high: int = ALL) -> int:
    """How many different keys from `low` to `high` (without it) there are in the `n` of `chunks()`."""
    total = 0
    while low < high:
        found, low = _distinct(chunks(), n, low, high)
        total += found
    return total


def _distinct(chunks: Iterable[Keys], n: int, low: int, high: int) -> tuple[int, int]:
    """(how many different keys from `low` to a bound, the bound): as far as there is room for them."""
    bound, held, size = high, [], 0
    for place, keys in enumerate(chunks):
        inside = pd.unique(keys[(keys >= np.uint64(low)) & (keys <= np.uint64(bound - 1))])
        if not place and n > LIMIT and len(inside) > len(keys) * (bound - low) / ALL / 2:
            # Hardly any comes twice. Nothing hangs on the guess but the number of passes.
            bound = low + max(1, min(bound - low, ALL * LIMIT // n * 9 // 10))
            inside = inside[inside <= np.uint64(bound - 1)]
        held.append(inside)
        size += len(inside)
        if size > LIMIT:
            held = [np.unique(np.concatenate(held))]
            while len(held[0]) > LIMIT // 2 and bound - low > 1:
                bound = low + (bound - low) // 2
                held[0] = held[0][held[0] <= np.uint64(bound - 1)]
            size = len(held[0])
    return (len(np.unique(np.concatenate(held))) if held else 0), bound


def quantiles(chunks: Callable[[], Iterable[Floats]], n: int, wanted: Floats) -> Floats:
    """np.quantile(values, wanted) of `n` values without a NaN, bit for bit."""
    if n <= LIMIT:
        found: Floats = np.quantile(np.concatenate(list(chunks())), wanted)
        return found
    places = (n - 1) * wanted
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, n - 1)
    values = _at(chunks, np.unique(np.concatenate([before, after])))
    pairs = ((values[int(low)], values[int(high)]) for low, high in zip(before, after, strict=True))
    # Between two neighbours as numpy does it, rounding included.
    return np.array(
        [
            np.quantile(np.array(pair), place - start)
            for pair, place, start in zip(pairs, places, before, strict=True)
        ]
    )


def _at(chunks: Callable[[], Iterable[Floats]], ranks: npt.NDArray[np.int64]) -> dict[int, float]:
    """The values at these places in order of size: digit by digit, as a radix sort would find them."""
    prefix = np.zeros(len(ranks), dtype=np.uint64)
    left = ranks.copy()  # the place among the values that begin with the prefix
    for shift in range(64 - DIGIT, -1, -DIGIT):
        starts = np.unique(prefix)
        counts = np.zeros((len(starts), 1 << DIGIT), dtype=np.int64)
        for values in chunks():
            keys = _sortable(values)
            begin = keys >> np.uint64(shift + DIGIT) if shift + DIGIT < 64 else np.zeros_like(keys)
            row = np.minimum(np.searchsorted(starts, begin), len(starts) - 1)
            mine = starts[row] == begin
            digit = (keys[mine] >> np.uint64(shift)) & np.uint64((1 << DIGIT) - 1)
            flat = row[mine] * (1 << DIGIT) + digit.astype(np.int64)
            counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        for place in range(len(ranks)):
            upto = np.cumsum(counts[np.searchsorted(starts, prefix[place])])
            digit_of = int(np.searchsorted(upto, left[place], side="right"))
            left[place] -= upto[digit_of - 1] if digit_of else 0
            prefix[place] = (prefix[place] << np.uint64(DIGIT)) | np.uint64(digit_of)
    return {int(rank): value for rank, value in zip(ranks, _floats(prefix).tolist(), strict=True)}


_SIGN = np.uint64(1 << 63)


def _sortable(values: Floats) -> Keys:
    """Numbers as keys of the same order."""
    bits = (np.ascontiguousarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _floats(keys: Keys) -> Floats:
    return np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)
