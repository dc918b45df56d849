"""Canonical JSON: the same bytes as the independent library `rfc8785`, and one spelling only when reading."""

from __future__ import annotations

import json
import math
import struct
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audits.ledger.canonical import CanonicalError, canonical, digest, parse_canonical

SAFE = 2**53 - 1
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
@example({"€": 1, "\r": 2, "דּ": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "ö": 7})  # RFC 8785 §3.2.3
@example({"\ue000": 1, "\U00010000": 2})
@example([1e16, 1e20, 1e21, 1e22, 123e-20, 9.999999999999997e22, 5e-324, -0.0, 1.0, 0.1, 1e-6, 1e-7])
def test_written_as_the_library_and_read_back(value: Any) -> None:
    text = canonical(value)
    assert text == rfc8785.dumps(value)
    assert canonical(parse_canonical(text)) == text
    assert parse_canonical(text) == value


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785 appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_the_numbers_of_rfc_8785(bits: str, text: str) -> None:
    value = struct.unpack(">d", bytes.fromhex(bits))[0]
    assert canonical(value) == text.encode()
    assert parse_canonical(text.encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        SAFE + 1,
        -SAFE - 1,
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        {"a": {2}},
        b"a",
        object(),
    ],
)
def test_values_without_a_canonical_form(value: Any) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


@pytest.mark.parametrize(
    "text",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a": 1}',
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a":1}{}',
        b"1.0",
        b"1e2",
        b"1E+21",
        b"-0",
        b"01",
        b"9007199254740993",
        b"1" * 5000,
        b"1" * 350,
        b"1e999",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b'"\\u0041"',
        b'"\\u000A"',
        b'"\\u000a"',
        b'"\\/"',
        b'"\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\n"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf1",
        b"'a'",
        b"",
        b"{",
        b'{"\xf0\x90\x80\x80":2,"\xee\x80\x80":1,"a":1}',
        '{"\ue000":1,"\U00010000":2}'.encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_other_spellings_are_refused(text: bytes) -> None:
    with pytest.raises(CanonicalError):
        parse_canonical(text)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(0, 10**6), st.integers(0, 255))
def test_what_is_read_is_always_canonical(value: Any, place: int, byte: int) -> None:
    data = bytearray(canonical(value))
    data[place % len(data)] = byte
    try:
        read = parse_canonical(bytes(data))
    except CanonicalError:
        return
    assert rfc8785.dumps(read) == bytes(data)


def test_nesting_is_bounded_in_both_directions() -> None:
    deep: Any = 0.5
    for _ in range(101):
        deep = [deep]
    with pytest.raises(CanonicalError, match="nested"):
        canonical(deep)
    with pytest.raises(CanonicalError, match="nested"):
        parse_canonical(json.dumps(deep).encode())


def test_digest_names_its_algorithm() -> None:
    assert digest({"b": 1.0, "a": "é"}) == "sha256:" + sha256('{"a":"é","b":1}'.encode()).hexdigest()
