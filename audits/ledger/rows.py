"""Ledger entries by the thousand, straight from the rows: templates instead of a general encoder, no model instances.

What comes out is compared with the leaf hash of each row, so a shortcut can be taken wrongly but never unnoticed: a row
whose quick entry does not hash to its leaf is built again with `body_of`, which decides.
"""

from __future__ import annotations

import io
import json
import re
from binascii import unhexlify
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from audits.ledger.entry import as_written, body_of
from audits.ledger.receipts import EntryDamaged
from audits.ledger.tree import leaf_hash
from audits.models import Event
from audits.verifier import _FAST, _SlowPath, canonical

CACHED = 4_096

# Absent values as empty text: \N would have to be told from a backslash.
_COLUMNS = """
l."index", encode(l.hash, 'hex'), l.event_id, coalesce(e.workspace_id::text, ''), w.salt, e.actor_kind, e.actor_id,
coalesce(e.on_behalf_of::text, ''), e.verb, e.subject_kind, e.subject_id, e.subject_label, e.subject_digest,
e.subject_seq, e.outcome, coalesce(e.reason::text, ''), e.texts, coalesce(e.policy::text, ''), e.evidence, e.before,
e.after, e.detail, e.request_id, e.correlation_id, e.previous, e.subject_salt, e.head_salt, e.rest_salt,
to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), coalesce(p.workspace_id::text, ''),
coalesce(encode(p.envelope, 'hex'), '')
"""
_COPY = (
    f"COPY (SELECT {_COLUMNS} FROM audits_leaf l LEFT JOIN audits_event e ON e.id = l.event_id "  # noqa: S608
    "LEFT JOIN audits_workspace w ON w.id = e.workspace_id "
    "LEFT JOIN audits_pruned p ON p.event_id = l.event_id AND e.id IS NULL "
    'WHERE l."index" >= {start:d} AND l."index" < {stop:d} ORDER BY l."index") TO STDOUT'
)
_HEAD = (
    b'{"actor":{"id":"%b","kind":"%b"},"at":"%b","correlation_id":"%b","outcome":"%b","request_id":"%b",'
    b'"subject":{"id":"%b","kind":"%b"},"verb":"%b","workspace":"%b"}'
)
_REST = (
    b'{"after":%b,"before":%b,"detail":%b,"evidence":%b,"on_behalf_of":%b,"policy":%b,"reason":%b,'
    b'"subject":{"digest":%b,"label":%b},"texts":%b}'
)
_ENVELOPE = (
    b'{"event_id":"%b","head":"%b","previous":%b,"rest":"%b","subject":"%b","subject_seq":%b,"v":1,'
    b'"workspace":"%b"}'
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_UNESCAPE = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class Entry(NamedTuple):
    """One entry of the log with what it commits to; `head` and `rest` are canonical, salts in hexadecimal."""

    place: int
    event: bytes
    hash: bytes
    envelope: bytes
    workspace: bytes
    verb: bytes
    head: bytes
    head_salt: bytes
    rest: bytes
    rest_salt: bytes
    subject_salt: bytes
    workspace_salt: bytes
    has_texts: bool
    pruned_of: bytes = (
        b""  # the workspace, where only the envelope is left (audits.ledger.pruned): head and rest are empty
    )


class Reader:
    """Reads ranges of the log. Keeps what repeats: pseudonyms and small JSON objects."""

    def __init__(self) -> None:
        self._json: dict[bytes, bytes] = {b"": b"null", b"{}": b"{}", b"[]": b"[]"}
        self._pseudonyms: dict[tuple[bytes, bytes, bytes], bytes] = {}

    def read(self, start: int, stop: int) -> Iterator[Entry]:
        """Entries from `start` up to before `stop`, in order. EntryDamaged where a row is not what was logged."""
        rows = io.BytesIO()
        with connection.cursor() as cursor:
            cursor.copy_expert(_COPY.format(start=start, stop=stop), rows)
        expected = start
        for row in rows.getvalue().splitlines():
            fields = row.split(b"\t")
            if b"\\" in row:
                fields = [_ESCAPED.sub(_unescaped, field) if b"\\" in field else field for field in fields]
            entry = self._entry(fields)
            if entry.place != expected:
                raise EntryDamaged.at(expected, None)
            expected += 1
            yield entry
        if expected != stop:
            raise EntryDamaged.at(expected, None)

    def _entry(self, fields: list[bytes]) -> Entry:
        (
            index, stored, event, workspace, workspace_salt, actor_kind, actor, on_behalf_of, verb, kind, subject,
            label, digest, seq, outcome, reason, texts, policy, evidence, before, after, detail, request, correlation,
            previous, subject_salt, head_salt, rest_salt, at, pruned_of, kept,
        ) = fields  # fmt: skip
        if kept:
            return _pruned(int(index), event, stored, pruned_of, unhexlify(kept))
        if not workspace:
            raise EntryDamaged.at(int(index), UUID(event.decode()))
        try:
            head = _HEAD % (
                actor, actor_kind, at, correlation, outcome, request, subject, kind, verb, workspace,
            )  # fmt: skip
            rest = _REST % (
                b'"%b"' % after if after else b"null",
                b'"%b"' % before if before else b"null",
                self._canonical(detail),
                self._canonical(evidence),
                b'{"id":"%b","kind":"person"}' % on_behalf_of if on_behalf_of else b"null",
                self._canonical(policy),
                self._canonical(reason),
                b'"%b"' % digest if digest else b"null",
                _encode(label.decode()).encode(),
                self._canonical(texts),
            )
            envelope = _ENVELOPE % (
                event,
                sha256(unhexlify(head_salt) + head).hexdigest().encode(),
                b'"%b"' % previous if previous else b"null",
                sha256(unhexlify(rest_salt) + rest).hexdigest().encode(),
                self._pseudonym(subject_salt, kind, subject),
                seq,
                self._pseudonym(workspace_salt, b"workspace", workspace),
            )
            value = sha256(b"\x00" + envelope)
            genuine = value.hexdigest().encode() == stored
        except ValueError:
            genuine = False
        if not genuine:
            return self._slowly(int(index), event, stored, workspace_salt)
        return Entry(
            int(index), event, value.digest(), envelope, workspace, verb, head, head_salt, rest, rest_salt,
            subject_salt, workspace_salt, texts != b"{}",
        )  # fmt: skip

    def _canonical(self, text: bytes) -> bytes:
        found = self._json.get(text)
        if found is None:
            try:
                found = _encode(_FAST.decode(text.decode())).encode()
            except _SlowPath:  # a number that RFC 8785 writes in another way
                found = canonical(as_written(json.loads(text)))
            if len(text) < 512:
                if len(self._json) > CACHED:
                    self._json = {b"": b"null", b"{}": b"{}", b"[]": b"[]"}
                self._json[text] = found
        return found

    def _pseudonym(self, salt: bytes, kind: bytes, identifier: bytes) -> bytes:
        key = salt, kind, identifier
        found = self._pseudonyms.get(key)
        if found is None:
            if len(self._pseudonyms) > CACHED:
                self._pseudonyms.clear()
            found = sha256(unhexlify(salt) + b'["%b","%b"]' % (kind, identifier)).hexdigest().encode()
            self._pseudonyms[key] = found
        return found

    def _slowly(self, index: int, event_id: bytes, stored: bytes, workspace_salt: bytes) -> Entry:
        event = Event.objects.filter(id=event_id.decode()).first()
        if event is None:
            raise EntryDamaged.at(index, UUID(event_id.decode()))
        try:
            body = body_of(event, workspace_salt.decode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EntryDamaged.at(index, event.id) from error
        value = leaf_hash(body.envelope)
        if value.hex().encode() != stored:
            raise EntryDamaged.at(index, event.id)
        return Entry(
            index, event_id, value, body.envelope, str(event.workspace_id).encode(), event.verb.encode(), body.head,
            event.head_salt.encode(), body.rest, event.rest_salt.encode(), event.subject_salt.encode(), workspace_salt,
            bool(event.texts),
        )  # fmt: skip


def _pruned(index: int, event: bytes, stored: bytes, workspace: bytes, envelope: bytes) -> Entry:
    value = leaf_hash(envelope)
    if value.hex().encode() != stored:
        raise EntryDamaged.at(index, UUID(event.decode()))
    nothing = b""
    return Entry(
        index, event, value, envelope, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, False,
        workspace,
    )  # fmt: skip


def _unescaped(match: re.Match[bytes]) -> bytes:
    return _UNESCAPE.get(match[1], match[1])


def line_of(entry: Entry, with_rest: bool, texts: dict[str, tuple[str, bytes]] | None = None) -> bytes:
    """Its line of events.jsonl (as `tiles.event_line` writes it). `texts`: name → (text, salt)."""
    if not with_rest:
        return b'{"head":%b,"head_salt":"%b","index":%d,"subject_salt":"%b","workspace_salt":"%b"}\n' % (
            entry.head,
            entry.head_salt,
            entry.place,
            entry.subject_salt,
            entry.workspace_salt,
        )
    told = b""
    if texts:
        told = b',"texts":' + canonical(
            {name: {"salt": salt.hex(), "text": text} for name, (text, salt) in texts.items()}
        )
    return (
        b'{"head":%b,"head_salt":"%b","index":%d,"rest":%b,"rest_salt":"%b","subject_salt":"%b"%b,"workspace_salt":"%b"}\n'
        % (
            entry.head, entry.head_salt, entry.place, entry.rest, entry.rest_salt, entry.subject_salt, told,
            entry.workspace_salt,
        )
    )  # fmt: skip
