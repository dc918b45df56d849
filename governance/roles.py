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
            "dataset.register",
            "dataset_version.register",
            "model.register",
            "model_version.register",
            "alias.set",
        }
    ),
    "lineage:write": frozenset({"lineage.record"}),
    "promotion:request": frozenset({"promotion.request", "promotion.withdraw"}),
    "promotion:decide": frozenset({"promotion.decide"}),
    "gate:read": frozenset({"gate.read"}),
    "policy:write": frozenset({"policy.apply", "environment.configure"}),
    "audit:read": frozenset({"audit.read"}),
    "audit:export": frozenset({"audit.export"}),
    "lifecycle:write": frozenset(
        {"placement.suspend", "placement.withdraw", "placement.rollback", "model_version.retire"}
    ),
    "deployment:write": frozenset({"deployment.record"}),
    "admin": frozenset({"role.bind", "token.issue"}),
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
        Role("pipeline", _("Pipeline"), _READ | _BUILD | {"deployment.record"}),
        Role("data_scientist", _("Data scientist"), _READ | _BUILD),
        Role("validator", _("Validator"), _READ | {"promotion.decide", "placement.suspend"}, decides=True),
        Role(
            "approver",
            _("Approver"),
            _READ | SCOPES["lifecycle:write"] | {"promotion.decide", "alias.set", "deployment.record"},
            decides=True,
        ),
        Role(
            "risk_manager",
            _("Risk manager"),
            _READ
            | SCOPES["lifecycle:write"]
            | {"policy.apply", "use_case.register", "environment.configure", "alias.set"},
        ),
        Role("auditor", _("Auditor"), _READ | {"audit.read", "audit.export"}),
        Role("deployer", _("Deployer"), frozenset({"gate.read", "placement.rollback", "deployment.record"})),
        Role(
            "administrator",
            _("Administrator"),
            _READ | {"role.bind", "token.issue", "environment.configure"},
        ),
    )
}


def actions_of(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[role].actions for role in roles if role in ROLES))


def covered_by(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))
