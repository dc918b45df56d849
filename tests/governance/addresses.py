"""Every address of /api/v1 beyond those in test_matrix, with what it takes; and those that answer anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests import study

READ = "registry.read"


@dataclass(frozen=True)
class Call:
    """`sees`: without it (or one of these) nothing is there (404, or an empty list); `does`: without it, 403."""

    sees: str | tuple[str, ...] | None = None
    does: str | None = None
    body: Any = None
    query: str = ""
    listed: bool = False
    remembered: bool = False  # whether a 403 leaves an event
    removes: bool = False  # whoever comes second finds it gone
    headers: dict[str, str] = field(default_factory=dict)

    def seen_by(self, actions: frozenset[str]) -> bool:
        wanted = (self.sees,) if isinstance(self.sees, str) else self.sees
        return wanted is None or any(action in actions for action in wanted)

    def done_by(self, actions: frozenset[str]) -> bool:
        return self.does is None or self.does in actions


def change(does: str, body: Any = None, *, sees: str | tuple[str, ...] | None = READ, **more: Any) -> Call:
    """A change of something that is there: its refusal is remembered."""
    return Call(sees=sees, does=does, body=body or {}, remembered=True, **more)


# What anybody may ask, signed in or not: the keys and lists that make a proof checkable by who has no account.
PUBLIC = {"GET attestations/revoked"}

DIGEST = f"sha256:{'0' * 64}"
REASON = {"reason": "r"}
SEEN = {"If-Match": '"unknown"'}
VERSION = "models/<str:name>/versions/<int:n>"
PLACEMENT = "placements/<uuid:placement_id>"
POLICY = "policies/<str:name>/versions/<int:n>"
CHANGE = "policies/changes/<uuid:change_id>"
WEBHOOK = "webhooks/<uuid:webhook_id>"
BINDING = "access/bindings/<uuid:binding_id>"
PERSON = "access/people/<str:username>"
SIGNOFFS = "promotions/<uuid:promotion_id>/signoffs"
ALIAS = "models/<str:name>/aliases/<str:alias>"
HOOK, WHO, BIND = "webhook.manage", "access.read", "role.bind"
RUNNING = {"digest": DIGEST, "environment": "production", "model": "progression"}

LIFE_CYCLE = {
    "GET environments": Call(sees=READ, listed=True),
    "POST environments": change("environment.configure", {"name": "another"}, sees=None),
    "GET environments/<str:name>": Call(sees=READ),
    "PATCH environments/<str:name>": change("environment.configure", {"exclusive": False}),
    f"GET {VERSION}/placements": Call(sees=READ),
    f"GET {VERSION}/comparison": Call(sees=READ),
    f"POST {VERSION}/suspension": change("placement.suspend", REASON),
    f"POST {VERSION}/reinstatement": change("promotion.decide", REASON),
    f"GET {VERSION}/retirement": Call(sees=READ),
    f"POST {VERSION}/retirement": change("model_version.retire", REASON),
    f"GET {VERSION}/deployments": Call(sees=(READ, "deployment.record")),
    f"POST {VERSION}/deployments": change(
        "deployment.record", {"environment": "test", "mode": "live"}, sees=(READ, "deployment.record")
    ),
    "GET deployments": Call(sees=READ, listed=True),
    "POST deployments/<uuid:deployment_id>/end": change(
        "deployment.record", sees=(READ, "deployment.record")
    ),
    f"POST {PLACEMENT}/suspension": change("placement.suspend", REASON),
    f"POST {PLACEMENT}/reinstatement": change("promotion.decide", REASON),
    f"POST {PLACEMENT}/withdrawal": change("placement.withdraw", REASON),
    "POST models/<str:name>/rollbacks": change(
        "placement.rollback",
        {"environment": "production", "reason": "r"},
        sees=(READ, "placement.rollback"),
    ),
    "GET models/<str:name>/aliases": Call(sees=READ),
    f"GET {ALIAS}": Call(sees=READ),
    f"PUT {ALIAS}": change("alias.set", {"n": 1}),
    f"DELETE {ALIAS}": change("alias.set", removes=True),
}
POLICIES = {
    "GET policies/changes": Call(sees=READ, listed=True),
    f"GET {CHANGE}": Call(sees=READ),
    f"POST {CHANGE}/decisions": change(
        "policy.decide", {"verdict": "reject", "reason": "r", "digest": DIGEST}
    ),
    f"POST {CHANGE}/withdrawal": change("policy.propose", REASON),
    "POST policies/dry-run": Call(does=READ, body={"text": study.PRODUCTION, "model": "progression", "n": 1}),
    "POST policies/plan": Call(does=READ, body={"files": [{"path": "p.yaml", "text": study.PRODUCTION}]}),
    "GET policies/outdated": Call(does=READ),
    "GET policies/<str:name>/versions": Call(sees=READ),
    f"GET {POLICY}": Call(sees=READ),
    f"GET {POLICY}/acknowledgements": Call(sees=READ),
    f"POST {POLICY}/acknowledgements": change("policy.acknowledge"),
    "GET policies/<str:name>/versions/<int:a>/diff/<int:b>": Call(sees=READ),
    f"GET {SIGNOFFS}": Call(sees=READ),
    f"POST {SIGNOFFS}": change(
        "signoff.invite", {"role": "customer", "name": "Zoe", "email": "zoe@example.org", "hours": 1}
    ),
    f"POST {SIGNOFFS}/<uuid:invitation_id>/revocation": change("signoff.invite"),
}
GATE = {
    "POST gate/questions": Call(
        does="gate.read", body={"questions": [{"digest": DIGEST, "environment": "test"}]}
    ),
    "GET models/<str:name>/attestations": Call(does="gate.read"),
    "GET imports": Call(sees=READ, listed=True),
    "POST imports": change("placement.grandfather", {"rows": [RUNNING]}, sees=None),
    "GET grandfathered": Call(sees=READ, listed=True),
    "POST grandfathered/<uuid:entry_id>/ending": change("placement.grandfather", REASON),
    "GET reconciliations": Call(sees=READ, listed=True),
    "POST reconciliations": change("reconciliation.record", {"running": [RUNNING]}, sees=None),
    "GET reconciliations/<uuid:reconciliation_id>": Call(sees=READ),
}
NOTICES = {
    "GET me/mail": Call(),  # about the person who asks: no role is needed
    "PUT me/mail": Call(body={"mode": "digest"}),
    "GET webhooks": Call(does=HOOK),
    "POST webhooks": change(HOOK, {"name": "another", "url": "https://203.0.113.9/"}, sees=None),
    "GET webhooks/verbs": Call(does=HOOK),
    f"GET {WEBHOOK}": Call(sees=HOOK),
    f"PATCH {WEBHOOK}": change(HOOK, {"refusals": True}, sees=HOOK),
    f"POST {WEBHOOK}/secret": change(HOOK, sees=HOOK),
    f"POST {WEBHOOK}/test": change(HOOK, sees=HOOK),
    f"POST {WEBHOOK}/redeliveries": change(HOOK, {"from_index": 0, "to_index": 0}, sees=HOOK),
    f"GET {WEBHOOK}/deliveries": Call(sees=HOOK),
    f"DELETE {WEBHOOK}": change(HOOK, sees=HOOK, removes=True),
}
USE_CASES = {
    "GET use-case-questionnaire": Call(),  # the questions, the same for everybody
    "PATCH use-cases/<str:name>": change("use_case.edit", {"purpose": "another"}, headers=SEEN),
    "POST use-cases/<str:name>/tier": change(
        "use_case.set_tier", {"risk_tier": "high", "reason": "r"}, headers=SEEN
    ),
    "GET use-cases/<str:name>/history": Call(sees=READ),
}
ACCESS = {
    "GET access/bindings": Call(does=WHO),
    "POST access/bindings": change(BIND, {"role": "auditor", "person": "bystander"}, sees=None),
    f"GET {BINDING}": Call(sees=WHO),
    f"POST {BINDING}/recertification": change("role.recertify", REASON, sees=WHO),
    f"POST {BINDING}/revocation": change(BIND, sees=WHO),
    "GET access/groups": Call(does=WHO),
    "POST access/groups": change("group.manage", {"name": "another"}, sees=None),
    "GET access/groups/<str:name>": Call(sees=WHO),
    "POST access/groups/<str:name>/members": change("group.manage", {"person": "bystander"}, sees=WHO),
    "POST access/groups/<str:name>/removals": change("group.manage", {"person": "bystander"}, sees=WHO),
    "GET access/tokens": Call(),  # one's own
    "POST access/tokens": change(
        "token.issue", {"name": "another", "kind": "service", "scopes": ["gate:read"]}, sees=None
    ),
    "POST access/tokens/<uuid:token_id>/revocation": change("token.issue", sees=WHO),
    "GET access/who-could": Call(does=WHO, query="action=promotion.decide"),
    "GET access/people": Call(does=WHO),
    "POST access/people": change("person.manage", {"username": f"p-{uuid4().hex[:8]}"}, sees=None),
    f"GET {PERSON}": Call(sees=WHO),
    f"POST {PERSON}/deactivation": change("person.manage", REASON, sees=WHO),
    f"POST {PERSON}/reactivation": change("person.manage", REASON, sees=WHO),
}
LATER: dict[str, Call] = {**LIFE_CYCLE, **POLICIES, **GATE, **NOTICES, **USE_CASES, **ACCESS}
