"""Use cases and policies."""

from __future__ import annotations

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance.models import Environment, PolicyVersion, UseCase
from governance.models.policies import RiskTier
from governance.policy import schema
from registry.names import checked_name


@service("use_case.registered")
def register_use_case(*, command: Command, name: str, purpose: str, risk_tier: str) -> Result[UseCase]:
    """A use case by name. Naming one that is there, with the same content, returns it; with another, 409."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "use_case.register", None, remember_on=workspace.ref)
    checked_name(name, workspace.ref)
    if risk_tier not in RiskTier.values:
        raise Unprocessable(
            "risk_tier_unknown",
            subject=workspace.ref,
            field="risk_tier",
            tier=risk_tier,
            known=list(RiskTier.values),
        )
    if not purpose.strip():
        raise Unprocessable("purpose_missing", subject=workspace.ref, field="purpose")
    existing = UseCase.objects.filter(workspace=workspace, name=name).first()
    if existing is not None:
        if (existing.purpose, existing.risk_tier) != (purpose, risk_tier):
            raise Conflict("use_case_differs", subject=existing.ref, name=name)
        return Result(existing, created=False)
    use_case = UseCase.objects.create(
        workspace=workspace,
        name=name,
        purpose=purpose,
        risk_tier=risk_tier,
        owner_id=command.actor.person or command.actor.id,
    )
    content = {"name": name, "purpose": purpose, "risk_tier": risk_tier}
    record(
        command,
        verb="use_case.registered",
        subject=use_case.ref,
        after=digest_of(content),
        detail={"risk_tier": risk_tier},
    )
    return Result(use_case)


@service("policy.applied")
def apply_policy(*, command: Command, text: str) -> Result[PolicyVersion]:
    """A policy file becomes the current version of its name. The same content again changes nothing."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "policy.apply", None, remember_on=workspace.ref)
    version, created = _apply(command, workspace, text)
    return Result(version, created=created)


def _apply(command: Command, workspace: Workspace, text: str) -> tuple[PolicyVersion, bool]:
    try:
        body = schema.parse(text)
        environment = body["applies_to"]["environment"]
        if not Environment.objects.filter(workspace=workspace, name=environment).exists():
            raise Unprocessable("environment_unknown", field="applies_to.environment", name=environment)
    except Unprocessable as refusal:
        refusal.subject = workspace.ref
        raise
    name, digest = body["policy"], digest_of(body)
    current = (
        PolicyVersion.objects.select_for_update().filter(workspace=workspace, name=name, current=True).first()
    )
    if current is not None and current.digest == digest:
        return current, False
    if current is not None:
        current.current = False
        current.save(update_fields=["current"])
    version = PolicyVersion.objects.create(
        workspace=workspace,
        name=name,
        n=(current.n if current else 0) + 1,
        text=text,
        body=body,
        digest=digest,
        environment=environment,
        risk_tiers=schema.tiers_of(body),
        use_case=body["applies_to"].get("use_case", ""),
        applied_by=command.actor.id,
    )
    record(
        command,
        verb="policy.applied",
        subject=version.ref,
        policy=version.pinned,
        before=current.digest if current else "",
        after=digest,
    )
    return version, True


def policy_for(use_case: UseCase, environment: Environment) -> PolicyVersion | None:
    """The current policy: one made for the use case before one for its tier. 422 if two apply."""
    candidates = PolicyVersion.objects.filter(
        workspace_id=use_case.workspace_id, environment=environment.name, current=True
    ).order_by("name")
    own = [policy for policy in candidates if policy.use_case == use_case.name]
    by_tier = [
        policy for policy in candidates if not policy.use_case and use_case.risk_tier in policy.risk_tiers
    ]
    matching = own or by_tier
    if len(matching) > 1:
        raise Unprocessable(
            "policies_overlap", environment=environment.name, policies=[policy.label for policy in matching]
        )
    return matching[0] if matching else None
