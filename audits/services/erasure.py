"""Erasing what a person wrote and how they are called (LGPD Art. 18, GDPR Art. 17), and the holds that forbid it.

Erased are the key under which their texts are sealed, the projection they can be searched by, and, through the
directory (governance), name and address of their account. Nothing of the log is touched: leaves hold random ids and
salted commitments, which say nothing without text and salt. So every proof, and every verification, holds as before."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from django.db import connection

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, NotFound
from audits.ids import uuid7
from audits.ledger.record import lock, record
from audits.models import Event, LegalHold, PersonalKey, SearchText, Workspace
from audits.privacy import ERASE, HOLD, account_of, directory, home_of, is_known, person_ref, texts_left
from audits.sealing import key_for
from audits.services.reasons import require_reason


def _one_at_a_time(person: UUID) -> None:
    """Until the end of the transaction: an erasure and the placing of a hold never pass each other by, in whichever
    workspaces they are. A head would not do: it belongs to one workspace, and a hold may be placed from another."""
    number = int.from_bytes(sha256(b"erasure " + person.bytes).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _remembered_on(command: Command, person: UUID | None) -> SubjectRef:
    """The person, where this workspace's trail tells of them or nobody's does; else the workspace itself."""
    here = command.actor.workspace
    if person is not None and is_known(person, here) and home_of(person) in (None, here):
        return person_ref(person)
    return Workspace.objects.get(id=here).ref


def _require_known(command: Command, person: UUID | None) -> UUID:
    """The operator's shell also reaches an account that has done nothing anywhere yet."""
    here = command.actor.workspace
    if person is not None and (
        is_known(person, here)
        or (command.actor.kind == "system" and not home_of(person) and account_of(person))
    ):
        return person
    raise NotFound("not_found", kind="person", name=str(person or ""))


@service("person.erased")
def erase_person(*, command: Command, person: UUID | None, reason: str) -> Result[Event]:
    """Make everything `person` wrote unreadable, and forget their name. 409 under a legal hold; nothing brings it back.

    `reason` is a text of whoever erases. Doing it again erases what was written since. 404 for somebody this workspace
    knows nothing of, or None: nobody is called as the caller said (any more: a repeat of the request that erased them
    is answered before that is looked at). Of another workspace's account 409: that workspace erases, with all that was
    written here; a superuser's only the shell erases.
    """
    remembered = _remembered_on(command, person)
    require(command, ERASE, person_ref(person) if person else None, remember_on=remembered)
    person = _require_known(command, person)
    require_reason(reason, remembered)
    _one_at_a_time(person)
    if person == command.actor.person:
        raise Conflict("erasure_of_oneself", subject=remembered)
    if home_of(person) not in (None, command.actor.workspace):
        raise Conflict("erasure_elsewhere", subject=remembered)
    subject = person_ref(person)
    account = account_of(person)
    if account is not None and account.superuser and command.actor.kind != "system":
        raise Forbidden("erasure_of_superuser", subject=subject)
    if LegalHold.objects.filter(person_id=person, lifted_event=None).exists():
        raise Conflict("erasure_on_hold", subject=subject)
    lock(command.actor.workspace, subject)
    # Whoever is writing under this key holds it FOR KEY SHARE, or has just made it: we wait for either, and then their
    # text is erased with the others. (Without a row of ours to collide with, a first key would not be seen.)
    key_for(person)
    PersonalKey.objects.filter(person_id=person).select_for_update().get()
    texts = texts_left(person)
    PersonalKey.objects.filter(person_id=person).delete()
    SearchText.objects.filter(person_id=person).delete()
    event = record(
        command,
        verb="person.erased",
        subject=subject,
        texts={"reason": reason},
        after=digest_of({"erased": True}),
        detail={"texts": texts, "account": directory().forget(person)},
    )
    return Result(event)


@service("hold.placed")
def place_hold(*, command: Command, person: UUID | None, reason: str) -> Result[LegalHold]:
    """Forbid to erase what a person wrote. Binds at commit. Several may stand; each is lifted by itself.

    404 for somebody this workspace knows nothing of, or None (as for an erasure). A hold binds every workspace.
    """
    remembered = _remembered_on(command, person)
    require(command, HOLD, person_ref(person) if person else None, remember_on=remembered)
    person = _require_known(command, person)
    require_reason(reason, remembered)
    _one_at_a_time(person)
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
    require(command, HOLD, hold.ref)
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
