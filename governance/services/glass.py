"""Break-glass: a version let through although refused, on one person's word, for hours, with an alarm.

It never overrides a restriction somebody put there on purpose (suspension, withdrawal, retirement). The alarm stays
open until somebody outside engineering has signed it off, whatever happens to the glass.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.services.steps import stepped
from governance import access, clock, gate, selectors
from governance.authority import roles_anywhere
from governance.in_force import policy_for
from governance.models import Alarm, BrokenGlass, Environment, UseCase
from governance.policy import terms
from governance.roles import ENGINEERING
from governance.services.words import checked_words, person_acting
from governance.states import ALARM, GLASS, AlarmState, GlassState
from registry.models import ModelVersion
from registry.selectors import model_version_by_id
from registry.states import VersionState


@service("glass.broken")
def break_glass(
    *, command: Command, version_id: UUID, environment: str, reason: str, hours: int
) -> Result[BrokenGlass]:
    """Let a version through for `hours`. Effective once its event is published; the alarm is open at commit."""
    version = model_version_by_id(command.actor, version_id)
    lock(version.workspace_id, version.model.ref)
    person = person_acting(command, "placement.break_glass", version.ref)
    where = Environment.objects.filter(workspace_id=version.workspace_id, name=environment).first()
    if where is None:
        raise Unprocessable("environment_unknown", subject=version.ref, field="environment", name=environment)
    checked_words(reason, "reason", version.ref)
    limit = _longest(version, where)
    if not 1 <= hours <= limit:
        raise Unprocessable("glass_too_long", subject=version.ref, field="hours", limit=limit)
    version.refresh_from_db(fields=["state"])
    answer = gate.ask(version.workspace_id, version.artifact_digest, where.name, version.model.name)
    same = ModelVersion.objects.filter(model=version.model, artifact_digest=version.artifact_digest)
    if (
        version.state != VersionState.REGISTERED
        or gate.stopped_there(answer, version)
        or same.filter(state=VersionState.SUSPENDED).exists()
    ):
        raise Conflict("restriction_stands", subject=version.ref, environment=where.name)
    now = clock.now()
    standing = BrokenGlass.objects.filter(
        version=version, environment=where, state=GlassState.BROKEN, expires_at__gt=now
    )
    if standing.exists():
        raise Conflict("glass_already_broken", subject=version.ref, environment=where.name)
    if answer.allowed:
        raise Conflict("glass_not_needed", subject=version.ref, environment=where.name)
    glass = BrokenGlass(
        workspace_id=version.workspace_id,
        version=version,
        environment=where,
        broken_by=person,
        expires_at=now + timedelta(hours=hours),
        granted_event=uuid7(),
    )
    glass.save(force_insert=True)
    record(
        command,
        event_id=glass.granted_event,
        verb="glass.broken",
        subject=glass.ref,
        texts={"reason": reason},
        after=_state(glass),
        detail={"environment": where.name, "until": timestamp(glass.expires_at), "version": str(version.id)},
    )
    alarm = Alarm.objects.create(workspace_id=glass.workspace_id, glass=glass, raised_by=person)
    record(
        command,
        verb="alarm.raised",
        subject=alarm.ref,
        reason=Message("glass_was_broken", {"version": version.label, "environment": where.name}),
        after=digest_of({"state": alarm.state}),
        detail={"glass": str(glass.id)},
    )
    return Result(glass)


@service("glass.ended")
def end_glass(*, command: Command, glass_id: UUID, reason: str) -> Result[BrokenGlass]:
    """Shut the gate again before the time is over, at commit. The alarm stays."""
    seen = selectors.broken_glass(command.actor, glass_id)
    lock(seen.workspace_id, seen.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    glass = (
        BrokenGlass.objects.select_for_update(of=("self",))
        .select_related("version__model", "environment")
        .get(id=glass_id)
    )
    person_acting(command, "placement.break_glass", glass.ref)
    checked_words(reason, "reason", glass.ref)
    before = _state(glass)
    glass.state = stepped("glass_transition", glass.ref, GLASS, glass.state, GlassState.ENDED)
    glass.save()
    record(
        command,
        verb="glass.ended",
        subject=glass.ref,
        texts={"reason": reason},
        before=before,
        after=_state(glass),
    )
    return Result(glass, created=False)


@service("alarm.signed_off")
def sign_off_alarm(*, command: Command, alarm_id: UUID, reason: str) -> Result[Alarm]:
    """By somebody outside engineering who is not the one who broke the glass."""
    seen = selectors.alarm(command.actor, alarm_id)
    lock(seen.workspace_id, seen.ref)
    alarm = (
        Alarm.objects.select_for_update(of=("self",))
        .select_related("glass__version__model", "glass__environment")
        .get(id=alarm_id)
    )
    person = person_acting(command, "alarm.sign_off", alarm.ref)
    if person == alarm.raised_by:
        raise Forbidden("own_alarm", subject=alarm.ref)
    if ENGINEERING & (roles_anywhere(alarm.workspace_id, person) | _roles_of_tokens(alarm, person)):
        raise Forbidden("alarm_outside_engineering", subject=alarm.ref)
    checked_words(reason, "reason", alarm.ref)
    before = digest_of({"state": alarm.state})
    alarm.state = stepped("alarm_transition", alarm.ref, ALARM, alarm.state, AlarmState.SIGNED_OFF)
    alarm.signed_off_by = person
    alarm.save()
    record(
        command,
        verb="alarm.signed_off",
        subject=alarm.ref,
        texts={"reason": reason},
        before=before,
        after=digest_of({"state": alarm.state}),
    )
    return Result(alarm, created=False)


def _roles_of_tokens(alarm: Alarm, person: UUID) -> frozenset[str]:
    """Of the service tokens this person answers for."""
    rows = access.bindings().filter(access.in_workspace(alarm.workspace_id), token__person_id=person)
    return frozenset(rows.values_list("role", flat=True))


def _longest(version: ModelVersion, environment: Environment) -> int:
    use_case = UseCase.objects.filter(
        workspace_id=version.workspace_id, name=version.metadata["use_case"]
    ).first()
    policy = policy_for(use_case, environment) if use_case else None
    return terms.glass_hours(policy.body if policy else None)


def _state(glass: BrokenGlass) -> str:
    return digest_of({"state": glass.state, "expires_at": timestamp(glass.expires_at)})
