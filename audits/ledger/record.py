"""Append one event, in the transaction of the change it tells of. There is no switch to turn this off."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from audits import sealing
from audits.actors import Command, SubjectRef
from audits.checks.contract import Message
from audits.dispatch import after_commit
from audits.ids import uuid7
from audits.keys import RowKey, row_key_now, row_keys
from audits.ledger.body import entry_digest, new_salt, text_commitment
from audits.ledger.entry import body_of
from audits.models import Event, EventText, SearchText
from audits.verbs import assert_known


def lock(workspace: UUID, *subjects: SubjectRef) -> None:
    """Take the row locks of these subjects' heads, in the one order everybody uses, creating missing heads."""
    with connection.cursor() as cursor:
        for subject in sorted(subjects, key=lambda ref: ref.key):
            _locked_head(cursor, workspace, subject)


class _Head(NamedTuple):
    seq: int
    digest: str
    salt: str
    now: datetime
    workspace: UUID
    workspace_salt: str
    state: str
    row: str | None


def _locked_head(cursor: Any, workspace: UUID, subject: SubjectRef, reading: bool = False) -> _Head:
    cursor.execute(
        "SELECT * FROM crivo_head(%s, %s, %s, %s, %s)",
        [subject.kind, subject.id, workspace, secrets.token_hex(16), reading],
    )
    row = cursor.fetchone()
    head = _Head(*row)
    if head.workspace != workspace:
        raise ValueError(f"{subject.kind} {subject.id} belongs to another workspace")
    return head


def record(
    command: Command,
    *,
    verb: str,
    subject: SubjectRef,
    outcome: str = "done",
    reason: Message | None = None,
    texts: Mapping[str, str] | None = None,
    policy: Mapping[str, Any] | None = None,
    evidence: Sequence[Mapping[str, str]] = (),
    before: str = "",
    after: str = "",
    detail: Mapping[str, Any] | None = None,
    event_id: UUID | None = None,
    texts_of: UUID | None = None,
) -> Event:
    """Write the next event of `subject`. `texts` are words of people: only their salted commitment is in the leaf; the
    words are sealed under the key of the person they belong to (`texts_of`, or who acts).

    Where the subject is a row that the net watches, `before` and `after` are digests of that row, taken here and now:
    it has to be saved before, or the net tells of a change that no event describes. A row that names the event which
    brought it about is saved with an id made beforehand (`event_id`).

    Raises LookupError for an unregistered verb and whatever the database raises: then the change must not happen.
    """
    assert_known(verb)
    if not connection.in_atomic_block:
        raise RuntimeError("an event is written in the transaction of its change")
    written = {name: (text, new_salt()) for name, text in (texts or {}).items() if text}
    with connection.cursor() as cursor:
        head = _locked_head(cursor, command.actor.workspace, subject, reading=True)
        if command.precondition is not None and outcome == "done":
            command.precondition.check(subject)
        if head.row is not None:
            # A refusal changes nothing: it must not vouch for a row that somebody changed past the door meanwhile.
            before, after = head.state, head.state or head.row if outcome == "refused" else head.row
        event = Event(
            id=event_id or uuid7(),
            at=head.now.astimezone(UTC),
            workspace_id=command.actor.workspace,
            actor_kind=command.actor.kind,
            actor_id=command.actor.id,
            on_behalf_of=command.actor.person if command.actor.person != command.actor.id else None,
            verb=verb,
            subject_kind=subject.kind,
            subject_id=subject.id,
            subject_label=subject.label,
            subject_digest=subject.digest,
            subject_seq=head.seq + 1,
            outcome=outcome,
            reason=asdict(reason) if reason else None,
            texts={name: text_commitment(salt, text) for name, (text, salt) in written.items()},
            policy=dict(policy) if policy else None,
            evidence=[dict(item) for item in evidence],
            before=before,
            after=after,
            detail={**(detail or {}), **({"texts_of": str(texts_of)} if texts_of and written else {})},
            request_id=command.request_id,
            correlation_id=command.correlation_id,
            previous=head.digest,
            subject_salt=head.salt,
            head_salt=secrets.token_hex(16),
            rest_salt=secrets.token_hex(16),
        )
        envelope = body_of(event, head.workspace_salt).envelope
        event.mac = mac_of(envelope)
        cursor.execute("SELECT crivo_append(%s, %s)", [_as_json(event), entry_digest(envelope)])
        event._state.adding, event._state.db = False, connection.alias
    if written:
        _seal(event, texts_of or command.actor.person or command.actor.id, written)
    if outcome == "done":
        transaction.on_commit(partial(after_commit, verb, subject.id), robust=True)
    return event


@cache
def _columns() -> tuple[str, ...]:
    return tuple(field.attname for field in Event._meta.concrete_fields)


def _as_json(event: Event) -> str:
    return json.dumps({name: getattr(event, name) for name in _columns()}, default=str)


def _seal(event: Event, person: UUID, written: Mapping[str, tuple[str, bytes]]) -> None:
    key = sealing.key_for(person)
    EventText.objects.bulk_create(
        sealing.sealed(event.id, name, person, text, salt, key) for name, (text, salt) in written.items()
    )
    SearchText.objects.bulk_create(
        SearchText(event=event, name=name, person_id=person, text=text) for name, (text, _) in written.items()
    )


def mac_of(envelope: bytes, key: bytes | None = None) -> str:
    """HMAC-SHA256 under a key the database does not hold; the envelope commits to every column of the row."""
    return hmac.new(key or row_key_now(), envelope, sha256).hexdigest()


def mac_holds(envelope: bytes, mac: str, keys: Iterable[RowKey] | None = None) -> bool:
    """Whether one of the row keys (all that are known) made it."""
    wanted = mac.encode()
    return any(
        hmac.compare_digest(mac_of(envelope, found.key).encode(), wanted)
        for found in (row_keys() if keys is None else keys)
    )
