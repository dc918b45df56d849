"""Building an event's head, rest and envelope: exact bytes; what could not be verified is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.ledger.body import (
    Actor,
    EventFields,
    Evidence,
    Policy,
    Reason,
    Salts,
    Subject,
    build,
    build_envelope,
    build_head,
    build_rest,
    entry_digest,
    subject_pseudonym,
    text_commitment,
    timestamp,
    workspace_pseudonym,
)
from audits.verifier import CanonicalError, parse_envelope, parse_head

SALTS = Salts(subject=b"s" * 16, workspace=b"w" * 16, head=b"h" * 16, rest=b"r" * 16)
FIELDS = EventFields(
    event_id=UUID("01900000-0000-7000-8000-000000000001"),
    workspace="default",
    actor=Actor("person", "a1"),
    verb="promotion.granted",
    subject=Subject("model_version", "m1", "churn 3", "sha256:aa"),
    subject_seq=2,
    previous="ab" * 32,
    at=datetime(2026, 3, 1, 9, 30, 0, 5, tzinfo=timezone(timedelta(hours=-3))),
    on_behalf_of=Actor("person", "b1"),
    request_id="r1",
    reason=Reason("within_policy", {"disparity": 0.12}),
    commitments={"reason": text_commitment(b"t" * 16, "está bom")},
    policy=Policy("p1", 3, "sha256:bb"),
    evidence=(Evidence("check_run", "sha256:cc"),),
    before="sha256:dd",
    after="sha256:ee",
    detail={"to": "production"},
)
HEAD = (
    b'{"actor":{"id":"a1","kind":"person"},"at":"2026-03-01T12:30:00.000005Z","correlation_id":null,'
    b'"outcome":"done","request_id":"r1","subject":{"id":"m1","kind":"model_version"},'
    b'"verb":"promotion.granted","workspace":"default"}'
)


def sha(*parts: bytes) -> str:
    return sha256(b"".join(parts)).hexdigest()


def test_the_exact_bytes() -> None:
    body = build(FIELDS, SALTS)
    assert body.head == HEAD
    commitment = sha(b"t" * 16, "está bom".encode())
    assert body.rest.decode() == (
        '{"after":"sha256:ee","before":"sha256:dd","detail":{"to":"production"},'
        '"evidence":[{"digest":"sha256:cc","kind":"check_run"}],"on_behalf_of":{"id":"b1","kind":"person"},'
        '"policy":{"digest":"sha256:bb","id":"p1","version":3},'
        '"reason":{"code":"within_policy","params":{"disparity":0.12}},'
        f'"subject":{{"digest":"sha256:aa","label":"churn 3"}},"texts":{{"reason":"{commitment}"}}}}'
    )
    assert body.envelope.decode() == (
        '{"event_id":"01900000-0000-7000-8000-000000000001",'
        f'"head":"{sha(b"h" * 16, body.head)}","previous":"{"ab" * 32}","rest":"{sha(b"r" * 16, body.rest)}",'
        f'"subject":"{sha(b"s" * 16, b"""["model_version","m1"]""")}","subject_seq":2,"v":1,'
        f'"workspace":"{sha(b"w" * 16, b"""["workspace","default"]""")}"}}'
    )
    assert build_envelope(FIELDS, SALTS) == body.envelope
    assert build_head(FIELDS) == body.head
    assert build_rest(FIELDS) == body.rest
    assert entry_digest(body.envelope) == sha(b"\x00", body.envelope)
    assert text_commitment(b"t" * 16, "está bom") == commitment
    assert subject_pseudonym(b"w" * 16, "workspace", "default") == workspace_pseudonym(b"w" * 16, "default")


def test_what_is_personal_is_not_in_the_leaf_nor_in_the_rest() -> None:
    body = build(FIELDS, SALTS)
    assert "está".encode() not in body.rest + body.envelope + body.head
    for name in (b'"a1"', b"person", b"model_version", b"default", b"promotion", b"churn"):
        assert name not in body.envelope


def test_a_minimal_event() -> None:
    fields = EventFields(
        event_id=FIELDS.event_id,
        workspace="default",
        actor=Actor("system", "notary"),
        verb="schema.migrated",
        subject=Subject("log", "1"),
        subject_seq=1,
        previous=None,
        at=FIELDS.at,
    )
    body = build(fields, Salts.fresh(subject=b"s" * 16, workspace=b"w" * 16))
    assert parse_envelope(body.envelope).previous is None
    assert json.loads(body.rest)["texts"] == {}


def test_fresh_salts_differ_and_have_16_bytes() -> None:
    salts = Salts.fresh(subject=b"s" * 16, workspace=b"w" * 16)
    made = [salts.head, salts.rest]
    assert len(set(made)) == 2
    assert {len(item) for item in made} == {16}


@pytest.mark.parametrize(
    "change",
    [
        {"subject_seq": 1},
        {"subject_seq": 2, "previous": None},
        {"subject_seq": 0, "previous": None},
        {"subject_seq": -1},
        {"subject_seq": 10**15},
        {"subject_seq": 2.5},
        {"subject_seq": True, "previous": None},
        {"previous": "AB" * 32},
        {"previous": "ab" * 31},
        {"previous": ""},
        {"verb": "granted"},
        {"verb": "Promotion.granted"},
        {"verb": "promotion.granted\n"},
        {"outcome": "maybe"},
        {"actor": Actor("robot", "x")},  # type: ignore[arg-type]
        {"actor": Actor("person", "")},
        {"on_behalf_of": Actor("person", "")},
        {"workspace": ""},
        {"subject": Subject("", "m1")},
        {"subject": Subject("model", "")},
        {"at": datetime(2026, 3, 1)},  # noqa: DTZ001 - naive on purpose
        {"request_id": "\ud800"},
        {"request_id": 7},
        {"detail": {"n": float("nan")}},
        {"detail": {"n": 2**53}},
        {"detail": {"text": "\udfff"}},
        {"detail": {"big": "x" * (2 << 20)}},
        {"commitments": {"reason": "está bom"}},
        {"commitments": {"reason": "AB" * 32}},
        {"event_id": "not-a-uuid"},
    ],
)
def test_what_could_not_be_verified_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        build(replace(FIELDS, **change), SALTS)


@pytest.mark.parametrize("name", ["subject", "workspace", "head", "rest"])
@pytest.mark.parametrize("salt", [b"", b"x" * 15, b"x" * 17, b"x" * 32])
def test_salts_of_another_length_are_refused(name: str, salt: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        build(FIELDS, replace(SALTS, **{name: salt}))
    with pytest.raises(ValueError, match="16 bytes"):
        text_commitment(salt, "está bom")


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.none() | st.text(), st.dictionaries(st.text(), st.text()))
def test_any_text_survives(identifier: str, kind: str, request: str | None, detail: dict[str, str]) -> None:
    fields = replace(FIELDS, subject=Subject(kind, identifier), request_id=request, detail=detail)
    body = build(fields, SALTS)
    head = parse_head(body.head)
    assert (head.subject_kind, head.subject_id, head.request_id) == (kind, identifier, request)
    assert json.loads(body.rest)["detail"] == detail


@settings(max_examples=200, deadline=None)
@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_kind_and_id_cannot_be_shifted_into_each_other(a: tuple[str, str], b: tuple[str, str]) -> None:
    same = subject_pseudonym(b"s" * 16, *a) == subject_pseudonym(b"s" * 16, *b)
    assert same is (a == b)


TIMES = st.datetimes(timezones=st.just(UTC))


@settings(max_examples=100, deadline=None)
@given(TIMES, TIMES)
def test_times_sort_as_text(a: datetime, b: datetime) -> None:
    assert (timestamp(a) < timestamp(b)) is (a < b)
    assert len(timestamp(a)) == 27
    assert datetime.fromisoformat(timestamp(a)) == a
    if 1 < a.year < 9999:
        assert timestamp(a.astimezone(timezone(timedelta(hours=-3)))) == timestamp(a)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"v":1', b'"v":1.0'),
        (b'"subject_seq":2', b'"subject_seq":02'),
        (b'"subject_seq":2', b'"subject_seq":1'),
        (b'"event_id":"0', b'"event_id":"g'),
        (b'","', b'", "'),
        (b"}", b"}\n"),
        (b"}", b',"z":1}'),
        (b'"previous":"', b'"previous":null,"x":"'),
    ],
)
def test_other_envelopes_are_refused(old: bytes, new: bytes) -> None:
    envelope = build(FIELDS, SALTS).envelope
    assert parse_envelope(envelope).subject_seq == 2
    with pytest.raises(ValueError):
        parse_envelope(envelope.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"a1"', b'"\\u0061\\u0031"'),
        (b'"a1"', b'"a\\/1"'),
        (b'"r1"', b'"r\n"'),
        (b"Z", b"+00:00"),
        (b".000005Z", b"Z"),
        (b'"kind":"person"', b'"kind":"person","x":1'),
        (b'"verb":"promotion.granted",', b""),
        (b'"outcome":"done"', b'"outcome":null'),
    ],
)
def test_other_heads_are_refused(old: bytes, new: bytes) -> None:
    assert parse_head(HEAD).at == "2026-03-01T12:30:00.000005Z"
    with pytest.raises((ValueError, CanonicalError)):
        parse_head(HEAD.replace(old, new, 1))
