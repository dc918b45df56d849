"""Every role × every address of the API and of the console: what the table of roles says is what happens.

The addresses come from the URL resolver: one that is missing here fails the test. Nothing answers 5xx, and what is
refused changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from audits.actors import Command, system_actor
from audits.ids import uuid7
from audits.models import AuditExport, CheckRun, Event
from governance.authority import NEVER_BY_SERVICE_TOKEN
from governance.models import (
    Alarm,
    BrokenGlass,
    Condition,
    Decision,
    Environment,
    Finding,
    Placement,
    PlacementReview,
    Promotion,
    User,
    Waiver,
)
from governance.roles import ROLES, SCOPES, actions_of, covered_by
from governance.services.identity import Issued, bind_role, issue_token
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.snapshot import assert_unchanged, digests, unchanged

pytestmark = pytest.mark.django_db(transaction=True)
ALL_SCOPES = frozenset(SCOPES)


@dataclass(frozen=True)
class Call:
    """`sees`: without this action nothing is there (404, or an empty list); `does`: without it, 403."""

    sees: str | None = None
    does: str | None = None
    body: Any = None
    query: str = ""
    listed: bool = False
    remembered: bool = False  # whether a 403 leaves an event


READ, AUDIT = "registry.read", "audit.read"
NAMED = {"name": "another"}
TEXT, REASON, HOLDS = {"text": "t"}, {"reason": "r"}, {"holds": True, "text": "t"}
LATER = (datetime.now(UTC) + timedelta(days=9)).isoformat()


def acts(action: str, body: Any) -> Call:
    """On something that was opened: who may read sees it, and a 403 is remembered on it."""
    return Call(sees=READ, does=action, body=body, remembered=True)


CALLS: dict[str, Call] = {
    "GET me": Call(),
    "GET use-cases": Call(sees=READ, listed=True),
    "POST use-cases": Call(
        does="use_case.register",
        body={"name": "other", "purpose": "p", "risk_tier": "high"},
        remembered=True,
    ),
    "GET use-cases/<str:name>": Call(sees=READ),
    "GET policies": Call(sees=READ, listed=True),
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
    "GET gate": Call(does="gate.read", query=f"digest=sha256:{'0' * 64}&environment=test"),
    "GET datasets": Call(sees=READ, listed=True),
    "POST datasets": Call(does="dataset.register", body=NAMED, remembered=True),
    "GET datasets/<str:name>": Call(sees=READ),
    "GET datasets/<str:name>/versions": Call(sees=READ),
    "POST datasets/<str:name>/versions": Call(
        sees=READ, does="dataset_version.register", body="file", remembered=True
    ),
    "GET datasets/<str:name>/versions/<int:n>": Call(sees=READ),
    "GET models": Call(sees=READ, listed=True),
    "POST models": Call(does="model.register", body=NAMED, remembered=True),
    "GET models/<str:name>": Call(sees=READ),
    "GET models/<str:name>/versions": Call(sees=READ),
    "POST models/<str:name>/versions": Call(
        sees=READ, does="model_version.register", body="artifact", remembered=True
    ),
    "GET models/<str:name>/versions/<int:n>": Call(sees=READ),
    "GET lineage": Call(sees=READ, query="nodeId=dataset:crivo:patients@1"),
    "POST lineage": Call(does="lineage.record", body={"job": {"name": "j"}}, remembered=True),
    "GET lineage/": Call(sees=READ, query="nodeId=dataset:crivo:patients@1"),
    "POST lineage/": Call(does="lineage.record", body={"job": {"name": "k"}}, remembered=True),
    "GET audit/events": Call(does=AUDIT),
    "GET audit/state": Call(does=AUDIT, query="subject=progression@1"),
    "GET audit/exports": Call(sees="audit.export", listed=True),
    "POST audit/exports": Call(does="audit.export", body={}, remembered=True),
    "GET audit/exports/<uuid:export_id>": Call(sees="audit.export"),
    "GET audit/exports/<uuid:export_id>/content": Call(sees="audit.export"),
    "GET audit/checkpoint": Call(),
    "GET audit/vkey": Call(),
    "GET audit/proof/<uuid:event_id>": Call(does=AUDIT),
    "GET check-runs/<uuid:run_id>": Call(sees=READ),
    "POST models/<str:name>/versions/<int:n>/findings": Call(
        sees=READ,
        does="finding.open",
        body={"severity": "low", "owner": "ana", "due": LATER, "text": "t"},
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
            "expires_at": LATER,
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
}


def _leaves(entry: URLResolver) -> Iterator[URLPattern]:
    for pattern in entry.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _leaves(pattern)
        else:
            yield pattern


# About the person who asks, or a list of names that is the same for everybody: no role is needed.
# Deliberately public: a signed list that says nothing but which attestations no longer hold.
PUBLIC = {"GET attestations/revoked"}
THEIR_OWN = {"GET me/mail", "PUT me/mail", "GET webhooks/verbs"}


def routes() -> Iterator[str]:
    """`METHOD path` of everything below /api/v1/ but the schema, which is public."""
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLResolver) and str(entry.pattern) == "api/v1/":
            for pattern in _leaves(entry):
                for method in ("get", "post", "put", "patch", "delete"):
                    if hasattr(pattern.callback.view_class, method):  # type: ignore[attr-defined]
                        yield f"{method.upper()} {pattern.pattern}"


@dataclass(frozen=True)
class Ground:
    """What the addresses are filled in with."""

    ids: dict[str, str]

    def address(self, route: str) -> tuple[str, str]:
        method, _, path = route.partition(" ")
        kind = (
            "patients" if path.startswith("datasets") else "care" if path.startswith("use") else "progression"
        )
        ids = {"name": kind, "n": "1", **self.ids}
        unknown = {"int": "1", "str": "x", "uuid": str(uuid4())}
        filled = re.sub(r"<(\w+):(\w+)>", lambda found: ids.get(found[2], unknown[found[1]]), path)
        return method, f"/api/v1/{filled}"


@pytest.fixture
def ground(committed_cast: Cast) -> Ground:
    version = study.study(committed_cast)
    for environment in ("development", "test"):
        study.ask(committed_cast, version, environment)
        study.sequence()
    promotion = study.finish_checks(study.ask(committed_cast, version, "homologation"))
    export = AuditExport.objects.create(
        id=uuid7(), workspace=committed_cast.workspace, requested_by=uuid4(), query={}
    )
    judged = watched(committed_cast, version, promotion)
    return Ground(
        {
            **{f"{name}_id": str(row.id) for name, row in judged.items()},
            "promotion_id": str(promotion.id),
            "export_id": str(export.id),
            "event_id": str(Event.objects.latest("at").id),
            "run_id": str(CheckRun.objects.latest("id").id),
        }
    )


def watched(cast: Cast, version: ModelVersion, promotion: Promotion) -> dict[str, Any]:
    """One of each: a finding, a waiver, a condition, a re-review, a broken glass and its alarm."""
    about = {"workspace": cast.workspace, "version": version}
    production = Environment.objects.get(workspace=cast.workspace, name="production")
    due = datetime.now(UTC) + timedelta(days=9)
    bruno, ana = cast.people["bruno"].id, cast.people["ana"].id
    decision = Decision.objects.create(
        workspace=cast.workspace,
        promotion=promotion,
        person_id=bruno,
        role="validator",
        verdict="approve",
        dossier_digest="sha256:an earlier one",
        event_id=uuid7(),
    )
    glass = BrokenGlass.objects.create(
        **about, environment=production, broken_by=bruno, expires_at=due, granted_event=uuid7()
    )
    return {
        "finding": Finding.objects.create(**about, severity="low", owner_id=ana, due=due, opened_by=bruno),
        "waiver": Waiver.objects.create(
            **about, environment=production, check_slug="c", expires_at=due, requested_by=ana
        ),
        "condition": Condition.objects.create(
            workspace=cast.workspace, promotion=promotion, decision=decision, n=1, due=due, set_by=bruno
        ),
        "review": PlacementReview.objects.create(
            workspace=cast.workspace, placement=Placement.objects.earliest("id"), due=due
        ),
        "glass": glass,
        "alarm": Alarm.objects.create(workspace=cast.workspace, glass=glass, raised_by=bruno),
    }


@dataclass(frozen=True)
class Principal:
    name: str
    headers: dict[str, str]
    actions: frozenset[str]


def principal(
    cast: Cast,
    name: str,
    roles: list[str],
    *,
    scopes: frozenset[str] = ALL_SCOPES,
    kind: str = "personal",
    elsewhere: bool = False,
) -> Principal:
    workspace = cast.elsewhere if elsewhere else cast.workspace
    shell = Command(system_actor("shell", workspace.id))
    person = User.objects.create_user(username=name)
    issued = Issued()
    token = issue_token(
        command=shell, person=person, name=name, kind=kind, scopes=sorted(scopes),
        lifetime=timedelta(hours=1), issued=issued,
    ).value  # fmt: skip
    for role in roles:
        if kind == "service":
            bind_role(command=shell, role=role, token=token)
        else:
            bind_role(command=shell, role=role, person=person)
    permitted = actions_of(frozenset(roles)) & covered_by(scopes)
    if kind == "service":
        permitted -= NEVER_BY_SERVICE_TOKEN
    return Principal(name, {"Authorization": f"Bearer {issued.text}"}, permitted)


def made(client: Client, ground: Ground, route: str, headers: dict[str, str]) -> Any:
    method, address = ground.address(route)
    call = CALLS[route]
    if method == "GET":
        return client.get(f"{address}?{call.query}" if call.query else address, headers=headers)
    if call.body in ("file", "artifact"):
        metadata = study.metadata(seed=8) if call.body == "artifact" else {}
        data = {call.body: SimpleUploadedFile("u", study.CSV), "metadata": json.dumps(metadata)}
        return client.post(address, data, headers=headers)
    return client.post(address, call.body, content_type="application/json", headers=headers)


def code_of(answer: Any) -> str:
    kind = answer.headers.get("Content-Type", "")
    return str(answer.json()["code"]) if kind == "application/problem+json" else ""


def check_refused(client: Client, ground: Ground, who: Principal) -> int:
    """Everything `who` may not: 404 or nothing for what they may not see, else 403. Returns the events due."""
    events = 0
    for route, call in CALLS.items():
        what = f"{who.name}: {route}"
        if call.sees and call.sees not in who.actions:
            answer = made(client, ground, route, who.headers)
            if call.listed:
                assert (answer.status_code, answer.json()["results"]) == (200, []), what
            else:
                assert answer.status_code == 404, (what, answer.content)
                assert code_of(answer) in ("not_found", "node_unknown"), what
        elif call.does and call.does not in who.actions:
            answer = made(client, ground, route, who.headers)
            assert (answer.status_code, code_of(answer)) == (403, "not_permitted"), (what, answer.content)
            events += call.remembered
    return events


def check_permitted(client: Client, ground: Ground, who: Principal) -> None:
    """Whatever else is wrong with it, it is not for want of permission."""
    for route, call in CALLS.items():
        if {call.sees, call.does} - {None} <= who.actions:
            answer = made(client, ground, route, who.headers)
            what = (who.name, route, answer.status_code, getattr(answer, "content", b"")[:300])
            assert answer.status_code < 500, what
            assert answer.status_code != 401, what
            assert code_of(answer) not in ("not_permitted", "not_found", "node_unknown"), what
            if call.listed:
                assert answer.json()["results"], what


def test_every_address_of_the_table_is_there() -> None:
    assert set(CALLS) <= set(routes())


def test_addresses_without_a_row_answer_nobody(committed_cast: Cast, ground: Ground) -> None:
    """What has no row yet: without a token 401; without a role, or from elsewhere, nothing is had or done."""
    client = Client(raise_request_exception=False)
    without_role = principal(committed_cast, "nobody", [])
    stranger = principal(committed_cast, "stranger", list(ROLES), elsewhere=True)
    before = {table: digest for table, digest in digests().items() if table not in ("events", "refusals")}
    seen = 0
    for route in sorted(set(routes()) - set(CALLS) - THEIR_OWN - PUBLIC):
        method, address = ground.address(route)

        def ask(headers: dict[str, str], method: str = method, address: str = address) -> Any:
            if method == "GET":
                return client.get(address, headers=headers)
            call = getattr(client, method.lower())
            return call(address, {}, content_type="application/json", headers=headers)

        assert ask({}).status_code == 401, route
        for who in (without_role, stranger):
            answer = ask(who.headers)
            assert answer.status_code < 500, (who.name, route, answer.content[:300])
            if answer.status_code < 300 and who is without_role:
                assert not answer.json().get("results"), (route, answer.content[:300])
            if "<" in route:
                assert answer.status_code >= 400, (who.name, route, answer.content[:300])
        seen += 1
    assert seen >= 30
    assert before == {table: digest for table, digest in digests().items() if table in before}


def test_every_role_on_every_address(committed_cast: Cast, ground: Ground) -> None:
    client = Client(raise_request_exception=False)
    every = list(ROLES)
    people = [principal(committed_cast, slug.replace("_", "-"), [slug]) for slug in every]
    people += [
        principal(committed_cast, "nobody", []),
        principal(committed_cast, "service", every, kind="service"),
        *(
            principal(committed_cast, f"only-{n}", every, scopes=frozenset({scope}))
            for n, scope in enumerate(SCOPES)
        ),
    ]
    before = digests()
    due = sum(check_refused(client, ground, who) for who in people)
    assert_unchanged(before, digests(), refusals=due)
    for who in people:
        check_permitted(client, ground, who)


def test_another_workspace_and_nobody(committed_cast: Cast, ground: Ground) -> None:
    """With every role elsewhere, nothing here is there; without a token, nothing at all."""
    client = Client(raise_request_exception=False)
    stranger = principal(committed_cast, "stranger", list(ROLES), elsewhere=True)
    with unchanged(refusals=0):
        for route in CALLS:
            answer = made(client, ground, route, {})
            assert answer.status_code == 401, route
            if "<" in route:
                answer = made(client, ground, route, stranger.headers)
                assert answer.status_code == 404, (route, answer.content)
    promotion = Promotion.objects.get(id=ground.ids["promotion_id"])
    assert promotion.state == "awaiting_approval"


def test_the_console(committed_cast: Cast, ground: Ground) -> None:
    """Anonymous: to the login. Without a role: 403. With a role that may not read: what is there is not found."""
    dossier = reverse("admin:promotion", args=[ground.ids["promotion_id"]])
    decide = reverse("admin:decide", args=[ground.ids["promotion_id"]])
    decision = {"verdict": "approve", "reason": "r", "dossier_digest": "sha256:0", "key": str(uuid4())}
    pages = [reverse(f"admin:{name}") for name in ("inbox", "roles", "trail")]

    def visit(person: User | None) -> dict[str, int]:
        client = Client(raise_request_exception=False)
        if person is not None:
            client.force_login(person)
        answers = {page: client.get(page).status_code for page in (*pages, dossier)}
        return {**answers, decide: client.post(decide, decision).status_code}

    assert set(visit(None).values()) == {302}
    for slug, role in [("", None), *ROLES.items()]:
        person = User.objects.create_user(username=f"visits-{slug}", is_staff=True)
        if role is None:
            assert set(visit(person).values()) == {403}
            continue
        bind_role(
            command=Command(system_actor("shell", committed_cast.workspace.id)), role=slug, person=person
        )
        found = visit(person)
        reads, decides = READ in role.actions, "promotion.decide" in role.actions
        assert found[reverse("admin:trail")] == (200 if AUDIT in role.actions else 403), slug
        assert found[dossier] == (200 if reads else 404), slug
        # Who may decide is told that the dossier is another one; an approver, that the policy has no place for them.
        assert found[decide] in ((409, 403) if decides else (403,) if reads else (404,)), slug
        assert found[reverse("admin:inbox")] == found[reverse("admin:roles")] == 200, slug
    assert Promotion.objects.get(id=ground.ids["promotion_id"]).state == "awaiting_approval"
