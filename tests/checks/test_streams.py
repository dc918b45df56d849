"""Figures of columns that are never held at once: what numpy and pandas say of all of it, however it is cut."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audits.checks import cell_keys, streams

FLOATS = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf, 5e-324]),
    st.integers(-3, 3).map(float),
)


def cut(values: Any, at: list[int]) -> Any:
    def chunks() -> Iterator[Any]:
        edges = [0, *sorted({place % (len(values) + 1) for place in at}), len(values)]
        return (values[start:stop] for start, stop in itertools.pairwise(edges))

    return chunks


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=300), st.lists(st.integers(0, 400), max_size=6),
    st.integers(2, 400), st.integers(1, 7),
)  # fmt: skip
def test_different_keys_are_counted_exactly(
    given_: list[int], at: list[int], limit: int, buckets: int
) -> None:
    keys = np.array(given_, dtype=np.uint64)
    with mock.patch.object(streams, "LIMIT", limit):
        assert streams.distinct(cut(keys, at), len(keys)) == len(set(given_))
        edges = [streams.ALL * place // buckets for place in range(buckets + 1)]
        shares = [
            streams.distinct(cut(keys, at), len(keys), *edges[place : place + 2]) for place in range(buckets)
        ]
    assert sum(shares) == len(set(given_)), "buckets neither overlap nor leave a key out"


@pytest.mark.parametrize("limit", [500, 1000])
def test_no_more_is_held_than_there_is_room_for(limit: int) -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    sizes: list[int] = []
    whole = np.concatenate

    def watched(held: list[Any]) -> Any:
        sizes.append(sum(len(each) for each in held))
        return whole(held)

    with mock.patch.object(streams, "LIMIT", limit), mock.patch.object(np, "concatenate", watched):
        assert streams.distinct(cut(keys, list(range(0, 20_000, 32))), len(keys)) == 20_000
    assert max(sizes) <= limit + 32


@given(
    st.lists(FLOATS, min_size=1, max_size=200), st.lists(st.integers(0, 300), max_size=6),
    st.sampled_from([np.arange(1, 10) / 10, np.array([0.0, 0.31, 1.0])]),
)  # fmt: skip
def test_quantiles_are_numpys(values: list[float], at: list[int], wanted: Any) -> None:
    whole = np.array(values)
    with mock.patch.object(streams, "LIMIT", 0), np.errstate(invalid="ignore", over="ignore"):
        found = streams.quantiles(cut(whole, at), len(whole), wanted)
        np.testing.assert_array_equal(found, np.quantile(whole, wanted))


CELLS: dict[str, Any] = {
    "whole": st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    "unsigned": st.integers(0, 2**64 - 1),
    "small": st.integers(-128, 127),
    "number": st.floats(allow_nan=False) | st.just(-0.0) | st.just(0.0),
    "gap": st.none() | st.floats(allow_nan=False, width=32),
    "truth": st.booleans(),
    "maybe": st.none() | st.booleans(),
    "text": st.none() | st.text(max_size=4) | st.sampled_from(["", "None", "1", "True", "nan"]),
    "day": st.none() | st.dates(dt.date(2000, 1, 1), dt.date(2000, 1, 5)),
    "moment": st.none() | st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2000, 1, 2)),  # noqa: DTZ001
}
TYPES = {
    "whole": "int64", "unsigned": "uint64", "small": "int8", "number": "float64", "gap": "float32", "truth": "bool",
    "maybe": "object", "text": "str", "day": "object", "moment": "datetime64[us]",
}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data(), st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3), st.integers(1, 12))
def test_keys_differ_where_pandas_says_so(data: st.DataObject, names: list[str], rows: int) -> None:
    columns = {
        f"{place} {name}": pd.Series(
            data.draw(st.lists(CELLS[name], min_size=rows, max_size=rows)), dtype=TYPES[name]
        )
        for place, name in enumerate(names)
    }
    frame = pd.DataFrame(columns)
    frame = pd.concat([frame, frame.iloc[: rows // 2]], ignore_index=True)
    at = data.draw(st.integers(0, len(frame)))
    for name in frame:
        keys = np.concatenate(
            [cell_keys.of_column(part) for part in (frame[name].iloc[:at], frame[name].iloc[at:])]
        )
        known = frame[name].notna().to_numpy()
        assert len(np.unique(keys[known])) == frame[name].nunique()
    keys = np.concatenate([cell_keys.of_rows(part) for part in (frame.iloc[:at], frame.iloc[at:])])
    assert len(frame) - len(np.unique(keys)) == int(frame.duplicated().sum())


def test_the_order_of_columns_counts() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [2, 1]})
    assert len(set(cell_keys.of_rows(frame))) == 2


def test_times_with_a_zone_are_moments() -> None:
    times = pd.Series(
        pd.to_datetime(["2026-01-01T00:00Z", "2026-01-01T01:00+01:00", "2026-01-02T00:00Z"], utc=True)
    )
    keys = cell_keys.of_column(times)
    assert keys[0] == keys[1] != keys[2]
    np.testing.assert_array_equal(cell_keys.of_column(times.dt.tz_convert("America/Sao_Paulo")), keys)
