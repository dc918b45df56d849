"""Which role bindings are in force, now or at any time before: one rule, asked everywhere.

A binding counts at a moment when it was granted and not yet revoked, when its grant was *effective* by then, and when
it had not lapsed: the time since it was given, or last recertified, is shorter than `recertify_every`. The same holds
for the membership through which a group's binding reaches a person.

Effective is a grant, a membership or a recertification once its event is in a published checkpoint. One exception
makes a beginning possible: what the operator's shell granted (manage.py bootstrap, issue_token) counts from its event
on. Whoever has that shell owns the installation, keys and database included, and may have no notary running yet; the
event says `system`, and who-could answers name it. An event that the notary quarantined makes nothing effective.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from audits.actors import Actor
from audits.models import Checkpoint, Event, Leaf, Quarantine
from governance.models import GroupMembership, RoleBinding, RoleRecertification, User
from governance.models.access import BindingScope
from governance.prepared import prepared
from governance.roles import ROLES


def effective_from(field: str) -> Coalesce:
    """When the grant told of by the event in `field` became effective; NULL if it is not."""
    leaf = Leaf.objects.filter(event_id=OuterRef(OuterRef(field))).values("index")[:1]
    published = Checkpoint.objects.filter(size__gt=Subquery(leaf)).order_by("size").values("published_at")[:1]
    by_shell = (
        Event.objects.filter(id=OuterRef(field), actor_kind="system", outcome="done")
        .exclude(Exists(Quarantine.objects.filter(event_id=OuterRef("id"))))
        .values("at")[:1]
    )
    return Coalesce(Subquery(by_shell), Subquery(published))


def bindings(at: datetime | None = None) -> QuerySet[Any]:
    """Every binding in force at `at` (default now), with `effective_from`, `certified_at` and `lapses_at`."""
    moment = at or timezone.now()
    return dated(moment).filter(
        Q(revoked_at=None) | Q(revoked_at__gt=moment), effective_from__lte=moment, lapses_at__gt=moment
    )


def dated(at: datetime | None = None) -> QuerySet[Any]:
    """Every RoleBinding, in force or not, with its dates as known at `at`: annotations no type knows."""
    moment = at or timezone.now()
    certified = (
        RoleRecertification.objects.filter(binding_id=OuterRef("pk"))
        .annotate(effective_from=effective_from("event_id"))
        .filter(effective_from__lte=moment)
        .order_by("-created_at")
        .values("created_at")[:1]
    )
    return RoleBinding.objects.annotate(
        effective_from=effective_from("granted_event"),
        certified_at=Coalesce(Subquery(certified), F("created_at")),
    ).annotate(lapses_at=F("certified_at") + F("recertify_every"))


def memberships(at: datetime | None = None) -> QuerySet[GroupMembership]:
    """Who is in which group at `at`."""
    moment = at or timezone.now()
    return GroupMembership.objects.annotate(effective_from=effective_from("added_event")).filter(
        Q(removed_at=None) | Q(removed_at__gt=moment), effective_from__lte=moment
    )


def in_workspace(workspace: UUID) -> Q:
    return Q(workspace_id=workspace) | Q(scope_kind=BindingScope.SERVICE)


def of_person(person: UUID, at: datetime | None = None) -> QuerySet[RoleBinding]:
    """Bindings in force for a person, given to them or to a group they are in, in any workspace."""
    groups = memberships(at).filter(person_id=person).values("group_id")
    return bindings(at).filter(Q(person_id=person) | Q(group_id__in=groups))


def people_with(
    workspace: UUID, roles: Iterable[str], owner: tuple[str, UUID] | None
) -> dict[UUID, set[str]]:
    """Active people with one of these roles now, by themselves or in a group, and which of them. Two queries.

    `owner`: what the roles have to reach; None: anything in the workspace, be it one model.
    """
    found: dict[UUID, set[str]] = defaultdict(set)
    rows = bindings().filter(in_workspace(workspace), role__in=list(roles), token=None)
    wanted = [
        row for row in rows if owner is None or Held(row.role, row.scope_kind, row.scope_id).covers(owner)
    ]
    members: dict[UUID, set[UUID]] = defaultdict(set)
    for group, person in (
        memberships()
        .filter(group_id__in=[row.group_id for row in wanted])
        .values_list("group_id", "person_id")
    ):
        members[group].add(person)
    for row in wanted:
        for person in {row.person_id} if row.person_id else members[row.group_id]:
            found[person].add(row.role)
    active = User.objects.filter(id__in=list(found), is_active=True).values_list("id", flat=True)
    return {person: found[person] for person in active}


@dataclass(frozen=True)
class Held:
    """One role and how far it reaches."""

    role: str
    scope_kind: str
    scope_id: UUID | None

    @property
    def everywhere(self) -> bool:
        """In the whole of a workspace."""
        return self.scope_kind in (BindingScope.SERVICE, BindingScope.WORKSPACE)

    def permits(self, action: str) -> bool:
        return self.role in ROLES and action in ROLES[self.role].actions

    def covers(self, owner: tuple[str, UUID] | None) -> bool:
        """`owner` is the model or dataset a subject belongs to; None: a subject of the workspace itself."""
        return self.everywhere or (owner is not None and owner == (self.scope_kind, self.scope_id))


HELD = ("role", "scope_kind", "scope_id")


@prepared
def _held_by_person(*, person: UUID, workspace: UUID, at: datetime) -> QuerySet[RoleBinding, Any]:
    return of_person(person, at).filter(in_workspace(workspace)).values_list(*HELD)


@prepared
def _held_by_token(*, token: UUID, workspace: UUID, at: datetime) -> QuerySet[RoleBinding, Any]:
    return bindings(at).filter(in_workspace(workspace), token_id=token).values_list(*HELD)


def held_by_person(person: UUID, workspace: UUID) -> list[Held]:
    """What a person holds now, by themselves or in a group. One query."""
    rows = _held_by_person(person=person, workspace=workspace, at=timezone.now())
    return [Held(*row) for row in rows]


def held_by(actor: Actor) -> list[Held]:
    """What the principal itself holds now: a service token has its own, whatever its responsible person may do."""
    if actor.kind != "token":
        return held_by_person(actor.id, actor.workspace)
    rows = _held_by_token(token=actor.id, workspace=actor.workspace, at=timezone.now())
    return [Held(*row) for row in rows]
