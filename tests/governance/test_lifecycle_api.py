"""The life cycle over HTTP, as its callers see it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from audits.models import Event
from governance.models import Deployment, Placement
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance import lifecycle
from tests.governance.test_api import Caller as Posting
from tests.governance.test_api import problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
V1 = "models/progression/versions/1"


class Caller(Posting):
    def send(self, method: str, path: str, body: Any = None) -> Any:
        return getattr(self.client, method)(
            f"/api/v1/{path}", body, content_type="application/json", headers=self.headers
        )


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def versions(cast: Cast) -> list[ModelVersion]:
    found = [lifecycle.open_ways(cast), lifecycle.another(cast, 2)]
    for version in found:
        lifecycle.live(cast, version)
    return found


def by(cast: Cast, name: str) -> Caller:
    return Caller(cast, name)


def gate(cast: Cast, version: ModelVersion) -> dict[str, Any]:
    found: dict[str, Any] = (
        by(cast, "rita").get(f"gate?digest={version.artifact_digest}&environment=production").json()
    )
    return found


def test_suspended_and_reinstated(cast: Cast, versions: list[ModelVersion]) -> None:
    standing = by(cast, "rita").get("models/progression/versions/2/placements").json()
    assert (standing["state"], standing["archived"]) == ("registered", False)
    assert [(row["environment"], row["state"], row["allowed"]) for row in standing["placements"]] == [
        (name, "live", True) for name in ("development", "test", "homologation", "production")
    ]
    placement = standing["placements"][-1]["id"]
    answer = by(cast, "rita").post(f"placements/{placement}/suspension", {"reason": "odd"})
    assert (answer.status_code, answer.json()["state"], answer.json()["allowed"]) == (200, "suspended", False)
    found = gate(cast, versions[1])
    assert (found["allowed"], found["reasons"][0]["code"]) == (False, "placement_suspended")
    problem(
        by(cast, "ana").post(f"placements/{placement}/reinstatement", {"reason": "r"}),
        403,
        "separation_of_duties",
    )
    problem(
        by(cast, "rita").post(f"placements/{placement}/suspension", {"reason": "r"}),
        409,
        "placement_transition",
    )
    problem(by(cast, "rita").post(f"placements/{placement}/suspension", {}), 400, "invalid", "reason")
    answer = by(cast, "bia").post(f"placements/{placement}/reinstatement", {"reason": "fine"})
    assert answer.json()["reasons"][0]["code"] == "reinstatement_not_effective_yet"
    study.sequence()
    assert gate(cast, versions[1])["allowed"]
    answer = by(cast, "rita").post("models/progression/versions/2/suspension", {"reason": "all of it"})
    assert answer.json()["state"] == "suspended"
    assert {row["allowed"] for row in answer.json()["placements"]} == {False}
    answer = by(cast, "bia").post("models/progression/versions/2/reinstatement", {"reason": "fine"})
    assert answer.json()["state"] == "registered"
    answer = by(cast, "bia").post(f"placements/{placement}/withdrawal", {"reason": "over"})
    assert answer.json()["state"] == "withdrawn"


def test_a_rollback_in_one_call_and_once_for_one_key(cast: Cast, versions: list[ModelVersion]) -> None:
    body = {"environment": "production", "reason": "too many alarms"}
    key = {"Idempotency-Key": "back"}
    first = by(cast, "rita").post("models/progression/rollbacks", body, **key)
    assert (first.status_code, first.json()["n"], first.json()["allowed"]) == (201, 1, False)
    again = by(cast, "rita").post("models/progression/rollbacks", body, **key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert Event.objects.filter(verb="placement.restored").count() == 1
    waiting = gate(cast, versions[0])
    assert waiting["reasons"][0]["code"] == "not_effective_yet"
    study.sequence()
    allowed = gate(cast, versions[0])
    assert allowed["allowed"]
    receipt = Client().get(allowed["receipt"], headers=cast.headers("rita"))
    assert receipt.status_code == 200, "of the new grant"
    problem(by(cast, "rita").post("models/progression/rollbacks", body), 409, "nothing_to_roll_back_to")
    problem(by(cast, "rita").post("models/nothing/rollbacks", body), 404, "not_found")
    problem(by(cast, "rita").post("models/progression/rollbacks", {**body, "to": 0}), 400, "invalid", "to")


def test_retired_and_archived(cast: Cast, versions: list[ModelVersion]) -> None:
    problem(by(cast, "rita").get(f"{V1}/retirement"), 404, "not_found")
    body = {"reason": "a better one", "successor": "progression@2"}
    answer = by(cast, "rita").post(f"{V1}/retirement", body)
    assert answer.status_code == 201
    assert by(cast, "ana").get(f"{V1}/retirement").json() == {
        "model": "progression",
        "n": 1,
        "state": "retired",
        "reason": "a better one",
        "successor": "progression@2",
        "retired_at": answer.json()["retired_at"],
    }
    standing = by(cast, "ana").get(f"{V1}/placements").json()
    assert (standing["archived"], {row["state"] for row in standing["placements"]}) == (True, {"withdrawn"})
    assert by(cast, "ana").get(V1).json()["state"] == "retired"
    with unchanged(refusals=1):
        problem(by(cast, "rita").post(f"{V1}/retirement", {"reason": "r"}), 409, "version_transition")


def test_aliases(cast: Cast, versions: list[ModelVersion]) -> None:
    ana, path = by(cast, "ana"), "models/progression/aliases/champion"
    problem(ana.get(path), 404, "not_found")
    answer = ana.send("put", path, {"n": 1})
    assert (answer.status_code, answer.json()["n"]) == (201, 1)
    assert ana.send("put", path, {"n": 2}).status_code == 200
    found = ana.get(path).json()
    assert (found["n"], found["artifact_digest"]) == (2, versions[1].artifact_digest)
    assert [row["alias"] for row in ana.get("models/progression/aliases").json()["results"]] == ["champion"]
    problem(ana.send("put", "models/progression/aliases/v3", {"n": 1}), 422, "alias_invalid")
    problem(ana.send("put", path, {"n": 9}), 422, "version_unknown")
    problem(by(cast, "bruno").send("put", path, {"n": 1}), 403, "not_permitted")
    problem(by(cast, "davi").get(path), 404, "not_found")
    problem(by(cast, "davi").send("delete", path), 404, "not_found")
    assert ana.send("delete", path).status_code == 204
    problem(ana.send("delete", path), 404, "not_found")
    assert ana.get("models/progression/aliases").json()["results"] == []


def test_environments(cast: Cast) -> None:
    rita = by(cast, "rita")
    assert [row["name"] for row in rita.get("environments").json()["results"]] == [
        "development", "test", "homologation", "production",
    ]  # fmt: skip
    body = {"name": "pilot", "position": 3, "exclusive": True}
    answer = rita.post("environments", body)
    assert (answer.status_code, answer.json()) == (201, body)
    assert rita.post("environments", body).status_code == 200
    answer = rita.send("patch", "environments/pilot", {"position": 0, "exclusive": False})
    assert answer.json() == {"name": "pilot", "position": 0, "exclusive": False}
    problem(rita.send("patch", "environments/moon", {"position": 0}), 404, "not_found")
    problem(rita.send("patch", "environments/pilot", {"position": 9}), 422, "position_invalid")
    problem(by(cast, "ana").post("environments", {"name": "mine"}), 403, "not_permitted")
    assert by(cast, "davi").get("environments").json()["results"][0]["name"] == "development", "their own"


def test_deployments(cast: Cast, versions: list[ModelVersion]) -> None:
    bia = by(cast, "bia")
    body = {"environment": "production", "mode": "live", "location": "cluster a"}
    answer = bia.post("models/progression/versions/2/deployments", body)
    assert (answer.status_code, answer.json()["allowed"], answer.json()["not_allowed"]) == (201, True, False)
    assert bia.post("models/progression/versions/2/deployments", body).status_code == 200
    outlaw = bia.post(f"{V1}/deployments", {**body, "since": "2026-01-01T00:00:00Z"}).json()
    assert (outlaw["allowed"], outlaw["not_allowed"], outlaw["basis"]["code"]) == (False, True, "superseded")
    by(cast, "rita").post("models/progression/versions/2/suspension", {"reason": "r"})
    running = by(cast, "ana").get("deployments?environment=production&running=true").json()["results"]
    assert [(row["n"], row["allowed"], row["basis_now"]["code"]) for row in running] == [
        (1, False, "superseded"),
        (2, True, "version_suspended"),
    ]
    ended = bia.post(f"deployments/{outlaw['id']}/end", {}).json()
    assert (ended["not_allowed"], ended["basis_now"]) == (False, None)
    problem(bia.post(f"deployments/{outlaw['id']}/end", {}), 409, "deployment_over")
    problem(bia.post(f"{V1}/deployments", {**body, "share": 2}), 400, "invalid", "share")
    problem(bia.post(f"{V1}/deployments", {**body, "mode": "dark"}), 400, "invalid", "mode")
    problem(bia.get("deployments?running=perhaps"), 400, "invalid", "running")
    problem(by(cast, "bruno").post(f"{V1}/deployments", body), 403, "not_permitted")
    problem(by(cast, "davi").get(f"{V1}/deployments"), 404, "not_found")
    assert by(cast, "davi").get("deployments").json()["results"] == []
    assert Deployment.objects.count() == 2


def test_the_comparison(cast: Cast, versions: list[ModelVersion]) -> None:
    lifecycle.another(cast, 3)
    found = by(cast, "ana").get("models/progression/versions/3/comparison").json()
    assert (found["this"], found["live"], found["environment"]) == (
        "progression@3", "progression@2", "production",
    )  # fmt: skip
    assert found["metrics"]["comparable"] is False
    assert found["metrics"]["reason"]["code"] == "check_not_run"
    assert found["data"]["same_training"] is True
    alone = by(cast, "ana").get("models/progression/versions/2/comparison").json()
    assert (alone["live"], alone["reason"]["code"]) == (None, "nothing_live_to_compare")
    problem(by(cast, "ana").get(f"{V1}/comparison?environment=moon"), 404, "not_found")
    problem(by(cast, "davi").get(f"{V1}/comparison"), 404, "not_found")


@pytest.mark.parametrize("name", ["davi"])
def test_what_may_not_be_seen_is_not_found(cast: Cast, versions: list[ModelVersion], name: str) -> None:
    placement = Placement.objects.filter(environment__name="production").latest("id").id
    caller = by(cast, name)
    with unchanged(refusals=0):
        for path in (
            f"placements/{placement}/suspension",
            f"placements/{placement}/reinstatement",
            f"placements/{placement}/withdrawal",
            f"{V1}/suspension",
            f"{V1}/reinstatement",
            f"{V1}/retirement",
            "models/progression/rollbacks",
        ):
            body = {"reason": "r", "environment": "production"}
            problem(caller.post(path, body), 404, "not_found")
        problem(caller.get(f"{V1}/placements"), 404, "not_found")
