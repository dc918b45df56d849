"""The way of a model version to the next environment: asked for, checked, taken back. People's word on it is in
`decisions`, what becomes of it in `outcomes`.

The model's head is locked first in every service here, so that two promotions of one model never cross.
"""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.services.reasons import require_reason
from governance import clock, selectors
from governance.models import Environment, Exclusion, Placement, Promotion
from governance.services.evidence import order_checks
from governance.services.exclusions import excluded_people
from governance.services.outcomes import expire, expired, locked, move, settle
from governance.services.reopening import policy_covering, state_digest
from governance.services.use_cases import prohibited
from governance.states import OPEN_PROMOTION, PlacementState, PromotionState
from registry.models import ModelVersion
from registry.selectors import model_version_by_id
from registry.states import VersionState


@service("promotion.requested")
def request_promotion(*, command: Command, version_id: UUID, to: str, reason: str) -> Result[Promotion]:
    """Ask for the next environment. The checks of its policy are queued at once, or found done already."""
    version = model_version_by_id(command.actor, version_id)
    lock(version.workspace_id, version.model.ref, version.ref)
    version.refresh_from_db(fields=["state"])  # suspended or retired while we waited for our turn
    require(command, "promotion.request", version.ref)
    require_reason(reason, version.ref)
    environment = _next_environment(version, to)
    try:
        use_case = version.metadata["use_case"]
        if prohibited(version.workspace_id, use_case):
            raise Unprocessable("use_case_prohibited", name=use_case)
        policy = policy_covering(version, environment)
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
        after=state_digest(promotion),
        detail={"to": environment.name, "version": str(version.id)},
    )
    settle(command, promotion)
    return Result(promotion)


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


@service("promotion.withdrawn")
def withdraw_promotion(*, command: Command, promotion_id: UUID, reason: str) -> Result[Promotion]:
    """Take one's own request back before it is settled. Others, who think it should not go on, decide on it."""
    found = selectors.promotion(command.actor, promotion_id)
    promotion = locked(command, found.id)
    require(command, "promotion.withdraw", promotion.ref)
    if command.actor.id != promotion.requested_by and command.actor.person != promotion.requester_id:
        raise Forbidden("not_the_requester", subject=promotion.ref)
    require_reason(reason, promotion.ref)
    before = state_digest(promotion)
    move(promotion, PromotionState.WITHDRAWN)
    record(
        command,
        verb="promotion.withdrawn",
        subject=promotion.ref,
        texts={"reason": reason},
        before=before,
        after=state_digest(promotion),
    )
    return Result(promotion, created=False)


@service("promotion.checked")
def settle_promotion(*, command: Command, promotion_id: UUID) -> Result[Promotion]:
    """Look whether the checks have finished and act on it. Called by Crivo itself; doing it again changes nothing."""
    return Result(settle(command, locked(command, promotion_id)), created=False)


@service("promotion.expired")
def expire_promotion(*, command: Command, promotion_id: UUID) -> Result[Promotion]:
    """End a request that has waited longer than its policy allows; called by the sweep. Others stay as they are."""
    promotion = locked(command, promotion_id)
    if promotion.state in OPEN_PROMOTION and expired(promotion, clock.now()):
        expire(command, promotion)
    return Result(promotion, created=False)
