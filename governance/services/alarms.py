"""The port of audits to the alarms: what the notary has seen past the door stays open until somebody signs it off."""

from __future__ import annotations

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.ledger.record import record
from audits.models import Event
from governance.models import Alarm


class Alarms:
    """See audits.services.alarms.Alarms. Called inside the transaction of the event."""

    def raise_alarm(self, command: Command, *, event: Event, label: str) -> None:
        alarm, created = Alarm.objects.get_or_create(
            about_event=event.id,
            defaults={
                "workspace_id": event.workspace_id,
                "about": label[:400],
                "raised_by": command.actor.id,
            },
        )
        if not created:
            return
        record(
            command,
            verb="alarm.raised",
            subject=alarm.ref,
            reason=Message("past_the_door", {"verb": event.verb, "about": label[:400]}),
            after=digest_of({"state": alarm.state}),
            detail={"event": str(event.id)},
        )
