from __future__ import annotations

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, service
from audits.ledger.record import lock, record
from audits.models import Event, Quarantine
from audits.roles import acting_as_notary

_COLUMNS = sorted(field.attname for field in Event._meta.concrete_fields)


@acting_as_notary()
@service("event.quarantined")
def quarantine_event(*, command: Command, event: Event, code: str) -> Result[Quarantine]:
    """Set an event aside that is not genuine. The event about it pins what its row holds, by digest."""
    ref = SubjectRef("event", event.id, str(event.id))
    lock(command.actor.workspace, ref)
    found = Quarantine.objects.filter(event_id=event.id).first()
    if found is not None:
        return Result(found, created=False)
    quarantine = Quarantine.objects.create(event_id=event.id, code=code)
    record(
        command,
        verb="event.quarantined",
        subject=ref,
        after=digest_of({name: str(getattr(event, name)) for name in _COLUMNS}),
        detail={"code": code, "claims": {"verb": event.verb, "subject_kind": event.subject_kind}},
    )
    return Result(quarantine)
