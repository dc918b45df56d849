"""Erasing what a person wrote and how they are called (LGPD Art. 18, GDPR Art. 17), and the holds that forbid it.

Erased are the key under which their texts are sealed, the projection they can be searched by, and, through the
directory (governance), name and address of their account. Nothing of the log is touched: leaves hold random ids and
salted commitments, which say nothing without text and salt. So every proof, and every verification, holds as before."""

from __future__ import annotations

from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound
from audits.ids import uuid7
from audits.ledger.record import lock, record
from audits.models import Event, EventText, LegalHold, PersonalKey, SearchText
from audits.services.reasons import require_reason


class Directory(Protocol):
    def forget(self, person: UUID) -> bool:
        """Take name and address from the account, and close it. False if there is none. Part of a transaction."""


def person_ref(person: UUID) -> SubjectRef:
    return SubjectRef("person", person)


@service("person.erased")
def erase_person(*, command: Command, person: UUID, reason: str) -> Result[Event]:
    """Make everything `person` wrote unreadable, and forget their name. 409 under a legal hold; nothing brings it back.

    `reason` is a text of whoever erases. Doing it again erases what was written since.
    """
    subject = person_ref(person)
    lock(command.actor.workspace, subject)
    require(command, "person.erase", subject)
    require_reason(reason, subject)
    if person == command.actor.person:
        raise Conflict("erasure_of_oneself", subject=subject)
    if LegalHold.objects.filter(person_id=person, lifted_event=None).exists():
        raise Conflict("erasure_on_hold", subject=subject)
    # Whoever is writing under this key holds it FOR KEY SHARE: we wait, and then their text is erased with the others.
    keys, _ = PersonalKey.objects.filter(person_id=person).delete()
    texts = EventText.objects.filter(person_id=person).count()
    SearchText.objects.filter(person_id=person).delete()
    account = _directory().forget(person)
    if not keys and not texts and not account:
        raise NotFound("not_found", kind="person", name=str(person))
    event = record(
        command,
        verb="person.erased",
        subject=subject,
        texts={"reason": reason},
        after=digest_of({"erased": True}),
        detail={"texts": texts, "account": account},
    )
    return Result(event)


class _Nobody:
    def forget(self, person: UUID) -> bool:
        return False


def _directory() -> Directory:
    path = getattr(settings, "CRIVO_DIRECTORY", "")
    return cast(Directory, import_string(path)() if path else _Nobody())


@service("hold.placed")
def place_hold(*, command: Command, person: UUID, reason: str) -> Result[LegalHold]:
    """Forbid to erase what a person wrote. Binds at commit. Several may stand; each is lifted by itself."""
    subject = person_ref(person)
    lock(command.actor.workspace, subject)
    require(command, "hold.manage", subject)
    require_reason(reason, subject)
    hold = LegalHold(workspace_id=command.actor.workspace, person_id=person, event_id=uuid7())
    hold.save(force_insert=True)
    record(
        command,
        event_id=hold.event_id,
        verb="hold.placed",
        subject=hold.ref,
        texts={"reason": reason},
        after=digest_of({"person": str(person), "standing": True}),
        detail={"person": str(person)},
    )
    return Result(hold)


@service("hold.lifted")
def lift_hold(*, command: Command, hold_id: UUID, reason: str) -> Result[LegalHold]:
    """End a hold. 409 if it was lifted before."""
    hold = LegalHold.objects.filter(id=hold_id, workspace_id=command.actor.workspace).first()
    if hold is None:
        raise NotFound("not_found", kind="legal hold", name=str(hold_id))
    lock(command.actor.workspace, hold.ref)
    require(command, "hold.manage", hold.ref)
    require_reason(reason, hold.ref)
    hold.refresh_from_db()
    if hold.lifted_event is not None:
        raise Conflict("hold_lifted", subject=hold.ref)
    hold.lifted_event = uuid7()
    hold.save(update_fields=["lifted_event"])
    record(
        command,
        event_id=hold.lifted_event,
        verb="hold.lifted",
        subject=hold.ref,
        texts={"reason": reason},
        before=digest_of({"person": str(hold.person_id), "standing": True}),
        after=digest_of({"person": str(hold.person_id), "standing": False}),
        detail={"person": str(hold.person_id)},
    )
    return Result(hold, created=False)
