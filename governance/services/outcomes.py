"""What becomes of a request: granted, refused, expired, or left to wait.

Whichever command fulfils the last condition grants in its own transaction; the verdict is taken again in it. Private
steps of the services that hold the model's head already: none of them is a door of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.ledger.record import lock, record
from audits.models import Event
from audits.services.steps import stepped
from audits.states import step
from governance import clock
from governance.dossier import Dossier, approvals_given, assess
from governance.models import Environment, Placement, Promotion
from governance.policy import quorum, terms
from governance.services.claims import findings_on_claims
from governance.services.reopening import hold_against_policy_in_force, state_digest
from governance.services.use_cases import prohibited
from governance.states import OPEN_PROMOTION, PLACEMENT, PROMOTION, PlacementState, PromotionState
from registry.models import ModelVersion


def locked(command: Command, promotion_id: UUID) -> Promotion:
    """The request, with the heads of its model and of itself locked in this order."""
    seen = Promotion.objects.select_related("version__model").get(id=promotion_id)
    lock(seen.workspace_id, seen.version.model.ref, seen.ref)
    return (
        Promotion.objects.select_for_update(of=("self",))
        .select_related("version__model", "version__evaluation__dataset", "environment", "policy")
        .get(id=promotion_id)
    )


def settle(command: Command, promotion: Promotion) -> Promotion:
    """Judge a locked request, and act on what comes out. One that is settled, or lacks an answer, stays as it is."""
    if promotion.state not in OPEN_PROMOTION:
        return promotion
    now = clock.now()
    if expired(promotion, now):
        return expire(command, promotion)
    # In the transaction that would grant: what is granted is granted under the policy that is in force then.
    uncovered = hold_against_policy_in_force(command, promotion)
    # Its checks have just finished, or answered an earlier request: what they do not bear out stands in the way now.
    findings_on_claims(
        command, promotion.version, [row.run for row in promotion.checks.select_related("run")]
    )
    dossier = assess(promotion, now)
    if uncovered is not None:
        refuse(command, promotion, uncovered, dossier)
        return promotion
    if not dossier.complete:
        return promotion
    if not dossier.passed and dossier.awaits_waiver:
        return promotion  # refusing is for good: the waivers are approved and effective within a second
    seen, before = promotion.dossier_digest, state_digest(promotion)
    promotion.dossier_digest = dossier.digest
    promotion.requirements = [line.to_json() for line in dossier.lines]
    use_case = promotion.version.metadata["use_case"]
    if prohibited(promotion.workspace_id, use_case):
        refuse(command, promotion, Message("use_case_prohibited", {"name": use_case}), dossier)
    elif not dossier.passed:
        refuse(command, promotion, Message("requirements_not_met", {"count": len(dossier.reasons)}), dossier)
    elif not dossier.blocked and quorum.met(
        promotion.policy.body, approvals_given(promotion, dossier.digest)
    ):
        _grant(command, promotion, dossier)
    elif promotion.state == PromotionState.CHECKING:
        move(promotion, PromotionState.AWAITING_APPROVAL)
        _told(command, promotion, dossier, verb="promotion.checked", before=before)
    elif seen != dossier.digest:
        promotion.save(update_fields=["dossier_digest", "requirements"])
        _told(command, promotion, dossier, verb="promotion.reassessed", before=before)
    return promotion


def settle_open(command: Command, version: ModelVersion) -> None:
    """Judge every open request of the version again, in the transaction of what changed its dossier.

    The caller holds the model's head.
    """
    rows = Promotion.objects.filter(version=version, state__in=OPEN_PROMOTION).order_by("id")
    for promotion_id in list(rows.values_list("id", flat=True)):
        settle(command, locked(command, promotion_id))


def expired(promotion: Promotion, now: datetime) -> bool:
    """Whether it has waited longer than its policy allows, even if no sweep has ended it yet."""
    return now >= promotion.created_at + terms.expires_after(promotion.policy.body)


def expire(command: Command, promotion: Promotion) -> Promotion:
    before = state_digest(promotion)
    promotion.outcome = {"code": "promotion_expired", "params": {}}
    move(promotion, PromotionState.EXPIRED)
    record(
        command,
        verb="promotion.expired",
        subject=promotion.ref,
        reason=Message("promotion_expired"),
        policy=promotion.policy.pinned,
        before=before,
        after=state_digest(promotion),
    )
    return promotion


def move(promotion: Promotion, wanted: PromotionState) -> None:
    """Save it in another state; 409 where its state has no way there."""
    promotion.state = stepped("promotion_transition", promotion.ref, PROMOTION, promotion.state, wanted)
    if wanted not in OPEN_PROMOTION:
        promotion.settled_at = timezone.now()
    promotion.save()


def refuse(command: Command, promotion: Promotion, why: Message, dossier: Dossier) -> None:
    before = state_digest(promotion)
    reasons = [{"code": reason.code, "params": reason.params} for reason in dossier.reasons]
    promotion.outcome = {"code": why.code, "params": why.params, "reasons": reasons}
    move(promotion, PromotionState.REFUSED)
    _told(
        command,
        promotion,
        dossier,
        verb="promotion.refused",
        before=before,
        reason=why,
        detail={"reasons": reasons},
    )


def _grant(command: Command, promotion: Promotion, dossier: Dossier) -> None:
    before = state_digest(promotion)
    move(promotion, PromotionState.GRANTED)
    event = _told(
        command,
        promotion,
        dossier,
        verb="promotion.granted",
        before=before,
        detail={"environment": promotion.environment.name, "version": str(promotion.version_id)},
    )
    # Read again: whether it is exclusive may have been changed until our request, which refers to it, was inserted.
    environment = Environment.objects.get(id=promotion.environment_id)
    predecessors = list(
        Placement.objects.select_for_update()
        .filter(
            model=promotion.version.model, environment=environment, state=PlacementState.LIVE, exclusive=True
        )
        .order_by("id")
    )
    for predecessor in predecessors:
        predecessor.state = step(PLACEMENT, predecessor.state, PlacementState.SUPERSEDED)
        predecessor.save(update_fields=["state"])
    placement = Placement.objects.create(
        workspace_id=promotion.workspace_id,
        version=promotion.version,
        model=promotion.version.model,
        environment=environment,
        exclusive=environment.exclusive,
        promotion=promotion,
        granted_event=event.id,
    )
    record(
        command,
        verb="placement.granted",
        subject=placement.ref,
        after=digest_of({"state": placement.state, "promotion": str(promotion.id)}),
        detail={"environment": environment.name},
    )
    for predecessor in predecessors:
        predecessor.successor, predecessor.superseding_event = placement, event.id
        predecessor.save(update_fields=["successor", "superseding_event"])
        record(
            command,
            verb="placement.superseded",
            subject=predecessor.ref,
            after=digest_of({"state": predecessor.state, "successor": str(placement.id)}),
            # A rollback clears both in the row: what was so until then is told by this event.
            detail={"successor": str(placement.id), "superseding_event": str(event.id)},
        )


def _told(
    command: Command, promotion: Promotion, dossier: Dossier, *, verb: str, before: str, **more: Any
) -> Event:
    """The event of what became of it, with the policy and the dossier that it rests on."""
    return record(
        command,
        verb=verb,
        subject=promotion.ref,
        policy=promotion.policy.pinned,
        evidence=_evidence(dossier),
        before=before,
        after=state_digest(promotion),
        **more,
    )


def _evidence(dossier: Dossier) -> list[dict[str, str]]:
    results = [{"kind": run.check_slug, "digest": run.result_digest} for run in dossier.runs]
    return [{"kind": "dossier", "digest": dossier.digest}, *results]
