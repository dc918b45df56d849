"""Rotation of keys: the new one is announced by an event that is marked and signed with those of before.

Signing keys and the row key have successors, which take over at a moment that was announced (audits.ledger.rotation).
Pepper and sealing key are replaced at once: nothing is left that the old one opens.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

from django.db.models import QuerySet
from django.utils import timezone

from audits.actors import Command, SubjectRef
from audits.door import Result, require, service
from audits.errors import Conflict, Unprocessable
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.ledger.rotation import NewKey, Purpose, RotationRefusedError, make_successor
from audits.models import Event

Replaced = Literal["pepper", "sealing"]
REPLACED: tuple[Replaced, ...] = ("pepper", "sealing")
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(days=90)


def key_ref(command: Command, purpose: str) -> SubjectRef:
    return SubjectRef(
        "key", uuid5(NAMESPACE_URL, f"urn:crivo:key:{command.actor.workspace}:{purpose}"), purpose
    )


@service("key.rotated")
def rotate_key(
    *, command: Command, purpose: Purpose, overlap: timedelta, compromised: str = ""
) -> Result[Event]:
    """Make the successor of a key; it signs alone after `overlap` (5 minutes to 90 days). The event says which follows.

    `compromised` (what happened) makes it sign alone at once, and takes the old one out of the JWKS: whoever holds it
    could date a signature back. 409 while an earlier rotation is not over, or where the key is not a file of ours.
    """
    subject = key_ref(command, purpose)
    lock(command.actor.workspace, subject)
    require(command, "key.rotate", subject)
    if compromised:
        overlap = timedelta(0)
    elif not SHORTEST <= overlap <= LONGEST:
        raise Unprocessable("key_overlap", subject=subject, field="overlap", minutes=5, days=LONGEST.days)
    since = int((timezone.now() + overlap).timestamp())
    try:
        made = make_successor(purpose, since)
    except RotationRefusedError as error:
        code = "key_rotation_pending" if error.code == "pending" else "key_from_environment"
        raise Conflict(code, subject=subject, purpose=purpose) from error
    try:
        return Result(_announced(command, subject, made, compromised))
    except BaseException:
        made.discard()  # a key that nobody announced must not begin to sign
        raise


@service("key.rotated")
def note_replacement(
    *, command: Command, purpose: Replaced, old: str, new: str, compromised: str = ""
) -> Result[Event]:
    """A key that has no successor beside it is about to be replaced: `old` and `new` are its public names."""
    subject = key_ref(command, purpose)
    lock(command.actor.workspace, subject)
    require(command, "key.rotate", subject)
    detail = {"purpose": purpose, "old": old, "new": new, **({"compromised": True} if compromised else {})}
    return Result(
        record(command, verb="key.rotated", subject=subject, texts={"reason": compromised}, detail=detail)
    )


def compromises() -> QuerySet[Event]:
    """The events that told of a key which somebody else may hold; `detail["old"]` is its public name."""
    return Event.objects.filter(verb="key.rotated", outcome="done", detail__compromised=True)


def compromised_keys() -> set[str]:
    """Public names (thumbprints, vkeys) of keys that somebody else may hold."""
    return {event.detail["old"] for event in compromises()}


def _announced(command: Command, subject: SubjectRef, made: NewKey, compromised: str) -> Event:
    return record(
        command,
        verb="key.rotated",
        subject=subject,
        texts={"reason": compromised},
        before=made.old if made.purpose == "attestation" else "",
        after=made.new if made.purpose == "attestation" else "",
        detail={
            "purpose": made.purpose,
            "old": made.old,
            "new": made.new,
            "alone_from": timestamp(datetime.fromtimestamp(made.since, UTC)),
            **({"compromised": True} if compromised else {}),
        },
    )
