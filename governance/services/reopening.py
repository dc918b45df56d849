"""A policy change re-opens what it touches: an open request is held against the policy that is in force now."""

from __future__ import annotations

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.errors import Unprocessable
from audits.ledger.record import record
from audits.states import step
from governance.data_read import data_read
from governance.environment_locks import lock_hindrance
from governance.in_force import policy_for
from governance.models import Environment, Exclusion, PolicyVersion, Promotion, UseCase
from governance.services.evidence import order_checks
from governance.services.exclusions import excluded_people
from governance.states import PROMOTION, PromotionState
from registry.models import ModelVersion


def state_digest(promotion: Promotion) -> str:
    return digest_of(
        {"state": promotion.state, "dossier": promotion.dossier_digest, "outcome": promotion.outcome}
    )


def policy_covering(version: ModelVersion, environment: Environment) -> PolicyVersion:
    """The policy under which the version may be asked for there now; 422 says why there is none it could pass."""
    use_case = UseCase.objects.get(workspace_id=version.workspace_id, name=version.metadata["use_case"])
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
    return policy


def _in_force(promotion: Promotion) -> PolicyVersion | Message:
    """The policy a request stands under now, or why there is none it could pass."""
    try:
        return policy_covering(promotion.version, promotion.environment)
    except Unprocessable as refusal:
        return refusal.message


def outdated(promotion: Promotion) -> str | None:
    """The label of the version now in force, if the request is pinned to another one; empty if none is."""
    found = _in_force(promotion)
    if isinstance(found, Message):
        return ""
    return found.label if found.id != promotion.policy_id else None


def hold_against_policy_in_force(command: Command, promotion: Promotion) -> Message | None:
    """Pin a locked, open request to the policy in force, with the checks and exclusions it asks for besides.

    The digest of the dossier covers the policy: every decision so far is void by that. People once excluded stay so.
    Returns why no policy covers the request any more, if that is so: then it is refused.
    """
    policy = _in_force(promotion)
    if isinstance(policy, Message):
        return policy
    if policy.id == promotion.policy_id:
        return None
    before, left = state_digest(promotion), promotion.policy
    if promotion.state != PromotionState.CHECKING:
        promotion.state = step(PROMOTION, promotion.state, PromotionState.CHECKING)
    promotion.policy = policy
    promotion.round += 1
    promotion.dossier_digest, promotion.requirements = "", []
    promotion.save()
    Exclusion.objects.bulk_create(
        (
            Exclusion(promotion=promotion, person_id=person, duty=duty)
            for person, duty in excluded_people(promotion, policy.body["separation_of_duties"])
        ),
        ignore_conflicts=True,
    )
    order_checks(command.actor, promotion)
    record(
        command,
        verb="promotion.reopened",
        subject=promotion.ref,
        reason=Message("policy_changed", {"policy": policy.label}),
        policy=policy.pinned,
        before=before,
        after=state_digest(promotion),
        detail={"left": left.pinned, "round": promotion.round},
    )
    return None
