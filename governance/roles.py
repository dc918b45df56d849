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
    # Only Crivo itself applies a policy without a second person (first start, shell): no role has policy.apply.
    "policy:write": frozenset({"policy.apply", "policy.propose", "environment.configure"}),
    "policy:decide": frozenset({"policy.decide"}),
    "policy:acknowledge": frozenset({"policy.acknowledge"}),
    "signoff:invite": frozenset({"signoff.invite"}),
    "audit:read": frozenset({"audit.read"}),
    "audit:export": frozenset({"audit.export"}),
    "lifecycle:write": frozenset(
        {"placement.suspend", "placement.withdraw", "placement.rollback", "model_version.retire"}
    ),
    "deployment:write": frozenset({"deployment.record"}),
    "admin": frozenset({"role.bind", "token.issue", "webhook.manage", "key.rotate"}),
    "grandfather:write": frozenset({"placement.grandfather"}),
    "reconciliation:write": frozenset({"reconciliation.record"}),
    "explanation:write": frozenset({"explanation.request"}),
}

ACTIONS: frozenset[str] = frozenset().union(*SCOPES.values())


@dataclass(frozen=True)
class Role:
    slug: str
    title: str | Promise
    actions: frozenset[str]
    decides: bool = False  # can fill a slot of a policy's approvals


_BUILD = SCOPES["registry:write"] | SCOPES["lineage:write"] | SCOPES["promotion:request"]
_READ = frozenset({"registry.read", "gate.read", "policy.acknowledge"})

ROLES: dict[str, Role] = {
    role.slug: role
    for role in (
        Role(
            "pipeline",
            _("Pipeline"),
            _READ | _BUILD | {"deployment.record", "reconciliation.record", "explanation.request"},
        ),
        Role("data_scientist", _("Data scientist"), _READ | _BUILD | {"explanation.request"}),
        Role(
            "validator",
            _("Validator"),
            _READ | {"promotion.decide", "placement.suspend", "explanation.request"},
            decides=True,
        ),
        Role(
            "approver",
            _("Approver"),
            _READ
            | SCOPES["lifecycle:write"]
            | {"promotion.decide", "alias.set", "deployment.record", "policy.decide", "signoff.invite"},
            decides=True,
        ),
        Role(
            "risk_manager",
            _("Risk manager"),
            _READ
            | SCOPES["lifecycle:write"]
            | {
                "policy.propose",
                "policy.decide",
                "use_case.register",
                "environment.configure",
                "alias.set",
                "placement.grandfather",
                "reconciliation.record",
                "explanation.request",
            },
        ),
        Role("auditor", _("Auditor"), _READ | {"audit.read", "audit.export"}),
        Role(
            "deployer",
            _("Deployer"),
            frozenset({"gate.read", "placement.rollback", "deployment.record", "reconciliation.record"}),
        ),
        Role(
            "administrator",
            _("Administrator"),
            _READ | {"role.bind", "token.issue", "webhook.manage", "environment.configure"},
        ),
    )
}

# Slots of a policy's approvals that people outside fill through a link (governance.services.signoffs). No binding
# gives these: they permit nothing else.
EXTERNAL: dict[str, str | Promise] = {"customer": _("Customer"), "business_owner": _("Business owner")}


def actions_of(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[role].actions for role in roles if role in ROLES))


def covered_by(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))
