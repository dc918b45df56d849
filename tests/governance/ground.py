"""One of everything, and whoever asks about it: what the matrices of permissions stand on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from audits.actors import Command, SubjectRef, system_actor
from audits.ids import uuid7
from audits.models import AuditExport, CheckRun, Event, Reproduction
from audits.services.erasure import place_hold
from audits.services.webhooks import Secret, create_webhook
from governance.authority import NEVER_BY_SERVICE_TOKEN
from governance.models import Grandfathered, Placement, User
from governance.roles import SCOPES, actions_of, covered_by
from governance.services.access import bind_role, create_group
from governance.services.aliases import set_alias
from governance.services.brownfield import Row, import_running
from governance.services.deployments import record_deployment
from governance.services.environments import add_environment
from governance.services.explanations import request_explanation
from governance.services.identity import Issued, issue_token
from governance.services.people import create_person
from governance.services.policies import apply_policy, register_use_case
from governance.services.policy_changes import propose_policy
from governance.services.reconciliations import reconcile
from governance.services.retirements import retire_version
from governance.services.signoffs import Link, invite_signoff
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.addresses import CALLS
from tests.governance.watched import watched

ALL_SCOPES = frozenset(SCOPES)
HOMOLOGATION = study.HOMOLOGATION.replace(
    "approvals: [", "acknowledge: [validator]\napprovals: [{role: customer, count: 1}, "
)


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


OTHER_MODEL, OTHER_DATASET, OTHER_USE = "zz-another-model", "zz-another-dataset", "zz-another-use"
NAMES = {
    "datasets": "patients",
    "use-cases": "care",
    "policies": "study-homologation",
    "environments": "archive",
    "access/groups": "board",
}


@dataclass(frozen=True)
class Ground:
    """What the addresses are filled in with.

    `model` and `dataset` are what they are about, `other_model` and `other_dataset` what they are not.
    """

    ids: dict[str, str]
    model: SubjectRef
    dataset: SubjectRef
    other_model: SubjectRef
    other_dataset: SubjectRef

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


def lay(cast: Cast) -> Ground:
    """One of everything, made through the services: what is not there can hide behind a 404."""
    version = study.study(cast)
    study.kept_lock(cast, version)
    study.kept_sketch(cast)
    for text in (study.PRODUCTION, HOMOLOGATION):
        apply_policy(command=study.shell(cast), text=text)
    study.sequence()
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    other = elsewhere(cast)
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
    hold = place_hold(command=rita, person=invited.actor_id, reason="A suit.").value
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
        model=version.model.ref,
        dataset=version.evaluation.dataset.ref,
        other_model=other.model.ref,
        other_dataset=other.evaluation.dataset.ref,
        ids={
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
            "person": str(invited.actor_id),
            "hold_id": str(hold.id),
            "binding_id": str(binding.id),
            "token_id": str(token.id),
            "webhook_id": str(webhook.id),
        },
    )


def elsewhere(cast: Cast) -> ModelVersion:
    """Another model from another dataset, for another use case: on its way, deployed, with a finding and an alias."""
    register_use_case(command=cast.command("rita"), name=OTHER_USE, purpose="Another.", risk_tier="high")
    for environment in ("development", "test"):
        apply_policy(
            command=study.shell(cast),
            text=study.OPEN.format(environment=environment)
            .replace("study-", f"{OTHER_USE}-")
            .replace("use_case: care", f"use_case: {OTHER_USE}"),
        )
    study.sequence()
    study.dataset_version(cast, study.CSV + b"1,1,1.0,0\n", OTHER_DATASET)
    made_from = f"{OTHER_DATASET}@1"
    version = study.model_version(
        cast, b"other", OTHER_MODEL, training=[made_from], evaluation=made_from, use_case=OTHER_USE
    )
    promotion = study.ask(cast, version, "development")
    study.sequence()
    set_alias(command=cast.command("rita"), model=OTHER_MODEL, alias="champion", n=1)
    record_deployment(
        command=cast.command("bia"), model=OTHER_MODEL, n=1, environment="development", mode="live"
    )
    watched(cast, version, promotion)
    return version


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
