"""Roles, groups and tokens over HTTP."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from audits.models import Event, IdempotencyRecord
from governance.models import ApiToken
from registry.services.models import register_model
from tests import scenario
from tests.cast import Cast
from tests.governance.test_access import cast as cast  # the fixture: with Alma and Ugo, administrators
from tests.governance.test_access import give
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


class As:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(), cast.headers(name)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/access/{path}", headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/access/{path}", json.dumps(body or {}), content_type="application/json",
            headers={**self.headers, **headers},
        )  # fmt: skip


def test_a_role_from_giving_to_taking_away(cast: Cast) -> None:
    model = register_model(command=cast.command("pipeline"), name="mine").value
    alma = As(cast, "alma")
    wanted = {"role": "validator", "person": "nina", "scope": "model", "on": "mine", "recertify_days": 90}
    given = alma.post("bindings", wanted)
    assert given.status_code == 201, given.content
    body = given.json()
    assert (body["scope"], body["on"], body["in_force"], body["effective_from"]) == (
        "model",
        str(model.id),
        False,
        None,
    )
    assert body["principal"] == {"kind": "person", "id": str(cast.people["nina"].id), "name": "nina"}
    assert alma.post("bindings", wanted).status_code == 200
    scenario.publish()
    assert alma.get(f"bindings/{body['id']}").json()["in_force"] is True
    assert [row["id"] for row in alma.get("bindings?state=in_force&person=nina").json()["results"]] == [
        body["id"]
    ]
    assert [row["id"] for row in alma.get("bindings?due_within=91&role=validator").json()["results"]] == [
        body["id"]
    ]
    assert alma.get("bindings?due_within=80&role=validator").json()["results"] == []
    again = As(cast, "ugo").post(f"bindings/{body['id']}/recertification", {"reason": "Nina validates it."})
    assert again.status_code == 201
    taken = alma.post(f"bindings/{body['id']}/revocation")
    assert (taken.status_code, taken.json()["in_force"]) == (200, False)
    verbs = Event.objects.filter(subject_id=body["id"]).order_by("subject_seq").values_list("verb", flat=True)
    assert list(verbs) == ["role.bound", "role.recertified", "role.unbound"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"role": "validator"}, 422, "principal_needed"),
        ({"role": "validator", "person": "nina", "group": "board"}, 422, "principal_needed"),
        ({"role": "validator", "person": "nobody"}, 422, "person_unknown"),
        ({"role": "validator", "group": "g"}, 404, "not_found"),
        ({"role": "validator", "token": "00000000-0000-7000-8000-000000000000"}, 404, "not_found"),
        ({"role": "king", "person": "nina"}, 400, "invalid"),
        ({"role": "validator", "person": "nina", "scope": "model"}, 422, "scope_subject"),
        ({"role": "validator", "person": "nina", "scope": "model", "on": "unseen"}, 404, "not_found"),
        ({"role": "validator", "person": "nina", "on": "mine"}, 422, "scope_subject"),
        ({"role": "validator", "person": "nina", "scope": "service"}, 403, "not_permitted"),
        ({"role": "validator", "person": "alma"}, 409, "own_role"),
    ],
)
def test_what_is_not_given(cast: Cast, body: dict[str, Any], status: int, code: str) -> None:
    alma = As(cast, "alma")
    alma.post("groups", {"name": "board"})
    answer = alma.post("bindings", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("name", ["ana", "bia", "clara", "rita", "pipeline", "nina"])
def test_only_administrators_give(cast: Cast, name: str) -> None:
    caller = As(cast, name)
    with unchanged(refusals=1):
        answer = caller.post("bindings", {"role": "validator", "person": "nina"})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    reads = name in ("clara", "rita")
    assert caller.get("bindings").status_code == (200 if reads else 403)
    assert caller.get("who-could?action=gate.read").status_code == (200 if reads else 403)


def test_groups(cast: Cast) -> None:
    alma = As(cast, "alma")
    assert alma.post("groups", {"name": "validators", "description": "Second line."}).status_code == 201
    assert alma.post("groups", {"name": "validators"}).status_code == 200
    assert alma.post("groups", {"name": "Not a name"}).json()["code"] == "name_invalid"
    assert alma.post("groups/validators/members", {"person": "nina"}).status_code == 201
    assert alma.post("groups/validators/members", {"person": "nina"}).status_code == 200
    assert alma.get("groups/validators").json()["members"] == [], "not before it is published"
    scenario.publish()
    assert [row["name"] for row in alma.get("groups/validators").json()["members"]] == ["nina"]
    assert alma.post("groups/validators/removals", {"person": "nina"}).json()["members"] == []
    assert alma.post("groups/validators/members", {"person": "alma"}).json()["code"] == "own_role"
    assert As(cast, "davi").get("groups/validators").status_code == 404


def test_the_text_of_a_token_is_shown_once_and_never_again(cast: Cast) -> None:
    alma = As(cast, "alma")
    body = {"name": "deploy", "kind": "service", "scopes": ["gate:read"], "days": 30, "person": "ana"}
    first = alma.post("tokens", body, **{"Idempotency-Key": "token-1"})
    assert (first.status_code, first.headers["Cache-Control"]) == (201, "no-store")
    text = first.json()["token"]
    again = alma.post("tokens", body, **{"Idempotency-Key": "token-1"})
    assert (again.status_code, again.json()["id"], again.json()["token"]) == (200, first.json()["id"], None)
    stored = str(list(IdempotencyRecord.objects.values())) + str(list(Event.objects.values()))
    assert text.rpartition("_")[2][:40] not in stored
    listed = alma.get("tokens").json()["results"]
    assert "token" not in listed[0]
    assert "secret_hash" not in listed[0]
    mine = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {text}"})
    assert (mine.status_code, mine.json()["roles"]) == (200, [])
    revoked = alma.post(f"tokens/{first.json()['id']}/revocation")
    assert revoked.json()["revoked_at"] is not None
    assert Client().get("/api/v1/me", headers={"Authorization": f"Bearer {text}"}).status_code == 401


def test_no_token_that_acts_as_somebody_else(cast: Cast) -> None:
    body = {"name": "b", "kind": "personal", "scopes": ["promotion:decide"], "person": "bia"}
    alma = As(cast, "alma")
    with unchanged(refusals=1):
        answer = alma.post("tokens", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "personal_token_of_another")


def test_who_could_over_http(cast: Cast) -> None:
    register_model(command=cast.command("pipeline"), name="mine")
    then = quote(timezone.now().isoformat())
    give(cast, "shell", "approver", person=cast.people["nina"])
    clara = As(cast, "clara")

    def people(query: str) -> list[str]:
        answer = clara.get(f"who-could?action=promotion.decide{query}")
        assert answer.status_code == 200, answer.content
        return [row["name"] for row in answer.json()["people"]]

    assert people(f"&at={then}") == ["ana", "bia", "bruno"]
    assert people("&model=mine") == ["ana", "bia", "bruno", "nina"]
    body = clara.get("who-could?action=promotion.request").json()
    assert [(row["name"], row["responsible"]) for row in body["tokens"]] == [("training pipeline", "ana")]
    assert "crivo_app" in [row["name"] for row in body["database"]]
    assert all(limit["text"] for limit in body["limits"])
    for query, code in (
        ("action=fly", "action_unknown"),
        ("action=gate.read&at=2999-01-01T00:00:00Z", "moment_in_the_future"),
        ("action=gate.read&at=yesterday", "invalid"),
        ("action=gate.read&model=a&dataset=b", "invalid"),
        ("action=gate.read&model=unseen", "not_found"),
    ):
        assert clara.get(f"who-could?{query}").json()["code"] == code, query


def test_everybody_sees_and_revokes_their_own_tokens(cast: Cast) -> None:
    bia = As(cast, "bia")
    listed = bia.get("tokens").json()["results"]
    assert [row["name"] for row in listed] == ["bia's token"]
    other = ApiToken.objects.get(name="training pipeline")
    assert bia.post(f"tokens/{other.id}/revocation").status_code == 404
    assert bia.post(f"tokens/{listed[0]['id']}/revocation").status_code == 200
    assert bia.get("tokens").status_code == 401
