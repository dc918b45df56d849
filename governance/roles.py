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
        }
    ),
    "lineage:write": frozenset({"lineage.record"}),
    "promotion:request": frozenset({"promotion.request", "promotion.withdraw"}),
    "promotion:decide": frozenset({"promotion.decide"}),
    "gate:read": frozenset({"gate.read"}),
    "policy:write": frozenset({"policy.apply"}),
    "audit:read": frozenset({"audit.read"}),
    "audit:export": frozenset({"audit.export"}),
    "admin": frozenset({"role.bind", "token.issue"}),
    "finding:write": frozenset({"finding.open", "finding.answer", "finding.verify", "finding.close"}),
    "waiver:request": frozenset({"waiver.request"}),
    "waiver:decide": frozenset({"waiver.approve", "waiver.revoke"}),
    "condition:report": frozenset({"condition.report"}),
    "condition:verify": frozenset({"condition.verify"}),
    "review:complete": frozenset({"review.complete"}),
    "glass:break": frozenset({"placement.break_glass"}),
    "alarm:sign-off": frozenset({"alarm.sign_off"}),
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
_OWN = frozenset({"finding.answer", "waiver.request", "condition.report"})
_EXAMINE = frozenset({"finding.open", "finding.answer", "finding.verify", "finding.close"})
_EXCEPT = frozenset({"waiver.approve", "waiver.revoke", "review.complete"})

ROLES: dict[str, Role] = {
    role.slug: role
    for role in (
        Role("pipeline", _("Pipeline"), _READ | _BUILD),
        Role("data_scientist", _("Data scientist"), _READ | _BUILD | _OWN),
        Role(
            "validator",
            _("Validator"),
            _READ | _OWN | _EXAMINE | _EXCEPT | {"promotion.decide", "condition.verify"},
            decides=True,
        ),
        Role(
            "approver",
            _("Approver"),
            _READ | _EXCEPT | {"promotion.decide", "condition.verify", "finding.answer", "finding.close"},
            decides=True,
        ),
        Role(
            "risk_manager",
            _("Risk manager"),
            _READ | _EXAMINE | _EXCEPT | {"policy.apply", "use_case.register", "alarm.sign_off"},
        ),
        Role("auditor", _("Auditor"), _READ | {"audit.read", "audit.export", "alarm.sign_off"}),
        Role("deployer", _("Deployer"), frozenset({"gate.read"})),
        Role("administrator", _("Administrator"), _READ | {"role.bind", "token.issue"}),
        Role("incident_manager", _("Incident manager"), _READ | {"placement.break_glass"}),
    )
}


# Who builds models: nobody of them signs off an alarm. A trigger in the database knows the same list.
ENGINEERING = frozenset({"data_scientist", "pipeline"})


def actions_of(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[role].actions for role in roles if role in ROLES))


def covered_by(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))
