"""Policies. Use cases are in governance.services.use_cases."""

from __future__ import annotations

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance.models import Environment, PolicyVersion, UseCase
from governance.policy import schema
from governance.services.use_cases import register_use_case as register_use_case


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
