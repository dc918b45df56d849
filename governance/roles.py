"""Who may do what: one literal table, shown as it is on one screen (admin › Roles).

A role permits actions. A token narrows them by scopes: what a token may do is what its principal's roles permit *and*
its scopes cover. Service tokens never decide, whatever they are given.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SCOPES: dict[str, frozenset[str]] = {
    "registry:read": frozenset({"registry.read"}),
    "registry:write": frozenset(
        {
            "use_case.register",
            "use_case.edit",
            "dataset.register",
            "dataset_version.register",
            "model.register",
            "model_version.register",
        }
    ),
    "lineage:write": frozenset({"lineage.record"}),
    "promotion:request": frozenset({"promotion.request", "promotion.withdraw"}),
    "promotion:decide": frozenset({"promotion.decide"}),
    "gate:read": frozenset({"gate.read"}),
    "policy:write": frozenset({"policy.apply"}),
    "audit:read": frozenset({"audit.read"}),
    "audit:export": frozenset({"audit.export"}),
    "admin": frozenset({"role.bind", "token.issue", "group.manage", "role.recertify"}),
    "access:read": frozenset({"access.read"}),
    "risk:write": frozenset({"use_case.set_tier"}),
}

ACTIONS: frozenset[str] = frozenset().union(*SCOPES.values())


@dataclass(frozen=True)
class Role:
    slug: str
    title: str | Promise
    actions: frozenset[str]
    decides: bool = False  # can fill a slot of a policy's approvals


_BUILD = SCOPES["registry:write"] | SCOPES["lineage:write"] | SCOPES["promotion:request"]
_READ = frozenset({"registry.read", "gate.read"})

ROLES: dict[str, Role] = {
    role.slug: role
    for role in (
        Role("pipeline", _("Pipeline"), _READ | _BUILD),
        Role("data_scientist", _("Data scientist"), _READ | _BUILD),
        Role("validator", _("Validator"), _READ | {"promotion.decide"}, decides=True),
        Role("approver", _("Approver"), _READ | {"promotion.decide"}, decides=True),
        Role(
            "risk_manager",
            _("Risk manager"),
            _READ
            | {"policy.apply", "use_case.register", "use_case.edit", "use_case.set_tier", "access.read"},
        ),
        Role("auditor", _("Auditor"), _READ | {"audit.read", "audit.export", "access.read"}),
        Role("deployer", _("Deployer"), frozenset({"gate.read"})),
        Role(
            "administrator",
            _("Administrator"),
            _READ | {"role.bind", "role.recertify", "group.manage", "token.issue", "access.read"},
        ),
    )
}

# Nobody gives what they do not hold: the roles that each role may give, where it is held. No other role gives any.
GRANTS: dict[str, frozenset[str]] = {"administrator": frozenset(ROLES)}


def actions_of(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[role].actions for role in roles if role in ROLES))


def covered_by(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))
