"""Subscriptions over the API: who may, what is refused, what the trail says, and that a secret is shown once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client

from audits import outbound
from audits.ledger.notary import Notary
from audits.models import Event, Webhook, WebhookDelivery
from audits.services import webhooks
from audits.services.webhook_message import secret_of
from audits.states import DELIVERY, WEBHOOK, DeliveryState, WebhookState
from tests.audits import hooks
from tests.audits.receiver import Receiver
from tests.audits.trail import write
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
URL = "https://hooks.example/in?token=do-not-tell"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    hooks.administrator(committed_cast)
    return committed_cast


@pytest.fixture
def receiver(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    hooks.open_to(settings, receiver)
    monkeypatch.setattr(outbound, "system_resolver", lambda host, port: ["127.0.0.1"])
    yield receiver
    receiver.close()


class Caller:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(raise_request_exception=False), cast.headers(name)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            f"/api/v1/webhooks{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers={**self.headers, **headers},
        )


@pytest.fixture
def ada(cast: Cast) -> Caller:
    return Caller(cast, "ada")


def made(ada: Caller, **more: Any) -> dict[str, Any]:
    answer = ada("POST", "", {"name": "receiver", "url": URL, **more})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/api/v1/webhooks/{body['id']}"
    return body


def test_the_secret_is_shown_once_and_is_nowhere_in_the_database(ada: Caller) -> None:
    body = made(ada)
    secret = body.pop("secret")
    assert secret.startswith("whsec_")
    row = Webhook.objects.get()
    assert secret == secret_of(row.id, 1)
    for path in ("", f"/{row.id}"):
        assert secret.encode() not in ada("GET", path).content
    assert ada("GET", f"/{row.id}").json() == body
    with connections["migrator"].cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", [f"%{secret[6:]}%"])
            assert cursor.fetchone() == (0,), table


def test_a_repeated_request_does_not_show_it_again(ada: Caller) -> None:
    body = {"name": "receiver", "url": URL}
    first = ada("POST", "", body, **{"Idempotency-Key": "k"})
    again = ada("POST", "", body, **{"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert (bool(first.json()["secret"]), again.json()["secret"]) == (True, None)


def test_the_trail_tells_what_was_done_and_not_the_address(ada: Caller) -> None:
    webhook_id = made(ada, verbs=["promotion.granted"])["id"]
    assert ada("PATCH", f"/{webhook_id}", {"refusals": True, "verbs": []}).status_code == 200
    assert ada("PATCH", f"/{webhook_id}", {"refusals": True}).status_code == 200  # nothing new
    assert ada("POST", f"/{webhook_id}/secret", {"overlap_hours": 2}).json()["generation"] == 2
    assert ada("POST", f"/{webhook_id}/test").status_code == 202
    assert ada("DELETE", f"/{webhook_id}").status_code == 204
    events = Event.objects.filter(subject_id=webhook_id).order_by("subject_seq")
    assert list(events.values_list("verb", "outcome")) == [
        ("webhook.created", "done"),
        ("webhook.changed", "done"),
        ("webhook.secret_rotated", "done"),
        ("webhook.tested", "done"),
        ("webhook.deleted", "done"),
    ]
    assert events[0].detail == {
        "host": "hooks.example",
        "verbs": ["promotion.granted"],
        "subject_kinds": [],
        "refusals": False,
        "state": "active",
    }
    assert events[1].detail["changed"] == ["refusals", "verbs"]
    digests = [(event.before, event.after) for event in events]
    assert digests[0][0] == ""
    assert all(before[1] == after[0] for before, after in itertools.pairwise(digests))
    for event in events:
        assert "do-not-tell" not in json.dumps(event.detail)
    assert ada("GET", f"/{webhook_id}").status_code == 404
    assert ada("PATCH", f"/{webhook_id}", {"name": "x"}).status_code == 404
    assert Webhook.objects.get(id=webhook_id).url == ""
    made(ada)  # its name is free again


@pytest.mark.parametrize(
    ("change", "status", "code", "refusals"),
    [
        ({"url": "http://hooks.example/"}, 422, "webhook_scheme_refused", 1),
        ({"url": "https://hooks.example:22/"}, 422, "webhook_port_refused", 1),
        ({"url": "https://0x7f.1/"}, 422, "webhook_address_refused", 1),
        ({"url": "https://me:secret@hooks.example/"}, 422, "webhook_url_malformed", 1),
        ({"verbs": ["promotion.invented"]}, 422, "webhook_verb_unknown", 1),
        ({"subject_kinds": ["Model!"]}, 422, "webhook_kind_malformed", 1),
        ({"name": "taken"}, 409, "webhook_name_taken", 1),
        ({"name": "No Name"}, 400, "invalid", 0),
        ({"verb": ["promotion.granted"]}, 422, "invalid", 0),
        ({"state": "deleted"}, 400, "invalid", 0),
    ],
)
def test_what_is_refused_changes_nothing(
    ada: Caller, change: dict[str, Any], status: int, code: str, refusals: int
) -> None:
    made(ada, name="taken")
    mine = made(ada)["id"]
    requests: list[tuple[str, str, Any]] = [("PATCH", f"/{mine}", change)]
    if "state" not in change:
        requests.append(("POST", "", {"name": "new", "url": URL, **change}))
    for method, path, body in requests:
        with unchanged(refusals=refusals):
            answer = ada(method, path, body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content


def test_only_administrators(cast: Cast, ada: Caller) -> None:
    mine = made(ada)["id"]
    for name in ("ana", "bruno", "bia", "clara", "rita", "davi", "pipeline"):
        caller = Caller(cast, name)
        with unchanged(refusals=1):
            assert caller("POST", "", {"name": "x", "url": URL}).status_code == 403, name
        with unchanged(refusals=0):
            assert caller("GET", "").status_code == 403
            assert caller("GET", "/verbs").status_code == 403
            for method, path in (
                ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test"),
                ("GET", "/deliveries"), ("POST", "/redeliveries"),
            ):  # fmt: skip
                body = {} if method in ("PATCH", "POST") else None
                assert caller(method, f"/{mine}{path}", body).status_code == 404, (name, method, path)


def test_an_administrator_of_another_workspace_sees_nothing(cast: Cast, ada: Caller) -> None:
    from audits.actors import Command, system_actor
    from governance.services.identity import bind_role

    mine = made(ada)["id"]
    shell = Command(system_actor("shell", cast.elsewhere.id))
    bind_role(command=shell, role="administrator", person=cast.people["davi"])
    davi = Caller(cast, "davi")
    assert davi("GET", "").json()["results"] == []
    assert davi("GET", f"/{mine}").status_code == 404
    with unchanged(refusals=0):
        assert davi("DELETE", f"/{mine}").status_code == 404


def test_overlap_is_bounded(ada: Caller) -> None:
    mine = made(ada)["id"]
    for hours in (-1, 169):
        with unchanged(refusals=1):
            answer = ada("POST", f"/{mine}/secret", {"overlap_hours": hours})
            assert (answer.status_code, answer.json()["code"]) == (422, "webhook_overlap_invalid")


def test_switched_off_and_on(ada: Caller) -> None:
    mine = made(ada)["id"]
    off = ada("PATCH", f"/{mine}", {"state": "disabled"}).json()
    assert (off["state"], off["disabled_reason"]["code"]) == ("disabled", "webhook_switched_off")
    with unchanged(refusals=1):
        answer = ada("POST", f"/{mine}/test")
        assert (answer.status_code, answer.json()["code"]) == (409, "webhook_transition")
    on = ada("PATCH", f"/{mine}", {"state": "active"}).json()
    assert (on["state"], on["disabled_reason"]) == ("active", None)


def test_the_log_of_deliveries_and_sending_again(
    cast: Cast, notary: Notary, receiver: Receiver, ada: Caller
) -> None:
    notary.run_pass()
    mine = made(ada, url=receiver.url, verbs=["dataset.registered"])["id"]
    row = Webhook.objects.get(id=mine)
    write(3, None, cast.workspace.id)
    notary.run_pass()
    receiver.answer = lambda body: (500, {}, b"not today")
    hooks.run(row)
    listed = ada("GET", f"/{mine}/deliveries?state=pending").json()["results"]
    assert [entry["leaf_index"] for entry in listed] == sorted(
        (entry["leaf_index"] for entry in listed), reverse=True
    )
    assert len(listed) == 3
    assert listed[0]["type"] == "crivo.dataset.registered"
    [attempt] = listed[0]["tries"]
    assert (attempt["status"], attempt["excerpt"]) == (500, "not today")
    assert attempt["error"]["text"] == "The receiver answered with status 500; only 2xx is a receipt."
    assert ada("GET", f"/{mine}").json()["waiting"] == 3
    assert ada("GET", f"/{mine}/deliveries?state=lost").status_code == 400

    def again(body: dict[str, Any]) -> tuple[int, str]:
        answer = ada("POST", f"/{mine}/redeliveries", body)
        return answer.status_code, answer.json().get("code", "")

    with unchanged(refusals=1):  # all of them are on the way already
        assert again({"delivery": listed[0]["id"]}) == (409, "webhook_nothing_to_redeliver")
    for body in (
        {}, {"from_index": 1}, {"to_index": 1}, {"delivery": str(uuid4()), "from_index": 0, "to_index": 9},
        {"delivery": str(uuid4()), "from_index": 0},
    ):  # fmt: skip
        with unchanged(refusals=1):
            assert again(body) == (422, "webhook_redelivery_unclear"), body
    receiver.answer = lambda body: (200, {}, b"")
    hooks.later(row, seconds=10)
    hooks.run(row)
    receiver.got.clear()
    indices = sorted(entry["leaf_index"] for entry in listed)
    assert again({"from_index": indices[0], "to_index": indices[1]}) == (202, "")
    assert Event.objects.get(verb="webhook.redelivered", outcome="done").detail == {
        "from_index": indices[0],
        "to_index": indices[1],
        "count": 2,
    }
    hooks.run(row)
    assert [body["data"]["log_index"] for body in receiver.bodies] == indices[:2]
    other = WebhookDelivery.objects.get(leaf_index=indices[2])
    assert other.settled_at is not None


def test_a_delivery_of_another_webhook_is_not_sent_again(
    cast: Cast, notary: Notary, receiver: Receiver, ada: Caller
) -> None:
    first, second = (made(ada, name=name, url=receiver.url)["id"] for name in ("one", "two"))
    notary.run_pass()
    hooks.run(Webhook.objects.get(id=first))
    delivery = WebhookDelivery.objects.filter(webhook_id=first)[0]
    with unchanged(refusals=1):
        answer = ada("POST", f"/{second}/redeliveries", {"delivery": str(delivery.id)})
        assert answer.status_code == 409


def test_verbs_are_listed(ada: Caller) -> None:
    assert {"promotion.granted", "webhook.tested"} <= set(ada("GET", "/verbs").json()["verbs"])


@pytest.mark.parametrize("table", [WEBHOOK, DELIVERY])
def test_state_tables_are_complete(table: dict[Any, frozenset[Any]]) -> None:
    assert set(table) == set(WebhookState if table is WEBHOOK else DeliveryState)


def test_disabling_twice_is_once(cast: Cast, ada: Caller) -> None:
    from audits.actors import Command, system_actor
    from audits.checks.contract import Message

    mine = made(ada)["id"]
    for _ in range(2):
        webhooks.disable_webhook(
            command=Command(system_actor("worker", cast.workspace.id)),
            webhook_id=mine,
            why=Message("webhook_gone"),
        )
    assert Event.objects.filter(verb="webhook.disabled").count() == 1
