"""Append one event, in the transaction of the change it tells of. There is no switch to turn this off."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from audits.actors import Command, SubjectRef
from audits.checks.contract import Message
from audits.dispatch import after_commit
from audits.ids import uuid7
from audits.keys import row_key
from audits.ledger.body import entry_digest, text_commitment
from audits.ledger.entry import body_of
from audits.models import Event, EventText
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


def _locked_head(cursor: Any, workspace: UUID, subject: SubjectRef) -> _Head:
    select = (
        "SELECT h.seq, h.digest, h.salt, clock_timestamp(), h.workspace_id, w.salt FROM audits_subject_head h "
        "JOIN audits_workspace w ON w.id = h.workspace_id WHERE h.kind = %s AND h.subject_id = %s FOR UPDATE OF h"
    )
    cursor.execute(select, [subject.kind, subject.id])
    row = cursor.fetchone()
    if row is None:
        cursor.execute(
            "INSERT INTO audits_subject_head (kind, subject_id, workspace_id, seq, digest, salt) "
            "VALUES (%s, %s, %s, 0, '', %s) ON CONFLICT DO NOTHING",
            [subject.kind, subject.id, workspace, secrets.token_hex(16)],
        )
        cursor.execute(select, [subject.kind, subject.id])
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
) -> Event:
    """Write the next event of `subject`. `texts` are words of people: only their salted commitment is in the leaf.

    Raises LookupError for an unregistered verb and whatever the database raises: then the change must not happen.
    """
    assert_known(verb)
    if not connection.in_atomic_block:
        raise RuntimeError("an event is written in the transaction of its change")
    written = {name: (text, secrets.token_hex(16)) for name, text in (texts or {}).items() if text}
    with connection.cursor() as cursor:
        head = _locked_head(cursor, command.actor.workspace, subject)
        if command.precondition is not None and outcome == "done":
            command.precondition.check(subject)
        event = Event(
            id=uuid7(),
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
            texts={
                name: text_commitment(bytes.fromhex(salt), text) for name, (text, salt) in written.items()
            },
            policy=dict(policy) if policy else None,
            evidence=[dict(item) for item in evidence],
            before=before,
            after=after,
            detail=dict(detail or {}),
            request_id=command.request_id,
            correlation_id=command.correlation_id,
            previous=head.digest,
            subject_salt=head.salt,
            head_salt=secrets.token_hex(16),
            rest_salt=secrets.token_hex(16),
        )
        envelope = body_of(event, head.workspace_salt).envelope
        event.mac = mac_of(envelope)
        event.save(force_insert=True)
        cursor.execute(
            "UPDATE audits_subject_head SET seq = %s, digest = %s WHERE kind = %s AND subject_id = %s",
            [event.subject_seq, entry_digest(envelope), subject.kind, subject.id],
        )
    EventText.objects.bulk_create(
        EventText(event=event, name=name, text=text, salt=salt) for name, (text, salt) in written.items()
    )
    if outcome == "done":
        transaction.on_commit(partial(after_commit, verb, subject.id), robust=True)
    return event


def mac_of(envelope: bytes) -> str:
    """HMAC-SHA256 under a key the database does not hold; the envelope commits to every column of the row."""
    return hmac.new(row_key(), envelope, sha256).hexdigest()
