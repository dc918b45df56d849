"""More hostile datasets: footers that lie, types in each other, a million columns, bytes of other encodings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.checks import cast
from tests.confine.judge import INPUTS, TRAINING, Judge
from tests.confine.judge import judged as judged
from tests.confine.judge import zygote as zygote
from tests.confine.test_hostile_data import parquet

BYTES = 1 << 20


def promised(rows: int) -> bytes:
    """A Parquet file whose footer tells of other rows than it has: thrift writes 200 as the varint 90 03."""
    content = parquet(pa.table({"a": pa.array(np.arange(200))}), compression="none")
    footer = int.from_bytes(content[-8:-4], "little")
    head, tail = content[: -8 - footer], content[-8 - footer :]
    varint, value = b"", rows * 2
    while value >= 0x80:
        varint, value = varint + bytes([value & 0x7F | 0x80]), value >> 7
    varint += bytes([value])
    changed = tail[:-8].replace(b"\x90\x03", varint)
    assert changed != tail[:-8]
    return head + changed + len(changed).to_bytes(4, "little") + b"PAR1"


UNREADABLE = ("parquet_unreadable", "data_too_large", "killed_by_signal", "check_out_of_memory", "data_empty")
DATA: dict[str, tuple[Callable[[], bytes], str, tuple[str, ...]]] = {
    "parquet that promises more rows": (lambda: promised(100_000), "parquet", UNREADABLE),
    "parquet that promises a billion": (lambda: promised(1 << 40), "parquet", UNREADABLE),
    "parquet that promises fewer": (lambda: promised(3), "parquet", (*UNREADABLE, "target_missing")),
    "parquet of one word, often": (
        lambda: parquet(pa.table({"a": pa.array(["x" * BYTES] * 3000).dictionary_encode()})),
        "parquet",
        (*UNREADABLE, "target_missing", "out_of_memory"),
    ),
    "parquet of a map": (
        lambda: parquet(pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))})),
        "parquet",
        ("parquet_nested",),
    ),
    "parquet of twenty structs in each other": (
        lambda: parquet(pa.table({"a": nested(20)})),
        "parquet",
        ("parquet_nested",),
    ),
    "parquet of text that is no text": (
        lambda: parquet(pa.table({"a": pa.array([b"\xff\xfe"], pa.binary())})),
        "parquet",
        ("target_missing",),
    ),
    "a million columns": (
        lambda: (
            ",".join(f"c{place}" for place in range(1_000_000)) + "\n" + "1," * 999_999 + "1\n"
        ).encode(),
        "csv",
        ("target_missing", "timeout", "check_out_of_memory", "data_too_large"),
    ),
    "UTF-16": (lambda: "progression,a\n1,2\n".encode("utf-16"), "csv", ("csv_not_utf8", "csv_not_text")),
    "UTF-16 without a mark": (lambda: "progression,a\n1,2\n".encode("utf-16-le"), "csv", ("csv_not_text",)),
    "nothing but separators": (lambda: b"," * 100_000 + b"\n", "csv", ("column_name_blank",)),
    "nothing but a mark": (lambda: b"\xef\xbb\xbf", "csv", ("data_empty",)),
    "only the header": (lambda: b"progression,a\n", "csv", ("data_empty",)),
    "lines of other machines": (lambda: b"progression,a\r1,2\r0,3\r", "csv", ("completed",)),
    "a line break inside a name": (lambda: b'"pro\ngression",a\n1,2\n', "csv", ("target_missing",)),
    "separators of another page": (
        lambda: "progression\u2028,a\u2028\n1,2\n".encode(),
        "csv",
        ("target_missing", "column_name_padded", "csv_ragged"),
    ),
}


def nested(depth: int) -> pa.Array:
    found = pa.array([1])
    for _ in range(depth):
        found = pa.StructArray.from_arrays([found], names=["a"])
    return found


@pytest.mark.parametrize("name", list(DATA))
def test_a_hostile_dataset(judged: Judge, name: str) -> None:
    make, format_, expected = DATA[name]
    code, params, _ = judged(evaluation=make(), data_format=format_)
    assert code in expected, (code, params)


def test_a_model_and_its_data_at_the_same_time(judged: Judge) -> None:
    """An honest model asked about hostile rows: the rows are to blame, by the name of their column."""
    honest = LogisticRegression(max_iter=5000).fit(INPUTS, TRAINING["progression"])
    frame = cast.diabetes()[1].astype({"bmi": object})
    frame.loc[0, "bmi"] = "=cmd|' /C calc'!A0"
    code, params, _ = judged(skops.io.dumps(honest), evaluation=frame.to_csv(index=False).encode())
    assert (code, params["columns"]) == ("model_rejects_text", "bmi")
