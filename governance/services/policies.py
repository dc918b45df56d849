"""Policies. Use cases are in governance.services.use_cases."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.ids import uuid7
from audits.ledger.record import lock, record
from audits.models import Workspace
from governance.models import Environment, PolicyVersion
from governance.policy import schema
from governance.services.use_cases import register_use_case as register_use_case


@service("policy.applied")
def apply_policy(*, command: Command, text: str) -> Result[PolicyVersion]:
    """Crivo's own way, without a second person: at the first start and for whoever may run manage.py.

    Everybody else proposes (governance.services.policy_changes). The same content again changes nothing.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    lock(workspace.id, workspace.ref)
    require(command, "policy.apply", None, remember_on=workspace.ref)
    version, created = _apply(command, workspace, text)
    return Result(version, created=created)


def _apply(command: Command, workspace: Workspace, text: str) -> tuple[PolicyVersion, bool]:
    body = checked_body(workspace, text)
    current = current_version(workspace, body["policy"])
    if current is not None and current.digest == digest_of(body):
        return current, False
    return _install(command, workspace, text, body, current), True


def checked_body(workspace: Workspace, text: str) -> dict[str, Any]:
    """The policy of a text. Unprocessable, remembered on the workspace, if it is none, or for no environment here."""
    try:
        body = schema.parse(text)
        environment = body["applies_to"]["environment"]
        if not Environment.objects.filter(workspace=workspace, name=environment).exists():
            raise Unprocessable("environment_unknown", field="applies_to.environment", name=environment)
    except Unprocessable as refusal:
        refusal.subject = workspace.ref
        raise
    return body


def current_version(workspace: Workspace, name: str) -> PolicyVersion | None:
    """The newest version, locked."""
    rows = PolicyVersion.objects.select_for_update().filter(workspace=workspace, name=name, current=True)
    return rows.first()


def version_of(
    workspace: Workspace, text: str, body: dict[str, Any], current: PolicyVersion | None, actor: UUID
) -> PolicyVersion:
    """The version this body would be; not saved."""
    return PolicyVersion(
        workspace=workspace,
        name=body["policy"],
        n=(current.n if current else 0) + 1,
        text=text,
        body=body,
        digest=digest_of(body),
        environment=body["applies_to"]["environment"],
        risk_tiers=schema.tiers_of(body),
        use_case=body["applies_to"].get("use_case", ""),
        applied_by=actor,
    )


def _install(
    command: Command, workspace: Workspace, text: str, body: dict[str, Any], current: PolicyVersion | None
) -> PolicyVersion:
    """Part of a transaction. The version is in force once its event is in a published checkpoint."""
    if current is not None:
        current.current = False
        current.save(update_fields=["current"])
    version = version_of(workspace, text, body, current, command.actor.id)
    version.granted_event = uuid7()
    version.save(force_insert=True)
    record(
        command,
        event_id=version.granted_event,
        verb="policy.applied",
        subject=version.ref,
        policy=version.pinned,
        before=current.digest if current else "",
        after=version.digest,
    )
    return version
