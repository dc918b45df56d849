"""The authoriser of Crivo: roles of people, groups and service tokens, narrowed by the scopes of the token in use.

`may` asks about one subject, `visible` about rows: the same bindings answer both, so that lists, details, the API, the
console and exports cannot disagree.
"""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from audits.actors import Actor, SubjectRef
from governance import access, scoping
from governance.roles import ROLES, covered_by

M = TypeVar("M", bound=Model)

READ_ACTION = {
    "audits.Event": "audit.read",
    "audits.PrunedEvent": "audit.read",
    "audits.AuditExport": "audit.export",
    "audits.Webhook": "webhook.manage",
    "audits.LegalHold": "hold.manage",
    "governance.RoleBinding": "access.read",
    "governance.Group": "access.read",
    "governance.ApiToken": "access.read",
    "audits.Explanation": "explanation.request",
}
# Evaluation sets, which those who make models do not see.
HIDDEN = {"registry.Dataset": "hidden", "registry.DatasetVersion": "dataset__hidden"}
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
        "use_case.set_tier",
        "role.recertify",
        "person.manage",
        "person.erase",
        "hold.manage",
        "audit.prune",
    }
)
# Processes of Crivo itself, and whoever may run manage.py: they own the installation, and are recorded as such.
SYSTEM_ACTIONS = frozenset(
    {"registry.read", "token.issue", "role.bind", "policy.apply", "audit.read", "audit.export", "key.rotate"}
    | {"group.manage", "person.manage", "role.recertify", "access.read"}
    | {"person.erase", "hold.manage", "audit.prune"}
)


class Authority:
    """What `audits` asks through its port. Nothing is cached: a role taken away binds with the next question."""

    def may(self, actor: Actor, action: str, ref: SubjectRef | None = None) -> bool:
        """Whether a role held covers `ref`; without one, or for what belongs to no model or dataset, the workspace."""
        if actor.kind == "system":
            return action in SYSTEM_ACTIONS
        holding = _holding(actor, action)
        if not holding or all(role.everywhere for role in holding):
            return bool(holding)
        owner = scoping.owner_of(ref)
        return any(role.covers(owner) for role in holding)

    def anywhere(self, actor: Actor, action: str) -> bool:
        """Whether there can be a subject on which the actor may: then an empty list is the answer, not a 403."""
        return action in SYSTEM_ACTIONS if actor.kind == "system" else bool(_holding(actor, action))

    def visible(self, actor: Actor, queryset: QuerySet[M]) -> QuerySet[M]:
        return self.reached(actor, READ_ACTION.get(queryset.model._meta.label, "registry.read"), queryset)

    def reached(self, actor: Actor, action: str, queryset: QuerySet[M]) -> QuerySet[M]:
        """The rows on which the actor may do `action`, in their workspace."""
        reach = self.reach(actor, action)
        if reach.nowhere:
            return queryset.none()
        rows = self._without_hidden(actor, queryset.filter(workspace_id=actor.workspace))
        if reach.everywhere:
            return rows
        condition = scoping.within(queryset.model._meta.label, reach)
        return rows.filter(condition) if condition is not None else queryset.none()

    def _without_hidden(self, actor: Actor, rows: QuerySet[M]) -> QuerySet[M]:
        """Evaluation sets the author must not see are there for those who may read them only."""
        label = rows.model._meta.label
        if label not in HIDDEN:
            return rows
        seen = self.reach(actor, "evaluation_set.read")
        if seen.everywhere:
            return rows
        shown = Q(**{HIDDEN[label]: False})
        condition = None if seen.nowhere else scoping.within(label, seen)
        return rows.filter(shown if condition is None else shown | condition)

    def reach(self, actor: Actor, action: str) -> scoping.Reach:
        if actor.kind == "system":
            return scoping.Reach(everywhere=action in SYSTEM_ACTIONS)
        return scoping.reach_of((role.scope_kind, role.scope_id) for role in _holding(actor, action))


def _holding(actor: Actor, action: str) -> list[access.Held]:
    """The roles in force by which the actor may do `action` somewhere, through the token in use."""
    if action in NEVER_BY_SERVICE_TOKEN and actor.kind == "token":
        return []
    if actor.scopes is not None and action not in covered_by(actor.scopes):
        return []
    return [role for role in access.held_by(actor) if role.permits(action)]


def roles_of(actor: Actor) -> frozenset[str]:
    """The roles of the principal itself, on whatever they are held."""
    return frozenset(role.role for role in access.held_by(actor))


def roles_anywhere(workspace: UUID, person: UUID) -> frozenset[str]:
    """The roles a person holds in a workspace, on whatever."""
    return frozenset(role.role for role in access.held_by_person(person, workspace) if role.role in ROLES)


def roles_of_person(workspace: UUID, person: UUID, ref: SubjectRef | None = None) -> frozenset[str]:
    """The roles a person holds on `ref`; without one, in the whole workspace."""
    owner = scoping.owner_of(ref)
    held = access.held_by_person(person, workspace)
    return frozenset(role.role for role in held if role.covers(owner) and role.role in ROLES)
