"""The authoriser of Crivo: roles bound to people and service tokens, narrowed by the scopes of the token in use."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from audits.actors import Actor, SubjectRef
from governance.models import RoleBinding
from governance.roles import actions_of, covered_by

M = TypeVar("M", bound=Model)

READ_ACTION = {
    "audits.Event": "audit.read",
    "audits.AuditExport": "audit.export",
    "audits.Webhook": "webhook.manage",
}
NEVER_BY_SERVICE_TOKEN = frozenset(
    {
        "promotion.decide",
        "policy.decide",
        "policy.acknowledge",
        "signoff.invite",
        "placement.grandfather",
        "finding.open",
        "finding.answer",
        "waiver.request",
        "condition.report",
        "finding.verify",
        "finding.close",
        "waiver.approve",
        "condition.verify",
        "review.complete",
        "placement.break_glass",
        "alarm.sign_off",
    }
)
# Processes of Crivo itself, and whoever may run manage.py: they own the installation, and are recorded as such.
SYSTEM_ACTIONS = frozenset(
    {
        "registry.read",
        "token.issue",
        "role.bind",
        "policy.apply",
        "audit.read",
        "audit.export",
        "key.rotate",
        "person.erase",
        "hold.manage",
    }
)


class Authority:
    """What `audits` asks through its port. Nothing is cached: a role taken away binds with the next question."""

    def may(self, actor: Actor, action: str, ref: SubjectRef | None = None) -> bool:
        if actor.kind == "system":
            return action in SYSTEM_ACTIONS
        if action in NEVER_BY_SERVICE_TOKEN and actor.kind == "token":
            return False
        if actor.scopes is not None and action not in covered_by(actor.scopes):
            return False
        return action in actions_of(roles_of(actor))

    def visible(self, actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]:
        action = READ_ACTION.get(queryset.model._meta.label, "registry.read")
        if not self.may(actor, action):
            return queryset.none()
        return queryset.filter(workspace_id=actor.workspace)


def roles_of(actor: Actor) -> frozenset[str]:
    """The roles of the principal itself: a service token has its own, whatever its responsible person may do."""
    who = {"token_id": actor.id} if actor.kind == "token" else {"person_id": actor.id}
    return _roles(actor.workspace, **who)


def roles_of_person(workspace: UUID, person: UUID) -> frozenset[str]:
    return _roles(workspace, person_id=person)


def _roles(workspace: UUID, **who: UUID) -> frozenset[str]:
    bindings = RoleBinding.objects.filter(workspace_id=workspace, revoked_at=None, **who)
    return frozenset(bindings.values_list("role", flat=True))
