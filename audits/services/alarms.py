"""What the net has seen becomes events that carry our MAC, and alarms that somebody has to sign off.

An event here is authenticated and covered by the next checkpoint; the line of the net it tells of is not. Who keeps the
alarms (governance) is asked through a port: CRIVO_ALARMS, the dotted path of a class like `Alarms`. It is called in the
transaction of the event, so that there is no alarm without its event and no event without its alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from audits.actors import Command, SubjectRef, system_actor
from audits.canonical import digest_of
from audits.door import Result, service
from audits.ledger.beside import change_digest, governed_digest
from audits.ledger.record import lock, record
from audits.models import Event, OutOfBandChange, SubjectHead, Workspace
from audits.roles import acting_as_notary

AT_ONCE = 5_000  # changes looked at together
NAMED = 50  # rows named in one event; the digest covers all


class Alarms(Protocol):
    def raise_alarm(self, command: Command, *, event: Event, label: str) -> None:
        """Open an alarm about `event`, to be signed off by somebody outside engineering. Part of a transaction."""


class NoAlarms:
    """Where nobody keeps alarms the event alone tells of it."""

    def raise_alarm(self, command: Command, *, event: Event, label: str) -> None:
        return None


def alarms() -> Alarms:
    path = settings.CRIVO_ALARMS
    port: Alarms = import_string(path)() if path else NoAlarms()
    return port


def tell_of_changes() -> list[UUID]:
    """Called by the notary: one event for what one transaction did to one table past the door. Ids of the events."""
    found = OutOfBandChange.objects.filter(alarm_event=None).extra(select={"transaction": "xid::text"})
    waiting = sorted(found.order_by("at", "id")[:AT_ONCE], key=_together)
    told = []
    default = Workspace.objects.order_by("created_at", "id").first()
    for _, group in groupby(waiting, key=_together):
        rows = list(group)
        workspace = _workspace(rows[0]) or (default.id if default else None)
        if workspace is None:
            continue  # nothing to write an event in yet; it waits for the first workspace
        command = Command(system_actor("notary", workspace))
        told.append(tell_of_change(command=command, changes=rows).value.id)
    return told


def _together(row: OutOfBandChange) -> tuple[str, ...]:
    return (
        str(row.transaction),  # type: ignore[attr-defined]
        row.table_name,
        row.operation,
        row.code,
        str(row.workspace_id or ""),
    )


def _workspace(row: OutOfBandChange) -> UUID | None:
    """Whose row it was: as the row says, else as its subject's head does."""
    if row.workspace_id is not None and Workspace.objects.filter(id=row.workspace_id).exists():
        return row.workspace_id
    if row.subject_id is None:
        return None
    heads = SubjectHead.objects.filter(kind=row.subject_kind, subject_id=row.subject_id)
    return heads.values_list("workspace_id", flat=True).first()


@acting_as_notary()
@service("out_of_band.detected")
def tell_of_change(*, command: Command, changes: Sequence[OutOfBandChange]) -> Result[Event]:
    """The event and the alarm of changes that one transaction made to one table without an event of its own."""
    first = changes[0]
    ids = [row.id for row in changes]
    lock(command.actor.workspace, first.ref)
    found = OutOfBandChange.objects.filter(id__in=ids).exclude(alarm_event=None).first()
    if found is not None:
        return Result(Event.objects.get(id=found.alarm_event or found.id), created=False)
    event = record(
        command,
        verb="out_of_band.detected",
        subject=first.ref,
        after=change_digest(changes),
        detail={
            "code": first.code,
            "table": first.table_name,
            "operation": first.operation,
            "rows": len(changes),
            "named": [
                {"row": row.row_id, "columns": row.columns, "before": row.before, "after": row.after}
                for row in changes[:NAMED]
            ],
            "about": {
                "kind": first.subject_kind,
                "id": str(first.subject_id or ""),
                "workspace": str(first.workspace_id or ""),
            },
            "database_role": first.database_role,
            "application": first.application,
            "changed_at": first.at.isoformat(),
        },
    )
    OutOfBandChange.objects.filter(id__in=ids).update(alarm_event=event.id)
    alarms().raise_alarm(command, event=event, label=first.ref.label)
    return Result(event)


@service("row.differs")
def tell_of_difference(
    *, command: Command, subject: SubjectRef, found: str, said: str, said_by: UUID | None
) -> Result[Event]:
    """A governed row is not what its last event says. Told once for one content of the row."""
    about = SubjectRef(
        "row",
        uuid5(NAMESPACE_URL, f"urn:crivo:row:{subject.kind}:{subject.id}"),
        f"{subject.kind} {subject.id}",
    )
    lock(command.actor.workspace, about)
    last = Event.objects.filter(subject_kind="row", subject_id=about.id).order_by("-subject_seq").first()
    if last is not None and (last.before, last.after) == (said, found):
        return Result(last, created=False)
    event = record(
        command,
        verb="row.differs",
        subject=about,
        before=said,
        after=found,
        detail={
            "about": {"kind": subject.kind, "id": str(subject.id)},
            "last_event": str(said_by or ""),
            "row_is_there": bool(found),
        },
    )
    alarms().raise_alarm(command, event=event, label=about.label)
    return Result(event)


@service("net.torn")
def tell_of_holes(*, command: Command, holes: Iterable[str]) -> Result[Event]:
    """Triggers of the net are missing or switched off. Told once for one set of them."""
    torn = sorted(holes)
    about = SubjectRef("net", uuid5(NAMESPACE_URL, "urn:crivo:net"), "the net below the door")
    lock(command.actor.workspace, about)
    last = Event.objects.filter(subject_kind="net", subject_id=about.id).order_by("-subject_seq").first()
    if (last.detail.get("holes", []) if last is not None else []) == torn:
        return Result(last or Event(), created=False)
    content = digest_of(torn)
    if not torn:
        return Result(
            record(command, verb="net.mended", subject=about, after=content, detail={"holes": torn})
        )
    event = record(command, verb="net.torn", subject=about, after=content, detail={"holes": torn})
    alarms().raise_alarm(command, event=event, label=about.label)
    return Result(event)


@acting_as_notary()
@service("schema.migrated")
def tell_of_migrations(*, command: Command) -> Result[Event]:
    """One event for the migrations that were applied since the last such event. Called by the notary."""
    about = SubjectRef("schema", uuid5(NAMESPACE_URL, "urn:crivo:schema"), "the schema of the database")
    last = Event.objects.filter(subject_kind="schema", subject_id=about.id).order_by("-subject_seq").first()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, app, name, applied FROM django_migrations WHERE id > %s ORDER BY id",
            [last.detail["upto"] if last is not None else 0],
        )
        rows = cursor.fetchall()
    if not rows:
        return Result(last or Event(), created=False)
    lock(command.actor.workspace, about)
    names = [f"{app}.{name}" for _, app, name, _ in rows]
    event = record(
        command,
        verb="schema.migrated",
        subject=about,
        after=digest_of(names),
        detail={
            "upto": rows[-1][0],
            "migrations": names,
            "applied_at": rows[-1][3].isoformat(),
            "governed": governed_digest(),
        },
    )
    return Result(event)
