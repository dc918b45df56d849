"""Datasets that want more than to be read: bombs, lies about their size, places outside."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.confine.judge import EVALUATION, Judge, packed
from tests.confine.judge import judged as judged
from tests.confine.judge import zygote as zygote


def parquet(table: pa.Table, **how: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return buffer.getvalue()


def parquet_bomb() -> bytes:
    """A hundred thousand bytes or so that are half a billion cells."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000_000, np.int8)), pa.array([0.0]))
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([(f"c{i}", column.type) for i in range(4)])) as writer:
        table = pa.table({f"c{i}": column for i in range(4)})
        for _ in range(21):
            writer.write_table(table)
    return sink.getvalue()


def honest_parquet() -> bytes:
    return parquet(pa.Table.from_pandas(EVALUATION, preserve_index=False))


DATA: dict[str, tuple[Callable[[], bytes], str, tuple[str, ...]]] = {
    "parquet bomb": (parquet_bomb, "parquet", ("data_too_large",)),
    "parquet cut short": (lambda: honest_parquet()[:-20], "parquet", ("parquet_unreadable",)),
    "parquet with a broken footer": (
        lambda: honest_parquet()[:-400] + b"\xff" * 392 + honest_parquet()[-8:],
        "parquet",
        ("parquet_unreadable", "killed_by_signal"),
    ),
    "parquet with broken pages": (
        lambda: honest_parquet()[:40] + b"\xff" * 2000 + honest_parquet()[2040:],
        "parquet",
        ("parquet_unreadable", "killed_by_signal", "check_out_of_memory"),
    ),
    "parquet of lists": (lambda: parquet(pa.table({"a": [[1, 2]]})), "parquet", ("parquet_nested",)),
    "parquet with a column twice": (
        lambda: parquet(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])),
        "parquet",
        ("column_duplicated",),
    ),
    "folder that swells": (
        lambda: packed({f"{i}.parquet": bytes(300 << 20) for i in range(8)}),
        "parquet-folder",
        ("archive_too_large",),
    ),
    "folder of one that swells": (
        lambda: packed({"a.parquet": bytes(700 << 20)}),
        "parquet-folder",
        ("check_out_of_memory", "out_of_memory", "parquet_unreadable"),
    ),
    "folder without parts": (
        lambda: packed({"_metadata": b"x"}),
        "parquet-folder",
        ("archive_member_missing",),
    ),
    "folder with parts that differ": (
        lambda: packed(
            {"a.parquet": parquet(pa.table({"a": [1]})), "b.parquet": parquet(pa.table({"b": [1]}))}
        ),
        "parquet-folder",
        ("parquet_parts_differ",),
    ),
    "gzip for a CSV": (lambda: gzip.compress(bytes(1 << 28)), "csv", ("csv_not_utf8", "csv_not_text")),
    "one field without end": (lambda: b"a,b\n1," + b"x" * (20 << 20), "csv", ("csv_malformed",)),
    "a quote without end": (lambda: b'a,b\n1,"' + b"x\n" * (1 << 19), "csv", ("csv_malformed",)),
    "a hundred thousand columns": (
        lambda: b",".join(b"c" for _ in range(100_000)) + b"\n1",
        "csv",
        ("column_duplicated",),
    ),
    "null bytes": (lambda: b"a,b\n1,\x00\n", "csv", ("csv_not_text",)),
    "numbers without end": (
        lambda: b"progression,b\n1," + b"9" * 900_000 + b"\n",
        "csv",
        ("completed", "csv_unparsed", "check_crashed"),
    ),
    "a table of one billion commas": (
        lambda: b"a,b\n" + b"1,2\n" * (40 << 20),
        "csv",
        ("check_out_of_memory", "out_of_memory", "timeout"),
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_a_hostile_dataset(judged: Judge, name: str) -> None:
    make, format_, expected = DATA[name]
    code, params, _ = judged(evaluation=make(), data_format=format_)
    assert code in expected, (code, params)
