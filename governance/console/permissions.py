"""The permission table on one screen: actions × roles as governance.roles has them, and who holds which role here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise

from governance import access, scoping
from governance.authority import Authority
from governance.console.people import Visitor
from governance.models import ApiToken, RoleBinding
from governance.models.access import BindingScope
from governance.roles import GRANTS, ROLES, SCOPES, Role
from registry.models import Dataset, Model

DUE = timedelta(days=60)


@dataclass(frozen=True)
class ActionRow:
    action: str
    scope: str
    permitted: list[tuple[Role, bool]]


@dataclass(frozen=True)
class Holder:
    name: str
    account: str
    kind: str  # person, group or token
    scope: str  # empty: the workspace


@dataclass(frozen=True)
class Due:
    """A role that lapses soon, or has."""

    id: UUID
    title: str | Promise
    holder: Holder
    lapses_at: datetime
    lapsed: bool


@dataclass(frozen=True)
class Permissions:
    roles: list[Role]
    rows: list[ActionRow]
    holders: list[tuple[str | Promise, list[Holder]]]
    due: list[Due]  # for whoever may recertify
    giving: list[tuple[str | Promise, list[str | Promise]]]  # which role may give which


def permissions(visitor: Visitor) -> Permissions:
    """A few queries, however many bindings: the table itself is code."""
    roles = list(ROLES.values())
    rows = [
        ActionRow(action, scope, [(role, action in role.actions) for role in roles])
        for scope, actions in SCOPES.items()
        for action in sorted(actions)
    ]
    held: dict[str, list[Holder]] = {slug: [] for slug in ROLES}
    seen = _seen(visitor)
    subjects = subjects_of(seen)
    now = timezone.now()
    due = []
    for binding in seen:
        holder = _holder(binding, subjects)
        in_force = binding.effective_from is not None and binding.effective_from <= now < binding.lapses_at
        if in_force and binding.role in held:
            held[binding.role].append(holder)
        if binding.lapses_at < now + DUE:
            due.append(
                Due(
                    binding.id, ROLES[binding.role].title, holder, binding.lapses_at, now >= binding.lapses_at
                )
            )
    recertifies = visitor.may_somewhere("role.recertify")
    holders = [(ROLES[slug].title, held[slug]) for slug in ROLES]
    giving: list[tuple[str | Promise, list[str | Promise]]] = [
        (ROLES[giver].title, [role.title for role in roles if role.slug in given])
        for giver, given in GRANTS.items()
    ]
    return Permissions(roles, rows, holders, due if recertifies else [], giving)


@dataclass(frozen=True)
class Given:
    """A role that was given and not taken away; `since` is None until its event is in a checkpoint."""

    id: UUID
    title: str | Promise
    holder: Holder
    since: datetime | None
    lapses_at: datetime


def given_roles(visitor: Visitor) -> list[Given]:
    """For whoever gives and takes roles: those not taken away, with what is not in force yet or has lapsed."""
    seen = _seen(visitor)
    subjects = subjects_of(seen)
    return [
        Given(row.id, ROLES[row.role].title, _holder(row, subjects), row.effective_from, row.lapses_at)
        for row in sorted(seen, key=lambda row: (list(ROLES).index(row.role), row.id))
    ]


def _seen(visitor: Visitor) -> list[Any]:
    """Bindings not taken away; who may see one model sees who holds a role on it."""
    rows = access.dated().filter(access.in_workspace(visitor.workspace.id), revoked_at=None)
    reach = Authority().reach(visitor.actor, "registry.read")
    if not reach.everywhere:
        condition = scoping.within("governance.RoleBinding", reach)
        rows = rows.filter(condition) if condition is not None else rows.none()
    return list(rows.select_related("person", "group", "token").order_by("id"))


def subjects_of(bindings: list[Any]) -> dict[UUID, str]:
    ids = [binding.scope_id for binding in bindings if binding.scope_id]
    return {row.id: row.name for rows in (Model.objects, Dataset.objects) for row in rows.filter(id__in=ids)}


def scope_in_words(binding: RoleBinding, subjects: dict[UUID, str]) -> str:
    """Empty for the whole workspace."""
    if binding.scope_kind == BindingScope.WORKSPACE:
        return ""
    scope = str(BindingScope(binding.scope_kind).label)
    return f"{scope}: {subjects.get(binding.scope_id, '')}" if binding.scope_id else scope


def _holder(binding: RoleBinding, subjects: dict[UUID, str]) -> Holder:
    scope = scope_in_words(binding, subjects)
    if binding.person is not None:
        return Holder(binding.person.label, binding.person.username, "person", scope)
    if binding.group is not None:
        return Holder(binding.group.name, "", "group", scope)
    token: ApiToken | None = binding.token
    return Holder(token.name if token else "", token.public_id if token else "", "token", scope)
