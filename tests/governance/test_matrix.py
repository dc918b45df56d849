"""Every role × every address of the API and of the console: what the table of roles says is what happens.

The addresses come from the URL resolver: one that is missing here fails the test. Nothing answers 5xx, and what is
refused changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from audits.actors import Command, system_actor
from audits.ids import uuid7
from audits.models import AuditExport, CheckRun, Event, Reproduction
from audits.services.webhooks import Secret, create_webhook
from governance.authority import NEVER_BY_SERVICE_TOKEN
from governance.models import (
    Grandfathered,
    Placement,
    Promotion,
    User,
)
from governance.roles import ROLES, SCOPES, actions_of, covered_by
from governance.services.access import bind_role, create_group
from governance.services.aliases import set_alias
from governance.services.brownfield import Row, import_running
from governance.services.deployments import record_deployment
from governance.services.environments import add_environment
from governance.services.explanations import request_explanation
from governance.services.identity import Issued, issue_token
from governance.services.people import create_person
from governance.services.policies import apply_policy
from governance.services.policy_changes import propose_policy
from governance.services.reconciliations import reconcile
from governance.services.retirements import retire_version
from governance.services.signoffs import Link, invite_signoff
from tests import study
from tests.cast import Cast
from tests.governance.addresses import LATER, PUBLIC, READ, Call
from tests.governance.watched import watched
from tests.snapshot import assert_unchanged, digests, unchanged

# What watches over a version is put there as rows: no one service makes all of it without weeks going by.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]
ALL_SCOPES = frozenset(SCOPES)


AUDIT, EXPLAIN = "audit.read", "explanation.request"
NAMED = {"name": "another"}
TEXT, REASON, HOLDS = {"text": "t"}, {"reason": "r"}, {"holds": True, "text": "t"}
SOON = (datetime.now(UTC) + timedelta(days=9)).isoformat()


def acts(action: str, body: Any) -> Call:
    """On something that was opened: who may read sees it, and a 403 is remembered on it."""
    return Call(sees=READ, does=action, body=body, remembered=True)


FEW = 5
HOMOLOGATION = study.HOMOLOGATION.replace(
    "approvals: [", "acknowledge: [validator]\napprovals: [{role: customer, count: 1}, "
)
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
    "GET models/<str:name>/versions/<int:n>/environment": Call(sees=READ),
    "POST models/<str:name>/versions/<int:n>/environment": Call(
        sees=READ, does="model_version.register", body="lock", remembered=True
    ),
    "GET models/<str:name>/versions/<int:n>/sbom": Call(sees=READ),
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
    **LATER,
}


def _leaves(entry: URLResolver) -> Iterator[URLPattern]:
    for pattern in entry.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _leaves(pattern)
        else:
            yield pattern


def routes() -> Iterator[str]:
    """`METHOD path` of everything below /api/v1/ but the schema, which is public."""
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLResolver) and str(entry.pattern) == "api/v1/":
            for pattern in _leaves(entry):
                for method in ("get", "post", "put", "patch", "delete"):
                    if hasattr(pattern.callback.view_class, method):  # type: ignore[attr-defined]
                        yield f"{method.upper()} {pattern.pattern}"


NAMES = {
    "datasets": "patients",
    "use-cases": "care",
    "policies": "study-homologation",
    "environments": "archive",
    "access/groups": "board",
}


@dataclass(frozen=True)
class Ground:
    """What the addresses are filled in with."""

    ids: dict[str, str]

    def address(self, route: str) -> tuple[str, str]:
        method, _, path = route.partition(" ")
        name = next((named for start, named in NAMES.items() if path.startswith(start)), "progression")
        # What is retired is another version than the one everything else is asked about.
        ids = {
            "name": name,
            "n": "2" if path.endswith("/retirement") else "1",
            "a": "1",
            "b": "1",
            **self.ids,
        }
        unknown = {"int": "1", "str": "x", "uuid": str(uuid4())}
        filled = re.sub(r"<(\w+):(\w+)>", lambda found: ids.get(found[2], unknown[found[1]]), path)
        return method, f"/api/v1/{filled}"


@pytest.fixture
def ground(committed_cast: Cast) -> Ground:
    """One of everything, made through the services: what is not there can hide behind a 404."""
    cast = committed_cast
    version = study.study(cast)
    study.kept_lock(cast, version)
    for text in (study.PRODUCTION, HOMOLOGATION):
        apply_policy(command=study.shell(cast), text=text)
    study.sequence()
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    promotion = study.finish_checks(study.ask(cast, version, "homologation"))
    export = AuditExport.objects.create(id=uuid7(), workspace=cast.workspace, requested_by=uuid4(), query={})
    rita, bia, shell = cast.command("rita"), cast.command("bia"), study.shell(cast)
    retired = study.model_version(cast, seed=9)
    retire_version(command=rita, version_id=retired.id, reason="r")
    set_alias(command=rita, model="progression", alias="champion", n=1)
    add_environment(command=rita, name="archive")
    deployment = record_deployment(
        command=cast.command("bia"), model="progression", n=1, environment="test", mode="live"
    ).value
    change = propose_policy(command=rita, text=HOMOLOGATION.replace("0.8", "0.9"), reason="r").value
    invited = invite_signoff(
        command=bia, promotion_id=promotion.id, role="customer", name="Yan", email="yan@example.org",
        lifetime=timedelta(hours=1), link=Link(),
    ).value  # fmt: skip
    old = Row(model="progression", digest=f"sha256:{'1' * 64}", environment="production")
    import_running(command=rita, rows=[old])
    reconciled = reconcile(command=rita, running=[old]).value
    bystander = create_person(command=shell, username="bystander").value
    binding = bind_role(command=shell, role="deployer", person=bystander).value
    create_group(command=shell, name="board")
    token = issue_token(
        command=shell, person=bystander, name="idle", kind="service", scopes=["gate:read"],
        lifetime=timedelta(hours=1), issued=Issued(),
    ).value  # fmt: skip
    bind_role(command=shell, role="administrator", person=cast.people["clara"])
    webhook = create_webhook(
        command=cast.command("clara"), name="hook", url="https://203.0.113.8/", secret=Secret()
    ).value
    study.sequence()
    explanation = request_explanation(
        command=cast.command("pipeline"), version_id=version.id, given={"age": 1}
    ).value
    again = Reproduction.objects.create(
        workspace=cast.workspace,
        run=CheckRun.objects.latest("id"),
        requested_by=cast.actor("ana").id,
        tolerance=1e-9,
    )
    judged = watched(cast, version, promotion)
    return Ground(
        {
            "explanation_id": str(explanation.id),
            **{f"{name}_id": str(row.id) for name, row in judged.items()},
            "promotion_id": str(promotion.id),
            "export_id": str(export.id),
            "reproduction_id": str(again.id),
            "event_id": str(Event.objects.latest("at").id),
            "run_id": str(CheckRun.objects.latest("id").id),
            "alias": "champion",
            "deployment_id": str(deployment.id),
            "placement_id": str(Placement.objects.get(version=version, environment__name="test").id),
            "change_id": str(change.id),
            "invitation_id": str(invited.id),
            "entry_id": str(Grandfathered.objects.get().id),
            "reconciliation_id": str(reconciled.id),
            "username": "bystander",
            "binding_id": str(binding.id),
            "token_id": str(token.id),
            "webhook_id": str(webhook.id),
        }
    )


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
        return client.get(
            f"{address}?{call.query}" if call.query else address, headers=headers | call.headers
        )
    if call.body == "evidence":
        report = SimpleUploadedFile("r.xml", b"<testsuite><testcase/></testsuite>")
        about = {"check": "data.quality", "kind": "junit", "title": "t", "issuer": "i"}
        return client.post(address, {"file": report, "metadata": json.dumps(about)}, headers=headers)
    if call.body == "lock":
        return client.post(address, {"file": SimpleUploadedFile("u", study.LOCK)}, headers=headers)
    if call.body in ("file", "artifact"):
        metadata = study.metadata(seed=8) if call.body == "artifact" else {}
        data = {call.body: SimpleUploadedFile("u", study.CSV), "metadata": json.dumps(metadata)}
        return client.post(address, data, headers=headers)
    send = getattr(client, method.lower())
    return send(address, call.body, content_type="application/json", headers=headers | call.headers)


def code_of(answer: Any) -> str:
    kind = answer.headers.get("Content-Type", "")
    return str(answer.json()["code"]) if kind == "application/problem+json" else ""


def check_refused(client: Client, ground: Ground, who: Principal) -> int:
    """Everything `who` may not: 404 or nothing for what they may not see, else 403. Returns the events due."""
    events = 0
    for route, call in CALLS.items():
        what = f"{who.name}: {route}"
        if not call.seen_by(who.actions):
            answer = made(client, ground, route, who.headers)
            if call.listed:
                assert (answer.status_code, answer.json()["results"]) == (200, []), what
            else:
                assert answer.status_code == 404, (what, answer.content)
                assert code_of(answer) in ("not_found", "node_unknown"), what
        elif not call.done_by(who.actions):
            answer = made(client, ground, route, who.headers)
            assert (answer.status_code, code_of(answer)) == (403, "not_permitted"), (what, answer.content)
            events += call.remembered
    return events


def check_permitted(client: Client, ground: Ground, who: Principal, routes: Iterable[str]) -> None:
    """Whatever else is wrong with it, it is not for want of permission."""
    for route in routes:
        call = CALLS[route]
        if call.seen_by(who.actions) and call.done_by(who.actions):
            answer = made(client, ground, route, who.headers)
            what = (who.name, route, answer.status_code, getattr(answer, "content", b"")[:300])
            assert answer.status_code < 500, what
            assert answer.status_code != 401, what
            if not call.removes:
                assert code_of(answer) not in ("not_permitted", "not_found", "node_unknown"), what
            if call.listed:
                assert answer.json()["results"], what


def test_every_address_has_its_row() -> None:
    """An address nobody wrote a row for, or a public one nobody named, is a red test."""
    assert set(routes()) == set(CALLS) | PUBLIC
    assert not set(CALLS) & PUBLIC


def test_what_is_public_answers_without_a_token_and_nothing_else_does(
    committed_cast: Cast, ground: Ground
) -> None:
    client = Client()
    for route in sorted(PUBLIC):
        method, address = ground.address(route)
        assert method == "GET"
        assert client.get(address).status_code in (200, 404), route
    for path in ("/healthz", "/readyz", "/.well-known/jwks.json", "/api/v1/schema", "/admin/login/"):
        assert client.get(path).status_code in (200, 503), path


def test_every_role_on_every_address(committed_cast: Cast, ground: Ground) -> None:
    client = Client(raise_request_exception=False)
    every = list(ROLES)
    people = [principal(committed_cast, slug.replace("_", "-"), [slug]) for slug in every]
    people += [
        principal(committed_cast, "nobody", []),
        principal(committed_cast, "service", every, kind="service"),
        *(  # every scope in one of them, beside scopes it has nothing to do with
            principal(committed_cast, f"only-{n}", every, scopes=frozenset(list(SCOPES)[n::FEW]))
            for n in range(FEW)
        ),
    ]
    before = digests()
    due = sum(check_refused(client, ground, who) for who in people)
    assert_unchanged(before, digests(), refusals=due)
    staying = [route for route, call in CALLS.items() if not call.removes]
    for who in people:
        check_permitted(client, ground, who, staying)
    for route in sorted(set(CALLS) - set(staying)):
        able = [
            who for who in people if CALLS[route].does in who.actions and CALLS[route].seen_by(who.actions)
        ]
        assert made(client, ground, route, able[0].headers).status_code == 204, route
        assert made(client, ground, route, able[1].headers).status_code == 404, route


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


@dataclass(frozen=True)
class Screen:
    """A page of the console; like Call, with `args` from the ground and `post`, what is sent to it."""

    args: tuple[str, ...] = ()
    post: dict[str, str] | None = None
    sees: str | None = None
    does: str | None = None
    refused: int = 403  # 302: back to the page, with what the service said
    also: tuple[int, ...] = ()  # what else whoever may gets: a refusal for another reason than their roles


WHO, HOOK = "access.read", "webhook.manage"
SCREENS: dict[str, Screen] = {
    "inbox": Screen(),
    "workspace": Screen(post={"workspace": "nowhere"}, also=(404,)),
    "promotion": Screen(("promotion_id",), sees=READ),
    "decide": Screen(
        ("promotion_id",),
        {"verdict": "approve", "reason": "r", "dossier_digest": "sha256:0", "key": "k"},
        sees=READ,
        does="promotion.decide",
        also=(403,),  # an approver: the policy has no place for them
    ),
    "roles": Screen(),
    "who-could": Screen(does=WHO),
    "recertify": Screen(("binding_id",), {"reason": " "}, sees=WHO, does="role.recertify"),
    "people": Screen(does=WHO),
    "use-case": Screen(("use_case",), sees=READ),
    "as_of": Screen(does=AUDIT),
    "findings": Screen(),  # what may not be read is not listed
    "watch": Screen(
        ("finding", "finding_id", "close"),
        {"holds": "yes", "text": ""},
        sees=READ,
        does="finding.close",
    ),
    "open_finding": Screen(("promotion_id",), {"text": ""}, sees=READ, does="finding.open", refused=302),
    "ask_waiver": Screen(("promotion_id",), {"reason": ""}, sees=READ, does="waiver.request", refused=302),
    "break_glass": Screen(
        ("promotion_id",), {"reason": ""}, sees=READ, does="placement.break_glass", refused=302
    ),
    "invite": Screen(("promotion_id",), {"email": ""}, sees=READ, does="signoff.invite", refused=302),
    "trail": Screen(does=AUDIT),
    "trail_exports": Screen(does="audit.export"),
    "trail_export": Screen(("export_id",), sees="audit.export", also=(404,)),  # not made yet
    "preferences": Screen(),
    "webhooks": Screen(does=HOOK),
    "webhook": Screen(("webhook_id",), {}, sees=HOOK),
    "policies": Screen(does=READ),
    "policy_change": Screen(("change_id",), sees=READ),
    "policy_change_decide": Screen(
        ("change_id",), {"verdict": "reject", "reason": "", "digest": ""}, sees=READ, does="policy.decide"
    ),
    "policy_version": Screen(("policy", "n"), sees=READ),
    "policy_acknowledge": Screen(("policy", "n"), {}, sees=READ, does="policy.acknowledge"),
    "use-cases": Screen(),  # what may not be read is not listed
    "intake": Screen(does="use_case.register"),
    "use-case-edit": Screen(("use_case",), sees=READ, does="use_case.edit"),
    "use-case-tier": Screen(
        ("use_case",), {"n": "1", "risk_tier": "high", "reason": ""}, sees=READ, does="use_case.set_tier"
    ),
    "give-role": Screen(post={"role": ""}, does="role.bind"),
    "take-role": Screen(("binding_id",), {}, sees=WHO, does="role.bind"),
    "new-group": Screen(post={"name": ""}, does="group.manage"),
    "group-member": Screen(("group",), {"person": "nobody"}, sees=WHO, does="group.manage"),
    "new-person": Screen(post={"username": ""}, does="person.manage"),
    "account": Screen(("username",), {"reason": ""}, sees=WHO, does="person.manage"),
    "tokens": Screen(),  # one's own; more for who may read about access
    "revoke-token": Screen(("token_id",), {}, sees=WHO, does="token.issue"),
    "explanations": Screen(("model", "n"), sees=READ),
    "sbom": Screen(("model", "n"), sees=READ),
    "explanation": Screen(("explanation_id",), sees=EXPLAIN),
}


def test_every_page_of_the_console_has_its_row() -> None:
    assert {pattern.name for pattern in admin.site.extra_urls()} == set(SCREENS)


def test_the_console(committed_cast: Cast, ground: Ground) -> None:
    """Anonymous: to the login. Without a role: 403. What may not be seen is not found; what may not be done, 403."""
    ids = {**ground.ids, "use_case": "care", "policy": "study-homologation", "n": "1"}
    ids |= {"group": "board", "model": "progression"}

    def visit(person: User | None) -> dict[str, int]:
        client = Client(raise_request_exception=False)
        if person is not None:
            client.force_login(person)
        found = {}
        for name, screen in SCREENS.items():
            address = reverse(f"admin:{name}", args=[ids.get(arg, arg) for arg in screen.args])
            answer = client.get(address) if screen.post is None else client.post(address, screen.post)
            found[name] = answer.status_code
        return found

    assert set(visit(None).values()) == {302}
    for slug, role in [("", None), *ROLES.items()]:
        person = User.objects.create_user(username=f"visits-{slug}", is_staff=True)
        if role is None:
            assert set(visit(person).values()) == {403}
            continue
        bind_role(
            command=Command(system_actor("shell", committed_cast.workspace.id)), role=slug, person=person
        )
        for name, status in visit(person).items():
            screen, what = SCREENS[name], (slug, name, status)
            if screen.sees and screen.sees not in role.actions:
                assert status == 404, what
            elif screen.does and screen.does not in role.actions:
                assert status == screen.refused, what
            else:
                assert status in (200, 302, 409, 422, *screen.also), what
    assert Promotion.objects.get(id=ground.ids["promotion_id"]).state == "awaiting_approval"
