"""The permission table on one screen: actions × roles as governance.roles has them, and who holds which role here."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise

from governance.console.people import Visitor
from governance.models import ApiToken, RoleBinding
from governance.roles import ROLES, SCOPES, Role


@dataclass(frozen=True)
class ActionRow:
    action: str
    scope: str
    permitted: list[tuple[Role, bool]]


@dataclass(frozen=True)
class Holder:
    name: str
    account: str
    is_token: bool


@dataclass(frozen=True)
class Permissions:
    roles: list[Role]
    rows: list[ActionRow]
    holders: list[tuple[str | Promise, list[Holder]]]


def permissions(visitor: Visitor) -> Permissions:
    """Two queries: the table itself is code."""
    roles = list(ROLES.values())
    rows = [
        ActionRow(action, scope, [(role, action in role.actions) for role in roles])
        for scope, actions in SCOPES.items()
        for action in sorted(actions)
    ]
    held: dict[str, list[Holder]] = {slug: [] for slug in ROLES}
    bindings = RoleBinding.objects.filter(workspace=visitor.workspace, revoked_at=None)
    for binding in bindings.select_related("person", "token").order_by("id"):
        if binding.role in held:
            held[binding.role].append(_holder(binding))
    return Permissions(roles, rows, [(ROLES[slug].title, held[slug]) for slug in ROLES])


def _holder(binding: RoleBinding) -> Holder:
    if binding.person is not None:
        return Holder(binding.person.label, binding.person.username, False)
    token: ApiToken | None = binding.token
    return Holder(token.name if token else "", token.public_id if token else "", True)
