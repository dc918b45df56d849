"""Waivers: doing without one requirement of one version in one environment, for a while.

Asked for by one person and approved by another who holds the role the policy names. An approval is a grant: effective
once its event is published. A revocation binds at commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.services.steps import stepped
from governance import clock, hindrances, selectors
from governance.authority import roles_of_person
from governance.in_force import policy_for
from governance.models import Environment, Placement, PolicyVersion, UseCase, Waiver
from governance.policy import terms
from governance.services.outcomes import settle_open
from governance.services.words import checked_words, hands_off, person_acting
from governance.states import WAIVER, PlacementState, WaiverState
from registry.models import ModelVersion
from registry.selectors import model_version_by_id


@service("waiver.requested")
def request_waiver(
    *,
    command: Command,
    version_id: UUID,
    environment: str,
    check: str,
    metric: str,
    attribute: str,
    reason: str,
    compensating_control: str,
    expires_at: datetime,
) -> Result[Waiver]:
    """Ask to do without one requirement (`attribute` empty where the line has none) until `expires_at`."""
    version = model_version_by_id(command.actor, version_id)
    lock(version.workspace_id, version.model.ref)
    person = person_acting(command, "waiver.request", version.ref)
    where = Environment.objects.filter(workspace_id=version.workspace_id, name=environment).first()
    if where is None:
        raise Unprocessable("environment_unknown", subject=version.ref, field="environment", name=environment)
    policy = _policy(version, where)
    agreed = terms.waivers(policy.body)
    if agreed is None:
        raise Unprocessable("waivers_not_allowed", subject=version.ref, policy=policy.label)
    if not _asks_for(policy.body, check, metric, attribute):
        raise Unprocessable(
            "requirement_unknown",
            subject=version.ref,
            policy=policy.label,
            check=check,
            metric=metric,
            attribute=attribute,
        )
    checked_words(reason, "reason", version.ref)
    checked_words(compensating_control, "compensating_control", version.ref)
    now = clock.now()
    if not now < expires_at <= now + timedelta(days=agreed.max_days):
        raise Unprocessable("waiver_expiry", subject=version.ref, field="expires_at", days=agreed.max_days)
    wanted = {
        "version": version,
        "environment": where,
        "check_slug": check,
        "metric": metric,
        "attribute": attribute,
    }
    if Waiver.objects.filter(**wanted, state=WaiverState.REQUESTED).exists():
        raise Conflict("waiver_already_requested", subject=version.ref)
    waiver = Waiver.objects.create(
        workspace_id=version.workspace_id, expires_at=expires_at, requested_by=person, **wanted
    )
    record(
        command,
        verb="waiver.requested",
        subject=waiver.ref,
        policy=policy.pinned,
        texts={"reason": reason, "compensating_control": compensating_control},
        after=_state(waiver),
        detail={"expires_at": timestamp(expires_at), "environment": where.name, "version": str(version.id)},
    )
    return Result(waiver)


@service("waiver.approved")
def approve_waiver(*, command: Command, waiver_id: UUID, reason: str) -> Result[Waiver]:
    """Agree, as somebody else than who asked, with the role the policy names and no hand in the version."""
    waiver, person, policy = _deciding(command, waiver_id, reason)
    now = clock.now()
    agreed = terms.waivers(policy.body)
    if agreed is None:
        raise Unprocessable("waivers_not_allowed", subject=waiver.ref, policy=policy.label)
    if not now < waiver.expires_at <= now + timedelta(days=agreed.max_days):
        raise Unprocessable("waiver_expiry", subject=waiver.ref, field="expires_at", days=agreed.max_days)
    before = _state(waiver)
    _step(waiver, WaiverState.APPROVED)
    waiver.decided_by = person
    waiver.granted_event = uuid7()
    waiver.save()
    record(
        command,
        event_id=waiver.granted_event,
        verb="waiver.approved",
        subject=waiver.ref,
        policy=policy.pinned,
        texts={"reason": reason},
        before=before,
        after=_state(waiver),
        detail={"expires_at": timestamp(waiver.expires_at), "role": agreed.role},
    )
    return Result(waiver, created=False)


@service("waiver.refused")
def refuse_waiver(*, command: Command, waiver_id: UUID, reason: str) -> Result[Waiver]:
    waiver, person, policy = _deciding(command, waiver_id, reason)
    before = _state(waiver)
    _step(waiver, WaiverState.REFUSED)
    waiver.decided_by = person
    waiver.save()
    record(
        command,
        verb="waiver.refused",
        subject=waiver.ref,
        policy=policy.pinned,
        texts={"reason": reason},
        before=before,
        after=_state(waiver),
    )
    return Result(waiver, created=False)


@service("waiver.revoked")
def revoke_waiver(*, command: Command, waiver_id: UUID, reason: str) -> Result[Waiver]:
    """Take it back, at once: by whoever may approve waivers. The gate shuts for what rests on it."""
    waiver = _locked(command, waiver_id)
    require(command, "waiver.revoke", waiver.ref)
    checked_words(reason, "reason", waiver.ref)
    before = _state(waiver)
    _step(waiver, WaiverState.REVOKED)
    waiver.save()
    record(
        command,
        verb="waiver.revoked",
        subject=waiver.ref,
        texts={"reason": reason},
        before=before,
        after=_state(waiver),
    )
    settle_open(command, waiver.version)
    return Result(waiver, created=False)


@service("waiver.expired")
def flag_expired_waiver(*, command: Command, waiver_id: UUID) -> Result[Waiver]:
    """Tell, once, that a waiver has expired, and flag what is live on it. Called by the sweep; the gate needs none."""
    waiver = _locked(command, waiver_id)
    now = clock.now()
    if waiver.state != WaiverState.APPROVED or waiver.expires_at > now or waiver.flagged_at is not None:
        return Result(waiver, created=False)
    state = _state(waiver)
    waiver.flagged_at = now
    waiver.save(update_fields=["flagged_at"])
    why = Message("waiver_expired", {**_names(waiver), "since": timestamp(waiver.expires_at)})
    record(command, verb="waiver.expired", subject=waiver.ref, reason=why, before=state, after=state)
    live = Placement.objects.filter(
        version=waiver.version, environment=waiver.environment, state=PlacementState.LIVE
    ).select_related("promotion__policy", "version__model", "environment")
    for placement in live:
        if waiver.requirement in hindrances.waived_by(placement):
            record(
                command,
                verb="placement.flagged",
                subject=placement.ref,
                reason=why,
                detail={"waiver": str(waiver.id)},
            )
    settle_open(command, waiver.version)
    return Result(waiver, created=False)


def _deciding(command: Command, waiver_id: UUID, reason: str) -> tuple[Waiver, UUID, PolicyVersion]:
    waiver = _locked(command, waiver_id)
    person = person_acting(command, "waiver.approve", waiver.ref)
    if person == waiver.requested_by:
        raise Forbidden("own_waiver", subject=waiver.ref)
    hands_off(waiver.version, person, waiver.ref)
    policy = _policy(waiver.version, waiver.environment)
    agreed = terms.waivers(policy.body)
    if agreed is not None and agreed.role not in roles_of_person(waiver.workspace_id, person, waiver.ref):
        raise Forbidden("waiver_role", subject=waiver.ref, role=agreed.role, policy=policy.label)
    checked_words(reason, "reason", waiver.ref)
    return waiver, person, policy


def _policy(version: ModelVersion, environment: Environment) -> PolicyVersion:
    use_case = UseCase.objects.get(workspace_id=version.workspace_id, name=version.metadata["use_case"])
    policy = policy_for(use_case, environment)
    if policy is None:
        raise Unprocessable(
            "no_policy", subject=version.ref, environment=environment.name, use_case=use_case.name
        )
    return policy


def _asks_for(policy: Mapping[str, Any], check: str, metric: str, attribute: str) -> bool:
    for entry in policy["checks"]:
        if entry["check"] != check:
            continue
        if not entry["require"] and not metric:
            return True
        for requirement in entry["require"]:
            named = requirement.get("attributes")
            if requirement["metric"] == metric and (
                not attribute or named is None or set(attribute.split("×")) <= set(named)
            ):
                return True
    return False


def _locked(command: Command, waiver_id: UUID) -> Waiver:
    seen = selectors.waiver(command.actor, waiver_id)
    lock(seen.workspace_id, seen.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    return (
        Waiver.objects.select_for_update(of=("self",))
        .select_related("version__model", "environment")
        .get(id=waiver_id)
    )


def _step(waiver: Waiver, wanted: WaiverState) -> None:
    waiver.state = stepped("waiver_transition", waiver.ref, WAIVER, waiver.state, wanted)


def _names(waiver: Waiver) -> dict[str, str]:
    return {"check": waiver.check_slug, "metric": waiver.metric, "attribute": waiver.attribute}


def _state(waiver: Waiver) -> str:
    return digest_of({**_names(waiver), "state": waiver.state, "expires_at": timestamp(waiver.expires_at)})
