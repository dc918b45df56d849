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
    "audit:prune": frozenset({"audit.prune"}),
    "lifecycle:write": frozenset(
        {"placement.suspend", "placement.withdraw", "placement.rollback", "model_version.retire"}
    ),
    "deployment:write": frozenset({"deployment.record"}),
    "admin": frozenset(
        {"role.bind", "role.recertify", "group.manage", "person.manage", "token.issue"}
        | {"webhook.manage", "key.rotate"}
    ),
    "grandfather:write": frozenset({"placement.grandfather"}),
    "reconciliation:write": frozenset({"reconciliation.record"}),
    "privacy": frozenset({"person.erase", "hold.manage"}),
    "evidence:write": frozenset({"evidence.attach"}),
    "evaluation_set:write": frozenset({"evaluation_set.register"}),
    "evaluation_set:read": frozenset({"evaluation_set.read"}),
    "finding:write": frozenset({"finding.open", "finding.answer", "finding.verify", "finding.close"}),
    "waiver:request": frozenset({"waiver.request"}),
    "waiver:decide": frozenset({"waiver.approve", "waiver.revoke"}),
    "condition:report": frozenset({"condition.report"}),
    "condition:verify": frozenset({"condition.verify"}),
    "review:complete": frozenset({"review.complete"}),
    "glass:break": frozenset({"placement.break_glass"}),
    "alarm:sign-off": frozenset({"alarm.sign_off"}),
    "access:read": frozenset({"access.read"}),
    "risk:write": frozenset({"use_case.set_tier"}),
    "explanation:write": frozenset({"explanation.request"}),
    "check:reproduce": frozenset({"check_run.reproduce"}),
    "check:cancel": frozenset({"check_run.cancel"}),
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
_OWN = frozenset({"finding.answer", "waiver.request", "condition.report"})
_EXAMINE = frozenset({"finding.open", "finding.answer", "finding.verify", "finding.close"})
_EXCEPT = frozenset({"waiver.approve", "waiver.revoke", "review.complete"})

ROLES: dict[str, Role] = {
    role.slug: role
    for role in (
        Role(
            "pipeline",
            _("Pipeline"),
            _READ
            | _BUILD
            | {"deployment.record", "reconciliation.record", "evidence.attach", "explanation.request"}
            | {"check_run.reproduce", "check_run.cancel"},
        ),
        Role(
            "data_scientist",
            _("Data scientist"),
            _READ
            | _BUILD
            | _OWN
            | {"evidence.attach", "explanation.request", "check_run.reproduce", "check_run.cancel"},
        ),
        Role(
            "validator",
            _("Validator"),
            _READ
            | _OWN
            | _EXAMINE
            | _EXCEPT
            | {
                "promotion.decide",
                "placement.suspend",
                "condition.verify",
                "evidence.attach",
                "explanation.request",
            }
            | {"evaluation_set.register", "evaluation_set.read", "check_run.reproduce", "check_run.cancel"},
            decides=True,
        ),
        Role(
            "approver",
            _("Approver"),
            _READ
            | _EXCEPT
            | SCOPES["lifecycle:write"]
            | {"promotion.decide", "alias.set", "deployment.record", "policy.decide", "signoff.invite"}
            | {"condition.verify", "finding.answer", "finding.close"},
            decides=True,
        ),
        Role(
            "risk_manager",
            _("Risk manager"),
            _READ
            | _EXAMINE
            | _EXCEPT
            | SCOPES["lifecycle:write"]
            | {
                "policy.propose",
                "policy.decide",
                "use_case.register",
                "use_case.edit",
                "use_case.set_tier",
                "environment.configure",
                "alias.set",
                "placement.grandfather",
                "reconciliation.record",
                "hold.manage",
                "alarm.sign_off",
                "access.read",
                "explanation.request",
                "check_run.reproduce",
            },
        ),
        Role(
            "auditor",
            _("Auditor"),
            _READ
            | {"audit.read", "audit.export", "alarm.sign_off", "access.read", "evaluation_set.read"}
            | {"check_run.reproduce"},
        ),
        Role(
            "deployer",
            _("Deployer"),
            frozenset({"gate.read", "placement.rollback", "deployment.record", "reconciliation.record"}),
        ),
        Role(
            "administrator",
            _("Administrator"),
            _READ
            | {"role.bind", "role.recertify", "group.manage", "person.manage", "token.issue", "access.read"}
            | {"webhook.manage", "environment.configure", "person.erase", "audit.prune"},
        ),
        Role("incident_manager", _("Incident manager"), _READ | {"placement.break_glass"}),
        # Whoever a model is for: with an account they decide like reviewers, without one through a link.
        Role("customer", _("Customer"), _READ | {"promotion.decide"}, decides=True),
        Role("business_owner", _("Business owner"), _READ | {"promotion.decide"}, decides=True),
    )
}

# Slots of a policy's approvals that people without an account fill through a link (governance.services.signoffs).
EXTERNAL: dict[str, str | Promise] = {slug: ROLES[slug].title for slug in ("customer", "business_owner")}
# Nobody gives what they do not hold: the roles that each role may give, where it is held. No other role gives any.
GRANTS: dict[str, frozenset[str]] = {"administrator": frozenset(ROLES)}


# Who builds models: nobody of them signs off an alarm. A trigger in the database knows the same list.
ENGINEERING = frozenset({"data_scientist", "pipeline"})


def actions_of(roles: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(ROLES[role].actions for role in roles if role in ROLES))


def covered_by(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(SCOPES[scope] for scope in scopes if scope in SCOPES))
