"""People whom a policy names say that they know it; before that they do not decide by it."""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command, authoriser
from audits.door import Result, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from governance import selectors
from governance.authority import roles_anywhere
from governance.models import PolicyAcknowledgement, PolicyVersion, Promotion


def asked_of(policy: PolicyVersion, person: UUID) -> bool:
    """Whether the policy asks this person to acknowledge it, by a role they hold, be it for one model."""
    wanted = set(policy.body.get("acknowledge") or [])
    return bool(wanted and wanted & roles_anywhere(policy.workspace_id, person))


@service("policy.acknowledged")
def acknowledge_policy(*, command: Command, name: str, n: int) -> Result[PolicyAcknowledgement]:
    """Once for each person and version; again changes nothing. 422 for whom the version does not ask."""
    policy = selectors.policy_version(command.actor, name, n)
    lock(policy.workspace_id, policy.ref)
    person, may = command.actor.person, authoriser().anywhere(command.actor, "policy.acknowledge")
    if not may or person is None or command.actor.kind != "person":
        raise Forbidden("not_permitted", subject=policy.ref, action="policy.acknowledge")
    if not asked_of(policy, person):
        raise Unprocessable("acknowledgement_not_asked", subject=policy.ref, policy=policy.label)
    existing = PolicyAcknowledgement.objects.filter(policy=policy, person_id=person).first()
    if existing is not None:
        return Result(existing, created=False)
    event = record(
        command,
        verb="policy.acknowledged",
        subject=policy.ref,
        policy=policy.pinned,
        before=policy.digest,
        after=policy.digest,
    )
    acknowledgement = PolicyAcknowledgement.objects.create(policy=policy, person_id=person, event_id=event.id)
    return Result(acknowledgement)


def require_acknowledged(promotion: Promotion, person: UUID) -> None:
    """409 for somebody the policy asks, and who has not said yet that they know this version."""
    policy = promotion.policy
    if not asked_of(policy, person):
        return
    if not PolicyAcknowledgement.objects.filter(policy=policy, person_id=person).exists():
        raise Conflict("policy_not_acknowledged", subject=promotion.ref, policy=policy.label)
