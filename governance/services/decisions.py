"""One person's word on a request, and what follows from it in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from audits.actors import Command
from audits.checks.contract import Message
from audits.door import Result, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import record
from audits.services.reasons import require_reason
from governance import clock, selectors
from governance.authority import roles_of_person
from governance.dossier import Dossier, approvals_given, assess
from governance.models import Decision, Exclusion, Promotion
from governance.policy import quorum
from governance.services.acknowledging import require_acknowledged
from governance.services.conditions import ConditionTerms, checked_conditions, set_conditions
from governance.services.outcomes import expired, locked, refuse, settle
from governance.services.reopening import outdated, state_digest
from governance.services.words import person_acting
from governance.states import DecisionVerdict, PromotionState


@service("promotion.decided")
def decide(
    *,
    command: Command,
    promotion_id: UUID,
    verdict: str,
    reason: str,
    dossier_digest: str,
    conditions: Sequence[ConditionTerms] = (),
) -> Result[Decision]:
    """One person's word on the dossier they saw. 403 for whoever had a hand in it, 409 if it is another one by now.

    An approval may depend on `conditions`, each with a due date: missed, the gate shuts.
    """
    found = selectors.promotion(command.actor, promotion_id)
    promotion = locked(command, found.id)
    person = person_acting(command, "promotion.decide", promotion.ref)
    not_excluded(promotion, person)
    now = clock.now()
    awaiting_decision(promotion, verdict, reason, now)
    require_acknowledged(promotion, person)
    checked_conditions(conditions, verdict, promotion.ref, now)
    dossier = dossier_as_seen(promotion, dossier_digest, now)
    if Decision.objects.filter(promotion=promotion, person_id=person, dossier_digest=dossier.digest).exists():
        raise Conflict("already_decided", subject=promotion.ref)
    role = quorum.slot_for(
        promotion.policy.body,
        approvals_given(promotion, dossier.digest),
        roles_of_person(promotion.workspace_id, person, promotion.ref),
    )
    if role is None:
        roles = list(quorum.needed(promotion.policy.body))
        raise Forbidden("role_without_slot", subject=promotion.ref, roles=roles)
    not_blocked(promotion, dossier, verdict)
    return Result(write_down(command, promotion, dossier, person, role, verdict, reason, conditions))


def not_excluded(promotion: Promotion, person: UUID) -> None:
    """403 for whoever had a hand in it."""
    duties = Exclusion.objects.filter(promotion=promotion, person_id=person).values_list("duty", flat=True)
    if duties:
        raise Forbidden("separation_of_duties", subject=promotion.ref, duties=sorted(duties))


def awaiting_decision(promotion: Promotion, verdict: str, reason: str, now: datetime) -> None:
    """422 for a verdict that is none or without a reason, 409 for a request that waits for none under this policy."""
    if verdict not in DecisionVerdict.values:
        raise Unprocessable(
            "verdict_unknown",
            subject=promotion.ref,
            field="verdict",
            verdict=verdict[:40],
            known=DecisionVerdict.values,
        )
    require_reason(reason, promotion.ref)
    if promotion.state != PromotionState.AWAITING_APPROVAL:
        raise Conflict("promotion_not_awaiting", subject=promotion.ref, state=promotion.state)
    if (newer := outdated(promotion)) is not None:
        raise Conflict("policy_changed", subject=promotion.ref, policy=newer)
    if expired(promotion, now):
        raise Conflict("promotion_expired", subject=promotion.ref)


def dossier_as_seen(promotion: Promotion, digest: str, now: datetime) -> Dossier:
    """The dossier as it is now. 409 if it is another one than the person saw."""
    dossier = assess(promotion, now)
    if digest != dossier.digest:
        raise Conflict("dossier_changed", subject=promotion.ref, seen=digest[:80], current=dossier.digest)
    return dossier


def not_blocked(promotion: Promotion, dossier: Dossier, verdict: str) -> None:
    """422 for an approval while a finding shuts the gate."""
    if verdict == DecisionVerdict.APPROVE and dossier.blocked:
        raise Unprocessable("findings_block", subject=promotion.ref, reasons=dossier.blocked)


def write_down(
    command: Command,
    promotion: Promotion,
    dossier: Dossier,
    person: UUID,
    role: str,
    verdict: str,
    reason: str,
    conditions: Sequence[ConditionTerms] = (),
) -> Decision:
    """Write the decision down and do what follows from it."""
    event = record(
        command,
        verb="promotion.decided",
        subject=promotion.ref,
        policy=promotion.policy.pinned,
        texts={"reason": reason, **{f"condition_{n}": row["text"] for n, row in enumerate(conditions, 1)}},
        evidence=[{"kind": "dossier", "digest": dossier.digest}],
        before=state_digest(promotion),
        after=state_digest(promotion),
        detail={"verdict": verdict, "role": role},
    )
    decision = Decision.objects.create(
        workspace_id=promotion.workspace_id,
        promotion=promotion,
        person_id=person,
        role=role,
        verdict=verdict,
        dossier_digest=dossier.digest,
        event_id=event.id,
    )
    set_conditions(command, promotion, decision, conditions)
    if verdict == DecisionVerdict.APPROVE:
        settle(command, promotion)
    else:
        code = "rejected_by_reviewer" if verdict == DecisionVerdict.REJECT else "changes_requested"
        refuse(command, promotion, Message(code, {"role": role}), dossier)
    return decision
