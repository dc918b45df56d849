"""The verifier's quick reader and its careful one judge alike: whatever was tampered with, whatever was logged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits import verifier
from audits.ledger.note import Checkpoint, sign_checkpoint
from audits.ledger.tiles import Disclosure, write_export
from audits.verifier import (
    CanonicalError,
    UnreadableError,
    leaf_hash,
    parse_canonical,
    root_from_leaves,
    salted,
    verify_export,
)
from tests.ledger.support import ORIGIN, SIGNER, STATED, VKEY, Log, salt
from tests.ledger.test_tampers_at_random import FILTERS, SCOPES, SIZE, Forger
from tests.ledger.test_verifier import reseal

LOG = Log.make(SIZE, subjects=5)
BIG = Log.make(1_300, subjects=7)


def judged(folder: Path, previous: bytes | None = None) -> Any:
    try:
        return verify_export(folder, VKEY, previous)
    except UnreadableError as error:
        return str(error)


def alike(folder: Path, patch: pytest.MonkeyPatch, previous: bytes | None = None) -> Any:
    """The judgement, after both readers gave it."""
    quick = judged(folder, previous)
    with patch.context() as careful:
        careful.setattr(verifier._Lines, "quick", False)
        assert judged(folder, previous) == quick
    return quick


@pytest.mark.parametrize("chosen", FILTERS)
def test_what_the_ledger_writes_is_read_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, Any]
) -> None:
    """All but the two lines whose request id has escapes, with texts, params, policies and heads without rest."""
    folder = BIG.export(tmp_path / "x", None, chosen)
    assert alike(folder, monkeypatch).verified
    careful: list[int] = []
    real = verifier._Walk._entry
    monkeypatch.setattr(verifier._Walk, "_entry", lambda *args: (careful.append(args[1]), real(*args))[1])
    assert judged(folder).verified
    assert careful == [1], "only the one with an escape in its head"


def test_several_processes_read_quickly_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With most subjects new to each of them."""
    log = Log.make(4_400, subjects=1_000)
    folder = log.export(tmp_path / "x")
    alone = alike(folder, monkeypatch)
    assert alone.verified
    assert verify_export(folder, VKEY, None, jobs=2) == alone
    share = verifier._share(
        str(folder),
        Checkpoint("", 4_400, b""),
        (folder / "export.json").read_bytes(),
        (0, 4_400),
        (0, (folder / "events.jsonl").stat().st_size),
    )
    assert share.report.problem_count == 0
    assert verifier._linked([share.runs])


@pytest.mark.parametrize("seed", range(6))
def test_tampered_exports_are_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    folder = LOG.export(tmp_path / "x", SCOPES[seed % 3](), FILTERS[chance.randrange(len(FILTERS))])
    kept, forger, done = LOG.checkpoint(SIZE), Forger(folder, seed + 100), 0
    while done < 150:
        if forger.any() is None:
            continue
        alike(folder, monkeypatch, kept)
        forger.undo()
        done += 1


def edits(chance: random.Random) -> list[Callable[[bytes], bytes]]:
    """Changes of a line that a parser may overlook."""

    def at(data: bytes) -> int:
        return chance.randrange(len(data))

    def put(what: bytes) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            place = at(data)
            return data[:place] + what + data[place:]

        return change

    def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            places = [n for n in range(len(data)) if data.startswith(old, n)]
            if not places:
                return data
            place = chance.choice(places)
            return data[:place] + new + data[place + len(old) :]

        return change

    def case(data: bytes) -> bytes:
        place = at(data)
        return data[:place] + data[place : place + 1].upper() + data[place + 1 :]

    pairs = [
        (b":", b": "), (b",", b", "), (b"{}", b"{ }"), (b"null", b'""'), (b'"', b""), (b"0", b"00"), (b"1", b"1.0"),
        (b"1", b"1e0"), (b"0.12", b"0.120"), (b"0.12", b"1.2e-1"), (b"3", b"-0"), (b"3", b"1234567890123456"),
        (b'"n":', b'"disparity":'), (b'{"disparity', b'{"z":1,"disparity'), (b"\\", b""), (b"/", b"\\/"),
        (b"a", b"\\u0061"), (b'"environment"', b'"a":{"b":[]},"environment"'), (b"}", b"}}"), (b"{", b"{{"),
        (b'"detail":{', b'"detail":{"evidence":[],'), (b'"texts":{', b'"texts":{"a":1,'), (b"\n", b"\r\n"),
        (b"production", b'x","evidence":["'), (b"\xc2\xba", b"\xba"), (b"\xc2\xba", b"\xf0\x9f\x8e\xb2"),
        (b'"index":', b'"index":0'), (b"false", b"true"), (b"refused", b"refu\x7fsed"), (b"done", b"do\nne"),
    ]  # fmt: skip
    return [
        case,
        *(put(what) for what in (b" ", b"\n", b"\x00", b"\\", b'"', b"\xff", b"0")),
        *(swap(*p) for p in pairs),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_edited_lines_are_judged_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    folder = LOG.export(tmp_path / "x", None, FILTERS[seed % 2])
    path = folder / "events.jsonl"
    good = path.read_bytes()
    changes = edits(chance)
    verdicts = set()
    for _ in range(300):
        lines = good.splitlines(keepends=True)
        which = chance.randrange(len(lines))
        for _ in range(chance.choice([1, 1, 2])):
            lines[which] = chance.choice(changes)(lines[which])
        path.write_bytes(b"".join(lines))
        found = alike(folder, monkeypatch)
        assert found.verified is (path.read_bytes() == good)
        verdicts |= {problem.code for problem in found.problems}
    assert {"line_malformed", "head_differs", "rest_differs", "head_missing"} <= verdicts


# --- events that commit to what no ledger would write ------------------------------------------------------


def sealed(
    folder: Path, bodies: list[tuple[bytes, bytes]], texts: dict[int, dict[str, Any]] | None = None
) -> Path:
    """An export of events whose heads and rests are these bytes, with genuine commitments, tiles and signature: only
    the grammar of a line is between them and «verified».
    """
    envelopes, events, previous = [], [], b""
    for number, (head, rest) in enumerate(bodies):
        fields = LOG.fields[0]
        envelope = verifier.canonical(
            {
                "event_id": str(fields.event_id),
                "head": salted(salt("h", number), head).hex(),
                "previous": previous.hex() or None,
                "rest": salted(salt("r", number), rest).hex(),
                "subject": verifier.pseudonym(salt("s"), "model_version", "s0").hex(),
                "subject_seq": number + 1,
                "v": 1,
                "workspace": verifier.pseudonym(salt("w"), "workspace", "default").hex(),
            }
        )
        previous = leaf_hash(envelope)
        envelopes.append(envelope)
        shown = (texts or {}).get(number, {})
        events.append(
            (
                envelope,
                Disclosure(head, salt("h", number), salt("s"), salt("w"), rest, salt("r", number), shown),
            )
        )
    root = root_from_leaves([leaf_hash(envelope) for envelope in envelopes])
    checkpoint = sign_checkpoint(Checkpoint(ORIGIN, len(bodies), root), SIGNER)
    write_export(
        folder,
        checkpoint=checkpoint,
        vkey=VKEY,
        events=events,
        scope={"kind": "log"},
        filter={},
        stated=STATED,
    )
    return folder


HEAD, REST = LOG.disclosures[0].head, LOG.disclosures[0].rest or b""
ODD = [
    b"1.0", b"-0", b"-0.0", b"1e5", b"1E5", b"1e-7", b"1e-07", b"1e+16", b"1e16", b"1e+21", b"1e21", b"0.1", b"0.10",
    b"00", b"01", b"-1", b"+1", b"1.", b".5", b"123456789012345", b"1234567890123456", b"9007199254740991",
    b"9007199254740992", b"-9007199254740993", b"12345678901234567890", b"0.00001", b"0.000001", b"0.0000001",
    b"1.7976931348623157e+308", b"1e999", b"NaN", b"Infinity", b"-Infinity", b"true", b"True", b"null", b'""',
    b'"\\u00e9"', '"é"'.encode(), b'"\\n"', b'"\n"', b'"\\/"', b'"/"', b'"\\u0000"', b'"\x7f"', b'"\\u007f"',
    '"🎲"'.encode(), b'"\\ud83c\\udfb2"', b'"\\ud800"', b'"\\"}],"', b"[]", b"[ ]", b"[1,2]", b"[1, 2]", b"[1,]",
    b'{"b":1,"a":2}', b'{"a":1,"a":2}', b'{"a":1,"b":2}', b'{"a":{"b":{"c":[{}]}}}', b"{", b"}", b'"', b"",
    '{"\ue000":1,"🎲":2}'.encode(), '{"🎲":2,"\ue000":1}'.encode(), b'1},{"b":2', b'1},"evidence":[],"x":{"b":2',
    b"[" * 40 + b"]" * 40, b"[" * 70 + b"]" * 70, b"[" * 98 + b"]" * 98, b"[" * 99 + b"]" * 99, b"[" * 101 + b"]" * 101,
    b"[" * 5_000 + b"]" * 5_000, b'"' + b"x" * 5_000 + b'"', b'"\\\\"', b'"\\\\","evidence":[]',
]  # fmt: skip


@pytest.mark.parametrize("where", ["detail", "params", "texts", "label", "version", "evidence", "extra"])
def test_committed_oddities_are_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A rest is either canonical or not, and both readers know."""
    places = {
        "detail": b'"detail":{"k":%b}',
        "params": b'"reason":{"code":"c","params":{"k":%b}}',
        "texts": b'"texts":{"k":%b}',
        "label": b'"label":%b',
        "version": b'"version":%b',
        "evidence": b'"evidence":[%b]',
        "extra": b'"detail":{},"duck":%b',
    }
    old = {
        "detail": b'"detail":{"environment":"production"}',
        "params": b'"reason":null',
        "texts": b'"texts":{}',
        "label": b'"label":"churn/0"',
        "version": b'"version":3',
        "evidence": b'"evidence":[{"digest":"sha256:%b","kind":"check_run"}]' % (b"ef" * 32),
        "extra": b'"detail":{"environment":"production"}',
    }
    assert old[where] in REST
    fine = wrong = 0
    for number, odd in enumerate(ODD):
        rest = REST.replace(old[where], places[where].replace(b"%b", odd))
        folder = sealed(tmp_path / str(number), [(HEAD, REST), (HEAD, rest), (HEAD, REST)])
        report = alike(folder, monkeypatch)
        try:
            canonical = isinstance(parse_canonical(rest), dict)
        except CanonicalError:
            canonical = False
        assert report.verified is canonical, odd
        fine, wrong = fine + canonical, wrong + (not canonical)
    assert fine > 10
    assert wrong > 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abé🎲\ue000\"\\{},:[]", max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.dictionaries(st.text('ab"{},', max_size=3), JSON, max_size=3), min_size=1, max_size=6),
    data=st.data(),
)
def test_pieces_are_canonical_together_exactly_if_each_is(
    values: list[dict[str, Any]], data: st.DataObject
) -> None:
    pieces = [verifier.canonical(value) for value in values]
    changed = [
        data.draw(
            st.sampled_from([piece, piece.replace(b",", b", "), piece[:-1] + b"},{" + piece[1:], piece[1:]])
        )
        for piece in pieces
    ]
    both = verifier._Pieces()
    assert all(map(both.is_canonical, pieces))
    if both.all_canonical(changed):
        assert changed == pieces or all(map(both.is_canonical, changed))
    # Cut anywhere else, the whole is the same text, and no longer so many objects.
    joined = b"".join(pieces).decode()
    cut = data.draw(st.integers(1, len(joined) - 1))
    parts = [joined[:cut].encode(), joined[cut:].encode()]
    assert both.all_canonical(parts) is False or all(map(both.is_canonical, parts))


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b'"ana"', b'"a\xc3\xa9"'),
        HEAD.replace(b'"ana"', b'"a\\u0061"'),
        HEAD.replace(b'"ana"', b'"a\na"'),
        HEAD.replace(b'"ana"', b'"a\x01a"'),
        HEAD.replace(b'"ana"', b'"\xff"'),
        HEAD.replace(b'"ana"', b'"\xed\xa0\x80"'),
        HEAD.replace(b'"ana"', b"null"),
        HEAD.replace(b'"actor"', b' "actor"'),
        HEAD.replace(b"12:00", b"32:00"),
        HEAD.replace(b'"request_id":"req-0"', b'"request_id":null'),
        HEAD.replace(b'"request_id":"req-0"', b'"request_id":"\\"\\\\"'),
        HEAD[:-1] + b',"x":1}',
    ],
)
def test_committed_heads_are_judged_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    assert head != HEAD
    try:
        folder = sealed(tmp_path / "x", [(HEAD, REST), (head, REST), (HEAD, REST)])
    except ValueError:  # the writer refuses it: put in by hand
        folder = sealed(tmp_path / "y", [(HEAD, REST), (HEAD, REST), (HEAD, REST)])
        path = folder / "events.jsonl"
        first, second, third = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + second.replace(HEAD, head) + third)
    alike(folder, monkeypatch)


def test_event_ids_that_only_look_right_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One id too long and one too short for their places, both with genuine commitments."""
    folder = LOG.export(tmp_path / "x")
    entries = list(LOG.envelopes)
    one = entries[3][13:49]
    for cut in (1, 35):
        changed = list(entries)
        changed[3] = entries[3].replace(one, one[cut:] + entries[4][13:49][:cut])
        changed[4] = entries[4][: 13 + 36 - cut]
        reseal(folder, changed)
        report = alike(folder, monkeypatch)
        assert "envelope_malformed" in {problem.code for problem in report.problems}


def test_texts_are_compared_with_what_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = salt("text")
    rest = REST.replace(b'"texts":{}', b'"texts":{"a":"%b"}' % salted(said, b"sim").hex().encode())
    for number, (text, fits) in enumerate([("sim", True), ("não", False), ('s"im', False)]):
        folder = sealed(tmp_path / str(number), [(HEAD, rest)], {0: {"a": (text, said)}})
        report = alike(folder, monkeypatch)
        assert report.verified is fits
        assert fits or [problem.code for problem in report.problems] == ["text_differs"]
    folder = sealed(tmp_path / "unknown", [(HEAD, rest)], {0: {"b": ("sim", said)}})
    assert [problem.code for problem in alike(folder, monkeypatch).problems] == ["text_differs"]


@pytest.mark.parametrize("length", [verifier.MAX_LINE - 1, verifier.MAX_LINE, verifier.MAX_LINE + 1])
def test_the_longest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    folder = sealed(tmp_path / "x", [(HEAD, REST), (HEAD, REST)])
    path = folder / "events.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    wanted = b'"production' + b"x" * (length - len(second)) + b'"'
    path.write_bytes(first + second.replace(b'"production"', wanted))
    codes = [problem.code for problem in alike(folder, monkeypatch).problems]
    assert ("line_too_long" in codes) is (length > verifier.MAX_LINE)
    assert ("rest_differs" in codes) is (length <= verifier.MAX_LINE)
