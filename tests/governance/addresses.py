"""Every address of /api/v1 with what it takes; and those that answer anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests import study

READ = "registry.read"


# What the subject of an address belongs to, and so which bindings reach it besides those for the workspace.
MODEL, DATASET, WORKSPACE, ANYWHERE = "model", "dataset", "workspace", "anywhere"
OF_MODELS = (
    "models promotions placements deployments findings waivers conditions reviews break-glass alarms explanations "
    "check-runs reproductions grandfathered"
)
BELONGS = {"datasets": DATASET} | dict.fromkeys(OF_MODELS.split(), MODEL)


@dataclass(frozen=True)
class Call:
    """`sees`: without it (or one of these) nothing is there (404, or an empty list); `does`: without it, 403.

    `on`: what `does` is done on, where that is not what the address begins with. `shown`: what may be read by who may
    read that, where it is not `on`. `names`: it asks about something of the model beyond the address: 404 for who may
    not read it.
    """

    sees: str | tuple[str, ...] | None = None
    does: str | None = None
    on: str = ""
    shown: tuple[str, ...] = ()
    names: str | None = None
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


def belongs(route: str, call: Call) -> str:
    """What the subject of `METHOD path` belongs to: of a list, its rows; of what is created, the workspace."""
    path = route.partition(" ")[2]
    first = BELONGS.get(path.split("/")[0], WORKSPACE)
    return call.on or (first if "<" in path or call.listed else WORKSPACE)


def shown_with(route: str, call: Call) -> tuple[str, ...]:
    """A dataset is also shown to who may read a model made from it (governance.scoping)."""
    on = belongs(route, call)
    return call.shown or ((MODEL, DATASET) if on == DATASET else (on,))


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
    "GET environments": Call(sees=READ, listed=True, on=ANYWHERE),
    "POST environments": change("environment.configure", {"name": "another"}, sees=None),
    "GET environments/<str:name>": Call(sees=READ, on=ANYWHERE),
    "PATCH environments/<str:name>": change("environment.configure", {"exclusive": False}, shown=(ANYWHERE,)),
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
    "POST policies/dry-run": Call(
        does=READ, on=ANYWHERE, names=READ, body={"text": study.PRODUCTION, "model": "progression", "n": 1}
    ),
    "POST policies/plan": Call(
        does=READ, on=ANYWHERE, body={"files": [{"path": "p.yaml", "text": study.PRODUCTION}]}
    ),
    "GET policies/outdated": Call(does=READ, on=ANYWHERE),
    "GET policies/<str:name>/versions": Call(sees=READ, shown=(MODEL,)),
    f"GET {POLICY}": Call(sees=READ, shown=(MODEL,)),
    f"GET {POLICY}/acknowledgements": Call(sees=READ, shown=(MODEL,)),
    f"POST {POLICY}/acknowledgements": change("policy.acknowledge", on=ANYWHERE, shown=(MODEL,)),
    "GET policies/<str:name>/versions/<int:a>/diff/<int:b>": Call(sees=READ, shown=(MODEL,)),
    f"GET {SIGNOFFS}": Call(sees=READ),
    f"POST {SIGNOFFS}": change(
        "signoff.invite", {"role": "customer", "name": "Zoe", "email": "zoe@example.org", "hours": 1}
    ),
    f"POST {SIGNOFFS}/<uuid:invitation_id>/revocation": change("signoff.invite"),
}
GATE = {
    "POST gate/questions": Call(
        does="gate.read", on=ANYWHERE, body={"questions": [{"digest": DIGEST, "environment": "test"}]}
    ),
    "GET models/<str:name>/attestations": Call(does="gate.read", on=ANYWHERE, names="gate.read"),
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
    "PATCH use-cases/<str:name>": change(
        "use_case.edit", {"purpose": "another"}, headers=SEEN, shown=(MODEL,)
    ),
    "POST use-cases/<str:name>/tier": change(
        "use_case.set_tier", {"risk_tier": "high", "reason": "r"}, headers=SEEN, shown=(MODEL,)
    ),
    "GET use-cases/<str:name>/history": Call(sees=READ, shown=(MODEL,)),
}
ACCESS = {
    "GET access/bindings": Call(does=WHO, on=ANYWHERE),
    "POST access/bindings": change(BIND, {"role": "auditor", "person": "bystander"}, sees=None),
    f"GET {BINDING}": Call(sees=WHO),
    f"POST {BINDING}/recertification": change("role.recertify", REASON, sees=WHO),
    f"POST {BINDING}/revocation": change(BIND, sees=WHO),
    "GET access/groups": Call(does=WHO, on=ANYWHERE),
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
PRIVACY = ("person.erase", "hold.manage")  # one of them
HELD = "privacy/people/<str:person>"
PERSONAL = {
    f"GET {HELD}": Call(sees=PRIVACY),
    f"POST {HELD}/erasure": change("person.erase", REASON, sees=PRIVACY),
    "GET privacy/holds": Call(sees=PRIVACY, listed=True),
    "POST privacy/holds": change("hold.manage", {"person": "bystander", "reason": "r"}, sees=None),
    "GET privacy/holds/<uuid:hold_id>": Call(sees=PRIVACY),
    "POST privacy/holds/<uuid:hold_id>/lifting": change("hold.manage", REASON, sees=PRIVACY),
}

AUDIT, EXPLAIN = "audit.read", "explanation.request"
NAMED = {"name": "another"}
TEXT, HOLDS = {"text": "t"}, {"holds": True, "text": "t"}
SOON = (datetime.now(UTC) + timedelta(days=9)).isoformat()


def acts(action: str, body: Any) -> Call:
    """On something that was opened: who may read sees it, and a 403 is remembered on it."""
    return Call(sees=READ, does=action, body=body, remembered=True)


CALLS: dict[str, Call] = {
    "GET me": Call(),
    "GET use-cases": Call(sees=READ, listed=True, shown=(MODEL,)),
    "POST use-cases": Call(
        does="use_case.register",
        body={"name": "other", "purpose": "p", "risk_tier": "high"},
        remembered=True,
    ),
    "GET use-cases/<str:name>": Call(sees=READ, shown=(MODEL,)),
    "GET policies": Call(sees=READ, listed=True, on=ANYWHERE),
    "POST policies": Call(
        does="policy.propose", body={"text": study.PRODUCTION, "reason": "r"}, remembered=True
    ),
    "POST models/<str:name>/versions/<int:n>/promotions": Call(
        sees=READ, does="promotion.request", body={"to": "production", "reason": "r"}, remembered=True
    ),
    "GET promotions": Call(sees=READ, listed=True),
    "GET promotions/<uuid:promotion_id>": Call(sees=READ),
    "POST promotions/<uuid:promotion_id>/decisions": Call(
        sees=READ,
        does="promotion.decide",
        body={"verdict": "approve", "reason": "r", "dossier_digest": "sha256:0"},
        remembered=True,
    ),
    "POST promotions/<uuid:promotion_id>/withdrawal": Call(
        sees=READ, does="promotion.withdraw", body={"reason": "r"}, remembered=True
    ),
    "GET promotions/<uuid:promotion_id>/attestation": Call(sees="gate.read"),
    "GET promotions/<uuid:promotion_id>/receipt": Call(sees="gate.read"),
    "GET gate": Call(does="gate.read", on=ANYWHERE, query=f"digest=sha256:{'0' * 64}&environment=test"),
    "GET datasets": Call(sees=READ, listed=True),
    "POST datasets": Call(does="dataset.register", body=NAMED, remembered=True),
    "GET datasets/<str:name>": Call(sees=READ),
    "GET datasets/<str:name>/versions": Call(sees=READ),
    "POST datasets/<str:name>/versions": Call(
        sees=READ, does="dataset_version.register", body="file", remembered=True
    ),
    "GET datasets/<str:name>/versions/<int:n>": Call(sees=READ),
    "POST datasets/<str:name>/versions/<int:n>/sketch": change("dataset_version.register"),
    "GET datasets/<str:name>/versions/<int:n>/sketch": Call(sees=READ),
    "GET datasets/<str:name>/versions/<int:n>/sketch/content": Call(sees=READ),
    "GET models": Call(sees=READ, listed=True),
    "POST models": Call(does="model.register", body=NAMED, remembered=True),
    "GET models/<str:name>": Call(sees=READ),
    "GET models/<str:name>/versions": Call(sees=READ),
    "POST models/<str:name>/versions": Call(
        sees=READ, does="model_version.register", body="artifact", remembered=True
    ),
    "GET models/<str:name>/versions/<int:n>": Call(sees=READ),
    "GET models/<str:name>/versions/<int:n>/environment": Call(sees=READ),
    "POST models/<str:name>/versions/<int:n>/environment": Call(
        sees=READ, does="model_version.register", body="lock", remembered=True
    ),
    "GET models/<str:name>/versions/<int:n>/sbom": Call(sees=READ),
    "GET lineage": Call(sees=READ, on=DATASET, query="nodeId=dataset:crivo:patients@1"),
    "POST lineage": Call(does="lineage.record", body={"job": {"name": "j"}}, remembered=True),
    "GET lineage/": Call(sees=READ, on=DATASET, query="nodeId=dataset:crivo:patients@1"),
    "POST lineage/": Call(does="lineage.record", body={"job": {"name": "k"}}, remembered=True),
    "GET audit/events": Call(does=AUDIT, on=ANYWHERE),
    "GET audit/state": Call(does=AUDIT, on=ANYWHERE, names=AUDIT, query="subject=progression@1"),
    "GET audit/exports": Call(sees="audit.export", listed=True),
    "POST audit/exports": Call(does="audit.export", body={}, remembered=True),
    "GET audit/exports/<uuid:export_id>": Call(sees="audit.export"),
    "GET audit/exports/<uuid:export_id>/content": Call(sees="audit.export"),
    "GET audit/checkpoint": Call(),
    "GET audit/vkey": Call(),
    "GET audit/proof/<uuid:event_id>": Call(does=AUDIT, on=ANYWHERE, names=AUDIT),
    "GET check-runs/<uuid:run_id>": Call(sees=READ),
    "GET check-runs/<uuid:run_id>/reproductions": Call(sees=READ),
    "POST check-runs/<uuid:run_id>/reproductions": acts("check_run.reproduce", None),
    "POST check-runs/<uuid:run_id>/cancellation": acts("check_run.cancel", {"reason": "r"}),
    "GET reproductions/<uuid:reproduction_id>": Call(sees=READ),
    "GET models/<str:name>/versions/<int:n>/explanations": Call(sees=READ),
    "POST models/<str:name>/versions/<int:n>/explanations": Call(
        sees=READ, does="explanation.request", body={"record": {"age": 1}}, remembered=True
    ),
    "GET explanations/<uuid:explanation_id>": Call(sees=EXPLAIN),
    "GET explanations/<uuid:explanation_id>/plot": Call(sees=EXPLAIN),
    "POST explanations/<uuid:explanation_id>/matches": Call(sees=EXPLAIN, body={"record": {"age": 1}}),
    "GET models/<str:name>/versions/<int:n>/evidence": Call(sees=READ),
    "POST models/<str:name>/versions/<int:n>/evidence": Call(
        sees=READ, does="evidence.attach", body="evidence", remembered=True
    ),
    "POST models/<str:name>/versions/<int:n>/findings": Call(
        sees=READ,
        does="finding.open",
        body={"severity": "low", "owner": "ana", "due": SOON, "text": "t"},
        remembered=True,
    ),
    "GET findings": Call(sees=READ, listed=True),
    "GET findings/<uuid:finding_id>": Call(sees=READ),
    "POST findings/<uuid:finding_id>/answer": acts("finding.answer", TEXT),
    "POST findings/<uuid:finding_id>/verification": acts("finding.verify", HOLDS),
    "POST findings/<uuid:finding_id>/closing": acts("finding.close", HOLDS),
    "POST models/<str:name>/versions/<int:n>/waivers": Call(
        sees=READ,
        does="waiver.request",
        body={
            "environment": "production",
            "check": "c",
            "reason": "r",
            "compensating_control": "c",
            "expires_at": SOON,
        },
        remembered=True,
    ),
    "GET waivers": Call(sees=READ, listed=True),
    "GET waivers/<uuid:waiver_id>": Call(sees=READ),
    "POST waivers/<uuid:waiver_id>/approval": acts("waiver.approve", REASON),
    "POST waivers/<uuid:waiver_id>/refusal": acts("waiver.approve", REASON),
    "POST waivers/<uuid:waiver_id>/revocation": acts("waiver.revoke", REASON),
    "GET promotions/<uuid:promotion_id>/conditions": Call(sees=READ),
    "POST conditions/<uuid:condition_id>/report": acts("condition.report", TEXT),
    "POST conditions/<uuid:condition_id>/verification": acts("condition.verify", HOLDS),
    "GET reviews": Call(sees=READ, listed=True),
    "POST reviews/<uuid:review_id>/completion": acts("review.complete", REASON),
    "GET break-glass": Call(sees=READ, listed=True),
    "POST models/<str:name>/versions/<int:n>/break-glass": Call(
        sees=READ,
        does="placement.break_glass",
        body={"environment": "production", "reason": "r", "hours": 1},
        remembered=True,
    ),
    "POST break-glass/<uuid:glass_id>/end": acts("placement.break_glass", REASON),
    "GET alarms": Call(sees=READ, listed=True),
    "POST alarms/<uuid:alarm_id>/sign-off": acts("alarm.sign_off", REASON),
    **LIFE_CYCLE,
    **POLICIES,
    **GATE,
    **NOTICES,
    **USE_CASES,
    **ACCESS,
    **PERSONAL,
}
