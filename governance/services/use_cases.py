"""Use cases: registered, changed, and given another risk tier than their answers compute. Every change is an event.

The tier decides which policy a verdict is taken by (services.policies.policy_for), so it is guarded: what lowers it
takes a role that sets tiers, and somebody else than the owner, whichever way it is lowered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Event, Workspace
from audits.services.reasons import require_reason
from governance import intake
from governance.models import UseCase, UseCaseVersion, User
from governance.models.policies import RiskTier
from governance.services.people import Nobody, known
from registry.names import checked_name

DECLARABLE = [tier for tier in RiskTier.values if tier != RiskTier.PROHIBITED]


@service("use_case.registered")
def register_use_case(
    *,
    command: Command,
    name: str,
    purpose: str,
    risk_tier: str | None = None,
    questionnaire: Mapping[str, Any] | None = None,
    owner: User | Nobody | None = None,
    details: Mapping[str, Any] | None = None,
) -> Result[UseCase]:
    """A use case by name, its tier declared or computed. The same content again returns it; another, 409.

    422 for what its answers find to be a prohibited practice, with the questions that say so.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "use_case.register", None, remember_on=workspace.ref)
    checked_name(name, workspace.ref)
    owner = known(owner, workspace.ref, "owner")
    try:
        if risk_tier is not None and risk_tier not in DECLARABLE:
            raise Unprocessable("risk_tier_unknown", field="risk_tier", tier=risk_tier, known=DECLARABLE)
        if (risk_tier is None) == (questionnaire is None):
            raise Unprocessable("tier_or_questionnaire", field="risk_tier")
        if not purpose.strip():
            raise Unprocessable("purpose_missing", field="purpose")
        said = intake.checked_intake(details or {})
        answered = intake.checked_answers(questionnaire) if questionnaire is not None else None
        computed = _computed(name, answered)
        if answered is not None:
            intake.require_complete(computed, said)
    except Unprocessable as refusal:
        refusal.subject = workspace.ref
        raise
    tier = risk_tier or computed
    existing = UseCase.objects.filter(workspace=workspace, name=name).first()
    owner_id = owner.id if owner else command.actor.person or command.actor.id
    if existing is not None:
        same = (
            existing.purpose == purpose
            and (existing.computed_tier or existing.risk_tier) == tier
            and (existing.questionnaire or None) == answered
            and (existing.intake == said or not said)
            and (owner is None or existing.owner_id == owner_id)
        )
        if not same:
            raise Conflict("use_case_differs", subject=existing.ref, name=name)
        return Result(existing, created=False)
    use_case = UseCase.objects.create(
        workspace=workspace,
        name=name,
        purpose=purpose,
        risk_tier=tier,
        owner_id=owner_id,
        intake=said,
        questionnaire=answered,
        computed_tier=computed,
    )
    event = record(
        command,
        verb="use_case.registered",
        subject=use_case.ref,
        after=digest_of(content(use_case)),
        detail={"risk_tier": tier, "computed_tier": computed, "questionnaire": _pinned(use_case)},
    )
    _remember(use_case, event)
    return Result(use_case)


@service("use_case.edited")
def edit_use_case(
    *,
    command: Command,
    use_case: UseCase,
    n: int,
    purpose: str | None = None,
    questionnaire: Mapping[str, Any] | None = None,
    owner: User | Nobody | None = None,
    details: Mapping[str, Any] | None = None,
) -> Result[UseCase]:
    """Change what was read as its `n`-th state (409 if it is another one by now). New answers compute the tier anew.

    An earlier override stands while the computed tier stays the same. Answers that find a prohibited practice are
    recorded, and bind at once: nothing is promoted for it any more.
    """
    use_case = _locked(command, use_case, n, "use_case.edit")
    owner = known(owner, use_case.ref, "owner")
    before = content(use_case)
    was = use_case.risk_tier
    try:
        if purpose is not None and not purpose.strip():
            raise Unprocessable("purpose_missing", field="purpose")
        said = {**use_case.intake, **intake.checked_intake(details or {})}
        answered = use_case.questionnaire
        if questionnaire is not None:
            answered = intake.checked_answers(questionnaire)
            computed = intake.assess(answered["answers"]).tier
            if computed != use_case.computed_tier:
                use_case.computed_tier = use_case.risk_tier = computed
        if answered is not None:
            intake.require_complete(use_case.risk_tier, said)
    except Unprocessable as refusal:
        refusal.subject = use_case.ref
        raise
    if intake.rank(use_case.risk_tier) < intake.rank(was):
        _may_lower(command, use_case)
    use_case.purpose = purpose if purpose is not None else use_case.purpose
    use_case.owner_id = owner.id if owner else use_case.owner_id
    use_case.intake, use_case.questionnaire = said, answered
    if content(use_case) == before:
        return Result(use_case, created=False)
    detail: dict[str, Any] = {
        "changed": sorted(name for name, value in content(use_case).items() if before[name] != value)
    }
    if use_case.risk_tier != was:
        detail |= {"risk_tier": use_case.risk_tier, "from": was, "questionnaire": _pinned(use_case)}
    _save(command, use_case, "use_case.edited", before, detail=detail)
    return Result(use_case, created=False)


@service("use_case.tier_set")
def set_tier(*, command: Command, use_case: UseCase, n: int, risk_tier: str, reason: str) -> Result[UseCase]:
    """Another tier than the computed or declared one, with a reason. Downward only by somebody else than the owner."""
    use_case = _locked(command, use_case, n, "use_case.set_tier")
    if risk_tier not in RiskTier.values:
        raise Unprocessable(
            "risk_tier_unknown", subject=use_case.ref, field="risk_tier", tier=risk_tier, known=DECLARABLE
        )
    if risk_tier == RiskTier.PROHIBITED:
        raise Unprocessable("tier_not_to_prohibited", subject=use_case.ref, field="risk_tier")
    require_reason(reason, use_case.ref)
    if RiskTier.PROHIBITED in (use_case.risk_tier, use_case.computed_tier):
        raise Conflict("tier_not_from_prohibited", subject=use_case.ref)
    if risk_tier == use_case.risk_tier:
        raise Conflict("tier_unchanged", subject=use_case.ref, tier=risk_tier)
    reference = [tier for tier in (use_case.risk_tier, use_case.computed_tier) if tier]
    if intake.rank(risk_tier) < max(map(intake.rank, reference)):
        _may_lower(command, use_case)
    before, was = content(use_case), use_case.risk_tier
    use_case.risk_tier = risk_tier
    _save(
        command,
        use_case,
        "use_case.tier_set",
        before,
        texts={"reason": reason},
        detail={"risk_tier": risk_tier, "from": was, "computed_tier": use_case.computed_tier},
    )
    return Result(use_case, created=False)


def prohibited(workspace_id: Any, name: str) -> bool:
    """Whether nothing may be promoted for this use case, whatever a policy says.

    Locks its row: a grant and the change of answers that forbids it do not pass each other.
    """
    row = UseCase.objects.select_for_update().filter(workspace_id=workspace_id, name=name).first()
    return row is not None and row.risk_tier == RiskTier.PROHIBITED


def content(use_case: UseCase) -> dict[str, Any]:
    """What a use case says: what its events' digests are of, and its history keeps."""
    return {
        "name": use_case.name,
        "purpose": use_case.purpose,
        "risk_tier": use_case.risk_tier,
        "computed_tier": use_case.computed_tier,
        "owner": str(use_case.owner_id),
        "intake": use_case.intake,
        "questionnaire": use_case.questionnaire,
    }


def _computed(name: str, answered: Mapping[str, Any] | None) -> str:
    if answered is None:
        return ""
    found = intake.assess(answered["answers"])
    if found.tier == RiskTier.PROHIBITED:
        basis = {question.id: question.basis for question in intake.questionnaire().questions}
        reasons = tuple(
            Message("question_applies", {"question": question, "text": basis[question]})
            for question in found.because
        )
        raise Unprocessable("use_case_prohibited", field="questionnaire", name=name, reasons=reasons)
    return found.tier


def _pinned(use_case: UseCase) -> dict[str, Any] | None:
    answered = use_case.questionnaire
    return {"version": answered["version"], "digest": answered["digest"]} if answered else None


def _may_lower(command: Command, use_case: UseCase) -> None:
    """Whoever owns it or ever owned it does not: an owner could give it away first."""
    require(command, "use_case.set_tier", use_case.ref)
    person = command.actor.person
    if person == use_case.owner_id or use_case.history.filter(content__owner=str(person)).exists():
        raise Forbidden("tier_lowered_by_owner", subject=use_case.ref)


def _locked(command: Command, use_case: UseCase, n: int, action: str) -> UseCase:
    lock(use_case.workspace_id, use_case.ref)
    require(command, action, use_case.ref)
    use_case = UseCase.objects.select_for_update().get(id=use_case.id)
    if use_case.n != n:
        raise Conflict("use_case_stale", subject=use_case.ref)
    return use_case


def _save(command: Command, use_case: UseCase, verb: str, before: dict[str, Any], **more: Any) -> None:
    use_case.n += 1
    use_case.save()
    event = record(
        command,
        verb=verb,
        subject=use_case.ref,
        before=digest_of(before),
        after=digest_of(content(use_case)),
        **more,
    )
    _remember(use_case, event)


def _remember(use_case: UseCase, event: Event) -> None:
    UseCaseVersion.objects.create(
        use_case=use_case, n=use_case.n, content=content(use_case), event_id=event.id
    )
