"""Changing a policy: one person proposes, another one approves, and whoever gains by it has no say.

The approving transaction applies the text. It is in force once that event is in a published checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from audits.services.reasons import require_reason
from audits.services.steps import stepped
from governance import selectors
from governance.in_force import matching
from governance.models import (
    PolicyChange,
    PolicyChangeDecision,
    PolicyChangeExclusion,
    PolicyVersion,
    Promotion,
    UseCase,
)
from governance.policy import schema
from governance.policy.diff import compare
from governance.services.policies import _install, checked_body, current_version, version_of
from governance.states import OPEN_PROMOTION, POLICY_CHANGE, PolicyChangeState

COMMIT_LIMIT = 80


@service("policy_change.proposed")
def propose_policy(*, command: Command, text: str, reason: str, commit: str = "") -> Result[PolicyChange]:
    """Ask for `text` to become the next version of its policy. The same open proposal again is returned.

    422 if it is no policy, or if with it two would apply to one step; 409 if it is what is current already. `commit`
    is the Git commit the text came from, as the client says.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "policy.propose", None, remember_on=workspace.ref)
    person = command.actor.person
    if person is None:
        raise Forbidden("not_permitted", subject=workspace.ref, action="policy.propose")
    require_reason(reason, workspace.ref)
    if len(commit) > COMMIT_LIMIT or not commit.isprintable():
        raise Unprocessable("commit_malformed", subject=workspace.ref, field="commit", limit=COMMIT_LIMIT)
    body = checked_body(workspace, text)
    current = current_version(workspace, body["policy"])
    digest = digest_of(body)
    if current is not None and current.digest == digest:
        raise Conflict("policy_unchanged", subject=workspace.ref, policy=current.label)
    open_already = PolicyChange.objects.filter(
        workspace=workspace, name=body["policy"], digest=digest, state=PolicyChangeState.PROPOSED
    ).first()
    if open_already is not None:
        return Result(open_already, created=False)
    _refuse_overlap(workspace, version_of(workspace, text, body, current, command.actor.id))
    changes = [change.to_json() for change in compare(current.body if current else None, body)]
    change = PolicyChange.objects.create(
        workspace=workspace,
        name=body["policy"],
        text=text,
        body=body,
        digest=digest,
        base=current,
        diff=changes,
        commit=commit,
        proposed_by=command.actor.id,
        proposer_id=person,
    )
    _exclude(change)
    record(
        command,
        verb="policy_change.proposed",
        subject=change.ref,
        texts={"reason": reason},
        before=current.digest if current else "",
        after=state_digest(change),
        detail={"policy": change.name, "base": current.n if current else None, "commit": commit},
    )
    return Result(change)


@service("policy_change.decided")
def decide_policy_change(
    *, command: Command, change_id: UUID, verdict: str, reason: str, digest: str
) -> Result[PolicyChange]:
    """Approve or reject. 403 for the proposer and whoever gains by it; 409 if it is settled or not what they saw."""
    change = _locked(command, change_id)
    require(command, "policy.decide", change.ref)
    person = command.actor.person
    if person is None or command.actor.kind != "person":
        raise Forbidden("not_permitted", subject=change.ref, action="policy.decide")
    _exclude(change)  # whoever asked for a promotion since it was proposed
    duties = sorted(change.exclusions.filter(person_id=person).values_list("duty", flat=True))
    if duties:
        raise Forbidden("policy_change_own", subject=change.ref, duties=duties)
    verdicts = PolicyChangeDecision.Verdict.values
    if verdict not in verdicts:
        raise Unprocessable(
            "verdict_unknown", subject=change.ref, field="verdict", verdict=verdict, known=verdicts
        )
    require_reason(reason, change.ref)
    if change.state != PolicyChangeState.PROPOSED:
        raise Conflict("policy_change_settled", subject=change.ref, state=change.state)
    if digest != change.digest:
        raise Conflict("policy_change_another", subject=change.ref, seen=digest[:80], current=change.digest)
    before = state_digest(change)
    if verdict == PolicyChangeDecision.Verdict.APPROVE:
        current = current_version(change.workspace, change.name)
        if (current.id if current else None) != change.base_id:
            raise Conflict(
                "policy_change_outdated", subject=change.ref, current=current.label if current else ""
            )
        try:
            _refuse_overlap(
                change.workspace,
                version_of(change.workspace, change.text, change.body, current, command.actor.id),
            )
        except Unprocessable as refusal:
            refusal.subject = change.ref
            raise
        change.version = _install(command, change.workspace, change.text, change.body, current)
        _move(change, PolicyChangeState.APPROVED)
    else:
        _move(change, PolicyChangeState.REJECTED)
    event = record(
        command,
        verb="policy_change.decided",
        subject=change.ref,
        texts={"reason": reason},
        policy=change.version.pinned if change.version else None,
        evidence=[{"kind": "policy", "digest": change.digest}],
        before=before,
        after=state_digest(change),
        detail={"verdict": verdict},
    )
    PolicyChangeDecision.objects.create(
        change=change, person_id=person, verdict=verdict, digest=digest, event_id=event.id
    )
    return Result(change, created=False)


@service("policy_change.withdrawn")
def withdraw_policy_change(*, command: Command, change_id: UUID, reason: str) -> Result[PolicyChange]:
    """The proposer takes it back before it is settled."""
    change = _locked(command, change_id)
    require(command, "policy.propose", change.ref)
    if command.actor.person != change.proposer_id:
        raise Forbidden("policy_change_not_yours", subject=change.ref)
    require_reason(reason, change.ref)
    before = state_digest(change)
    _move(change, PolicyChangeState.WITHDRAWN)
    record(
        command,
        verb="policy_change.withdrawn",
        subject=change.ref,
        texts={"reason": reason},
        before=before,
        after=state_digest(change),
    )
    return Result(change, created=False)


def _locked(command: Command, change_id: UUID) -> PolicyChange:
    seen = selectors.policy_change(command.actor, change_id)
    # The workspace first: two approvals for one policy are applied one after the other.
    lock(seen.workspace_id, seen.workspace.ref, seen.ref)
    rows = PolicyChange.objects.select_for_update(of=("self",)).select_related("workspace", "base")
    return rows.get(id=change_id)


def _move(change: PolicyChange, wanted: PolicyChangeState) -> None:
    change.state = stepped("policy_change_settled", change.ref, POLICY_CHANGE, change.state, wanted)
    change.settled_at = timezone.now()
    change.save(update_fields=["state", "version", "settled_at"])


def _exclude(change: PolicyChange) -> None:
    """Copy who may not approve: the proposer, and who asked for, or made, what waits under this policy."""
    excluded = {(change.proposer_id, "proposer")}
    for promotion in _touched(change):
        for person in (promotion.requester_id, promotion.version.author_id):
            if person is not None:
                excluded.add((person, "beneficiary"))
    PolicyChangeExclusion.objects.bulk_create(
        (
            PolicyChangeExclusion(change=change, person_id=person, duty=duty)
            for person, duty in sorted(excluded, key=str)
        ),
        ignore_conflicts=True,
    )


def _touched(change: PolicyChange) -> Sequence[Promotion]:
    """Open requests under the policy as it is, and those that it would cover."""
    applies = change.body["applies_to"]
    tiers = schema.tiers_of(change.body)
    use_cases = {row.name: row.risk_tier for row in UseCase.objects.filter(workspace_id=change.workspace_id)}
    open_ones = Promotion.objects.filter(workspace_id=change.workspace_id, state__in=OPEN_PROMOTION)

    def covered(promotion: Promotion) -> bool:
        name = promotion.version.metadata.get("use_case", "")
        wanted = applies.get("use_case")
        return promotion.environment.name == applies["environment"] and (
            name == wanted if wanted else use_cases.get(name) in tiers
        )

    return [
        promotion
        for promotion in open_ones.select_related("version", "environment", "policy")
        if promotion.policy.name == change.name or covered(promotion)
    ]


def _refuse_overlap(workspace: Workspace, version: PolicyVersion) -> None:
    """422 if, with this version, two policies would apply to one step of some use case, there already or not."""
    others = PolicyVersion.objects.filter(
        workspace=workspace, current=True, environment=version.environment, use_case=version.use_case
    ).exclude(name=version.name)
    together = [*others, version]
    imagined = (
        [UseCase(name=version.use_case, risk_tier="")]
        if version.use_case
        else [UseCase(name="", risk_tier=tier) for tier in version.risk_tiers]
    )
    for use_case in imagined:
        try:
            matching(together, use_case, version.environment)
        except Unprocessable as refusal:
            refusal.subject, refusal.field = workspace.ref, "applies_to"
            raise


def state_digest(change: PolicyChange) -> str:
    content: dict[str, Any] = {"state": change.state, "policy": change.digest}
    return digest_of(content)
