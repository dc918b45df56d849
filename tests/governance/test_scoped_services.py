"""A role for one model holds in the life cycle, the gate, the policies and the mails, and ends at that model."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from governance.acknowledgements import missing
from governance.models import Placement, Promotion, User
from governance.services import access as roles
from governance.services.brownfield import Row, import_running
from governance.services.identity import bind_role
from governance.services.notices import reviewers_of
from governance.services.policies import apply_policy
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
OLD = {name: f"sha256:{mark * 64}" for name, mark in (("progression", "1"), ("other", "2"))}


@pytest.fixture
def two(committed_cast: Cast) -> tuple[ModelVersion, ModelVersion]:
    """Two models, each live in development, deployed there, with an alias and a grandfathered artefact. Nina approves
    and deploys the first one only."""
    cast = committed_cast
    nina = cast.people["nina"] = User.objects.create_user(
        username="nina", is_staff=True, email="n@example.org"
    )
    versions = study.study(cast), study.model_version(cast, b"another", name="other")
    for version in versions:
        study.ask(cast, version, "development")
        As(cast, "rita").put(f"models/{version.model.name}/aliases/champion", {"n": 1})
        As(cast, "bia").post(
            f"models/{version.model.name}/versions/1/deployments",
            {"environment": "development", "mode": "live"},
        )
    rows = [Row(model=name, digest=digest, environment="production") for name, digest in OLD.items()]
    import_running(command=cast.command("rita"), rows=rows)
    study.sequence()
    for role in ("approver", "deployer"):
        bind_role(command=study.shell(cast), role=role, person=nina, scope="model", on=versions[0].model.ref)
    return versions


class As:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(), cast.headers(name)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=self.headers)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(
            f"/api/v1/{path}", body, content_type="application/json", headers=self.headers
        )

    def put(self, path: str, body: Any) -> Any:
        return self.client.put(f"/api/v1/{path}", body, content_type="application/json", headers=self.headers)


def models_in(answer: Any) -> list[str]:
    return [row["model"] for row in answer.json()["results"]]


def test_what_comes_after_the_grant(committed_cast: Cast, two: tuple[ModelVersion, ModelVersion]) -> None:
    nina, everybody = As(committed_cast, "nina"), As(committed_cast, "bia")
    for path in ("deployments", "grandfathered"):
        assert models_in(nina.get(path)) == ["progression"], path
        assert sorted(models_in(everybody.get(path))) == ["other", "progression"], path
    for path in ("imports", "reconciliations", "policies/changes"):
        assert nina.get(path).json()["results"] == [], path
    assert nina.get("models/other/aliases").status_code == 404
    mine, other = (Placement.objects.get(version=version) for version in two)
    deployed = {row["model"]: row["id"] for row in everybody.get("deployments").json()["results"]}
    with unchanged(refusals=0):
        for path, body in (
            (f"placements/{other.id}/suspension", {"reason": "r"}),
            (f"placements/{other.id}/withdrawal", {"reason": "r"}),
            ("models/other/versions/1/suspension", {"reason": "r"}),
            ("models/other/versions/1/retirement", {"reason": "r"}),
            ("models/other/versions/1/deployments", {"environment": "development", "mode": "canary"}),
            (f"deployments/{deployed['other']}/end", {}),
            ("models/other/rollbacks", {"environment": "production", "reason": "r"}),
        ):
            assert nina.post(path, body).status_code == 404, path
        assert nina.put("models/other/aliases/champion", {"n": 1}).status_code == 404
    with unchanged(refusals=2):
        assert nina.post("environments", {"name": "stage"}).status_code == 403
        body = {"running": [{"digest": OLD["progression"], "environment": "production"}]}
        assert nina.post("reconciliations", body).status_code == 403, "a list of the whole workspace"
    assert nina.post(f"deployments/{deployed['progression']}/end", {}).status_code == 200
    assert nina.put("models/progression/aliases/best", {"n": 1}).status_code == 201
    assert nina.post(f"placements/{mine.id}/suspension", {"reason": "r"}).status_code == 200
    other.refresh_from_db()
    assert other.state == "live"


def test_the_gate_knows_nothing_of_other_models(
    committed_cast: Cast, two: tuple[ModelVersion, ModelVersion]
) -> None:
    nina = As(committed_cast, "nina")
    mine, other = two
    asked = {
        mine.artifact_digest: "allowed",
        other.artifact_digest: "unknown_digest",
        OLD["progression"]: "grandfathered",
        OLD["other"]: "unknown_digest",
    }

    def said(answer: dict[str, Any]) -> str:
        codes = [reason["code"] for reason in answer["reasons"]]
        return codes[0] if codes else "allowed"

    questions = [
        {"digest": digest, "environment": "production" if digest in OLD.values() else "development"}
        for digest in asked
    ]
    answers = nina.post("gate/questions", {"questions": questions}).json()["answers"]
    for question, together in zip(questions, answers, strict=True):
        alone = nina.get(f"gate?digest={question['digest']}&environment={question['environment']}").json()
        assert said(alone) == said(together), question
        if asked[question["digest"]] != "grandfathered":
            assert said(alone) == asked[question["digest"]], question
        else:
            assert alone["reasons"][0]["code"] != "unknown_digest"
    assert nina.get("models/progression/attestations").status_code == 200
    assert nina.get("models/other/attestations").status_code == 404


@pytest.mark.parametrize("name", ["nina", "bia"])
def test_a_batch_costs_the_same_however_many_questions(
    committed_cast: Cast, two: tuple[ModelVersion, ModelVersion], name: str
) -> None:
    who = As(committed_cast, name)
    who.get("me")

    def queries(count: int) -> int:
        digests = [*(version.artifact_digest for version in two), *OLD.values()] * count
        questions = [{"digest": digest, "environment": "development"} for digest in digests]
        with CaptureQueriesContext(connection) as seen:
            assert who.post("gate/questions", {"questions": questions}).status_code == 200
        return len(seen)

    assert queries(1) == queries(50)


def test_acknowledging_is_asked_of_who_holds_the_role_on_one_model_or_in_a_group(
    committed_cast: Cast, two: tuple[ModelVersion, ModelVersion]
) -> None:
    cast, shell = committed_cast, study.shell(committed_cast)
    vera = cast.people["vera"] = User.objects.create_user(username="vera", is_staff=True)
    group = roles.create_group(command=shell, name="board").value
    bind_role(command=shell, role="approver", group=group)
    roles.add_member(command=shell, group=group, person=vera)
    text = study.PRODUCTION.replace("approvals:", "acknowledge: [approver]\napprovals:")
    policy = apply_policy(command=shell, text=text).value
    assert [(person.username, held) for person, held in missing(policy)] == [
        ("bia", ["approver"]), ("nina", ["approver"]), ("vera", ["approver"]),
    ]  # fmt: skip
    path = f"policies/study-production/versions/{policy.n}/acknowledgements"
    for name in ("nina", "vera"):
        assert As(cast, name).post(path, {}).status_code == 201
    assert [person.username for person, _ in missing(policy)] == ["bia"]


def test_mail_goes_to_who_could_fill_a_slot_by_whatever_binding(
    committed_cast: Cast, two: tuple[ModelVersion, ModelVersion]
) -> None:
    cast, shell = committed_cast, study.shell(committed_cast)
    for name in ("vera", "vito"):
        cast.people[name] = User.objects.create_user(username=name, is_staff=True)
    group = roles.create_group(command=shell, name="board").value
    bind_role(command=shell, role="validator", group=group)
    roles.add_member(command=shell, group=group, person=cast.people["vera"])
    for model, name in ((two[0].model, "nina"), (two[1].model, "vito")):
        bind_role(command=shell, role="validator", person=cast.people[name], scope="model", on=model.ref)
    study.ask(cast, two[0], "test")
    study.sequence()
    promotion = study.finish_checks(study.ask(cast, two[0], "homologation"))
    assert promotion.state == "awaiting_approval"
    found = {person.username for person in User.objects.filter(id__in=reviewers_of(promotion))}
    assert found == {"bruno", "nina", "vera"}, (
        "not Ana, who is excluded, nor Vito, who validates another model"
    )
    assert Promotion.objects.filter(id=promotion.id, exclusions__person_id=cast.people["ana"].id).exists()
