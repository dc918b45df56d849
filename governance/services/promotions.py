"""The way of a model version to the next environment: asked for, checked, decided, granted or refused.

Whichever command fulfils the last condition grants in its own transaction; the verdict is taken again in it.
The model's head is locked first in every service here, so that two promotions of one model never cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.states import IllegalTransition, step
from governance import clock, selectors
from governance.authority import roles_of_person
from governance.data_read import data_read
from governance.dossier import Dossier, approvals_given, assess
from governance.environment_locks import lock_hindrance
from governance.in_force import policy_for
from governance.models import Decision, Environment, Exclusion, Placement, Promotion, UseCase
from governance.policy import quorum, terms
from governance.services.acknowledging import require_acknowledged
from governance.services.claims import findings_on_claims
from governance.services.conditions import ConditionTerms, checked_conditions, set_conditions
from governance.services.evidence import order_checks
from governance.services.exclusions import excluded_people
from governance.services.reopening import hold_against_policy_in_force, outdated
from governance.services.reopening import state_digest as _state_digest
from governance.services.use_cases import prohibited
from governance.states import (
    OPEN_PROMOTION,
    PLACEMENT,
    PROMOTION,
    DecisionVerdict,
    PlacementState,
    PromotionState,
)
from registry.models import ModelVersion
from registry.selectors import model_version_by_id
from registry.states import VersionState

REASON_LIMIT = 4000


@service("promotion.requested")
def request_promotion(*, command: Command, version_id: UUID, to: str, reason: str) -> Result[Promotion]:
    """Ask for the next environment. The checks of its policy are queued at once, or found done already."""
    version = model_version_by_id(command.actor, version_id)
    lock(version.workspace_id, version.model.ref, version.ref)
    version.refresh_from_db(fields=["state"])  # suspended or retired while we waited for our turn
    require(command, "promotion.request", version.ref)
    _with_reason(reason, version)
    environment = _next_environment(version, to)
    use_case = UseCase.objects.get(workspace_id=version.workspace_id, name=version.metadata["use_case"])
    try:
        if prohibited(version.workspace_id, use_case.name):
            raise Unprocessable("use_case_prohibited", name=use_case.name)
        policy = policy_for(use_case, environment)
        if policy is None:
            raise Unprocessable("no_policy", environment=environment.name, use_case=use_case.name)
        if version.metadata["format"] not in policy.body["artifact_formats"]:
            raise Unprocessable(
                "artifact_format_refused",
                format=version.metadata["format"],
                accepted=policy.body["artifact_formats"],
                policy=policy.label,
            )
        if (hindrance := lock_hindrance(version, policy.body, policy.label)) is not None:
            raise Unprocessable(hindrance.code, **hindrance.params)
        data_read(version, policy.body)
    except Unprocessable as refusal:
        refusal.subject = version.ref
        raise
    if Promotion.objects.filter(version=version, environment=environment, state__in=OPEN_PROMOTION).exists():
        raise Conflict("promotion_already_open", subject=version.ref, environment=environment.name)
    promotion = Promotion.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        environment=environment,
        policy=policy,
        requested_by=command.actor.id,
        requester_id=command.actor.person,
        correlation_id=command.correlation_id,
    )
    Exclusion.objects.bulk_create(
        Exclusion(promotion=promotion, person_id=person, duty=duty)
        for person, duty in excluded_people(promotion, policy.body["separation_of_duties"])
    )
    order_checks(command.actor, promotion)
    record(
        command,
        verb="promotion.requested",
        subject=promotion.ref,
        policy=policy.pinned,
        texts={"reason": reason},
        after=_state_digest(promotion),
        detail={"to": environment.name, "version": str(version.id)},
    )
    _settle(command, promotion)
    return Result(promotion)


def _with_reason(reason: str, version: ModelVersion) -> None:
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise Unprocessable("reason_missing", subject=version.ref, field="reason", limit=REASON_LIMIT)


def _next_environment(version: ModelVersion, to: str) -> Environment:
    """409 unless `to` is the next step and the step before it is effective."""
    environments = list(Environment.objects.filter(workspace_id=version.workspace_id).order_by("position"))
    wanted = next((environment for environment in environments if environment.name == to), None)
    if wanted is None:
        raise Unprocessable(
            "environment_unknown",
            subject=version.ref,
            field="to",
            name=to,
            known=[environment.name for environment in environments],
        )
    if version.state != VersionState.REGISTERED:
        raise Conflict("version_not_registered", subject=version.ref, state=version.state)
    if Placement.objects.filter(version=version, environment=wanted, state=PlacementState.SUSPENDED).exists():
        raise Conflict("suspended_there", subject=version.ref, environment=to)
    stands = selectors.standing(version)
    following = next((row.name for row in environments if row.position > stands), "")
    if wanted.name != following:
        raise Conflict("not_the_next_environment", subject=version.ref, to=to, next=following)
    if stands >= 0:
        before = Placement.objects.filter(version=version, environment__position=stands).order_by("-id")[0]
        if not selectors.effect_of(before).effective:
            raise Conflict(
                "preceding_not_effective", subject=version.ref, environment=before.environment.name
            )
    return wanted


@service("promotion.checked")
def settle_promotion(*, command: Command, promotion_id: UUID) -> Result[Promotion]:
    """Look whether the checks have finished and act on it. Called by Crivo itself; doing it again changes nothing."""
    return Result(_settle(command, _locked(command, promotion_id)), created=False)


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
    promotion = _locked(command, found.id)
    require(command, "promotion.decide", promotion.ref)
    person = command.actor.person
    if person is None or command.actor.kind != "person":
        raise Forbidden("not_permitted", subject=promotion.ref, action="promotion.decide")
    duties = list(
        Exclusion.objects.filter(promotion=promotion, person_id=person).values_list("duty", flat=True)
    )
    if duties:
        raise Forbidden("separation_of_duties", subject=promotion.ref, duties=sorted(duties))
    if verdict not in DecisionVerdict.values:
        raise Unprocessable(
            "verdict_unknown",
            subject=promotion.ref,
            field="verdict",
            verdict=verdict,
            known=DecisionVerdict.values,
        )
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise Unprocessable("reason_missing", subject=promotion.ref, field="reason", limit=REASON_LIMIT)
    if promotion.state != PromotionState.AWAITING_APPROVAL:
        raise Conflict("promotion_not_awaiting", subject=promotion.ref, state=promotion.state)
    if (newer := outdated(promotion)) is not None:
        raise Conflict("policy_changed", subject=promotion.ref, policy=newer)
    now = clock.now()
    not_expired(promotion, now)
    require_acknowledged(promotion, person)
    checked_conditions(conditions, verdict, promotion.ref, now)
    dossier = assess(promotion, now)
    if dossier_digest != dossier.digest:
        raise Conflict(
            "dossier_changed", subject=promotion.ref, seen=dossier_digest[:80], current=dossier.digest
        )
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
    return Result(_decided(command, promotion, dossier, person, role, verdict, reason, conditions))


def not_expired(promotion: Promotion, now: datetime) -> None:
    """409 for a decision on a request that has waited too long, even if no sweep has ended it yet."""
    if _expired(promotion, now):
        raise Conflict("promotion_expired", subject=promotion.ref)


def not_blocked(promotion: Promotion, dossier: Dossier, verdict: str) -> None:
    """422 for an approval while a finding shuts the gate."""
    if verdict == DecisionVerdict.APPROVE and dossier.blocked:
        raise Unprocessable("findings_block", subject=promotion.ref, reasons=dossier.blocked)


def _decided(
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
        before=_state_digest(promotion),
        after=_state_digest(promotion),
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
        _settle(command, promotion)
    else:
        code = "rejected_by_reviewer" if verdict == DecisionVerdict.REJECT else "changes_requested"
        _refuse(command, promotion, Message(code, {"role": role}), dossier)
    return decision


@service("promotion.withdrawn")
def withdraw_promotion(*, command: Command, promotion_id: UUID, reason: str) -> Result[Promotion]:
    """Take one's own request back before it is settled. Others, who think it should not go on, decide on it."""
    found = selectors.promotion(command.actor, promotion_id)
    promotion = _locked(command, found.id)
    require(command, "promotion.withdraw", promotion.ref)
    if command.actor.id != promotion.requested_by and command.actor.person != promotion.requester_id:
        raise Forbidden("not_the_requester", subject=promotion.ref)
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise Unprocessable("reason_missing", subject=promotion.ref, field="reason", limit=REASON_LIMIT)
    before = _state_digest(promotion)
    _move(promotion, PromotionState.WITHDRAWN)
    record(
        command,
        verb="promotion.withdrawn",
        subject=promotion.ref,
        texts={"reason": reason},
        before=before,
        after=_state_digest(promotion),
    )
    return Result(promotion, created=False)


def _locked(command: Command, promotion_id: UUID) -> Promotion:
    seen = Promotion.objects.select_related("version__model").get(id=promotion_id)
    lock(seen.workspace_id, seen.version.model.ref, seen.ref)
    return (
        Promotion.objects.select_for_update(of=("self",))
        .select_related("version__model", "version__evaluation__dataset", "environment", "policy")
        .get(id=promotion_id)
    )


def _settle(command: Command, promotion: Promotion) -> Promotion:
    if promotion.state not in OPEN_PROMOTION:
        return promotion
    now = clock.now()
    if _expired(promotion, now):
        return _expire(command, promotion)
    # In the transaction that would grant: what is granted is granted under the policy that is in force then.
    uncovered = hold_against_policy_in_force(command, promotion)
    # Its checks have just finished, or answered an earlier request: what they do not bear out stands in the way now.
    findings_on_claims(
        command, promotion.version, [row.run for row in promotion.checks.select_related("run")]
    )
    dossier = assess(promotion, now)
    if uncovered is not None:
        _refuse(command, promotion, uncovered, dossier)
        return promotion
    if not dossier.complete:
        return promotion
    if not dossier.passed and dossier.awaits_waiver:
        return promotion  # refusing is for good: the waivers are approved and effective within a second
    seen, before = promotion.dossier_digest, _state_digest(promotion)
    promotion.dossier_digest = dossier.digest
    promotion.requirements = [line.to_json() for line in dossier.lines]
    use_case = promotion.version.metadata["use_case"]
    if prohibited(promotion.workspace_id, use_case):
        _refuse(command, promotion, Message("use_case_prohibited", {"name": use_case}), dossier)
    elif not dossier.passed:
        _refuse(command, promotion, Message("requirements_not_met", {"count": len(dossier.reasons)}), dossier)
    elif not dossier.blocked and quorum.met(
        promotion.policy.body, approvals_given(promotion, dossier.digest)
    ):
        _grant(command, promotion, dossier)
    elif promotion.state == PromotionState.CHECKING:
        _move(promotion, PromotionState.AWAITING_APPROVAL)
        record(
            command,
            verb="promotion.checked",
            subject=promotion.ref,
            policy=promotion.policy.pinned,
            evidence=_evidence(dossier),
            before=before,
            after=_state_digest(promotion),
        )
    elif seen != dossier.digest:
        promotion.save(update_fields=["dossier_digest", "requirements"])
        record(
            command,
            verb="promotion.reassessed",
            subject=promotion.ref,
            policy=promotion.policy.pinned,
            evidence=_evidence(dossier),
            before=before,
            after=_state_digest(promotion),
        )
    return promotion


def settle_open(command: Command, version: ModelVersion) -> None:
    """Judge every open request of the version again, in the transaction of what changed its dossier.

    The caller holds the model's head.
    """
    rows = Promotion.objects.filter(version=version, state__in=OPEN_PROMOTION).order_by("id")
    for promotion_id in list(rows.values_list("id", flat=True)):
        _settle(command, _locked(command, promotion_id))


@service("promotion.expired")
def expire_promotion(*, command: Command, promotion_id: UUID) -> Result[Promotion]:
    """End a request that has waited longer than its policy allows; called by the sweep. Others stay as they are."""
    promotion = _locked(command, promotion_id)
    if promotion.state in OPEN_PROMOTION and _expired(promotion, clock.now()):
        _expire(command, promotion)
    return Result(promotion, created=False)


def _expired(promotion: Promotion, now: datetime) -> bool:
    return now >= promotion.created_at + terms.expires_after(promotion.policy.body)


def _expire(command: Command, promotion: Promotion) -> Promotion:
    before = _state_digest(promotion)
    promotion.outcome = {"code": "promotion_expired", "params": {}}
    _move(promotion, PromotionState.EXPIRED)
    record(
        command,
        verb="promotion.expired",
        subject=promotion.ref,
        reason=Message("promotion_expired"),
        policy=promotion.policy.pinned,
        before=before,
        after=_state_digest(promotion),
    )
    return promotion


def _move(promotion: Promotion, wanted: PromotionState) -> None:
    try:
        promotion.state = step(PROMOTION, promotion.state, wanted)
    except IllegalTransition as error:
        raise Conflict(
            "promotion_transition", subject=promotion.ref, state=error.current, wanted=error.wanted
        ) from error
    if wanted not in OPEN_PROMOTION:
        promotion.settled_at = timezone.now()
    promotion.save()


def _refuse(command: Command, promotion: Promotion, why: Message, dossier: Dossier) -> None:
    before = _state_digest(promotion)
    reasons = [{"code": reason.code, "params": reason.params} for reason in dossier.reasons]
    promotion.outcome = {"code": why.code, "params": why.params, "reasons": reasons}
    _move(promotion, PromotionState.REFUSED)
    record(
        command,
        verb="promotion.refused",
        subject=promotion.ref,
        reason=why,
        policy=promotion.policy.pinned,
        evidence=_evidence(dossier),
        before=before,
        after=_state_digest(promotion),
        detail={"reasons": reasons},
    )


def _grant(command: Command, promotion: Promotion, dossier: Dossier) -> None:
    before = _state_digest(promotion)
    _move(promotion, PromotionState.GRANTED)
    event = record(
        command,
        verb="promotion.granted",
        subject=promotion.ref,
        policy=promotion.policy.pinned,
        evidence=_evidence(dossier),
        before=before,
        after=_state_digest(promotion),
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


def _evidence(dossier: Dossier) -> list[dict[str, str]]:
    results = [{"kind": run.check_slug, "digest": run.result_digest} for run in dossier.runs]
    return [{"kind": "dossier", "digest": dossier.digest}, *results]
