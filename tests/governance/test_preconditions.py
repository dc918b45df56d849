"""If-Match: an update applies to what its author saw, or not at all."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from audits import outbound
from audits.ids import uuid7
from audits.models import Event
from governance.models import Alias
from tests import study
from tests.audits import hooks
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
ALIAS = "/api/v1/models/progression/aliases/champion"


class Caller:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(), {"Authorization": f"Bearer {cast.token(name)}"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return getattr(self.client, method)(path, body or "", content_type="application/json", headers=sent)


@pytest.fixture
def ana(committed_cast: Cast) -> Caller:
    study.study(committed_cast)
    study.model_version(committed_cast, b"second", name="progression")
    return Caller(committed_cast, "rita")


def test_an_update_of_what_was_seen(ana: Caller) -> None:
    created = ana.send("put", ALIAS, {"n": 1})
    assert created.status_code == 201, created.content
    assert created["ETag"] == ana.client.get(ALIAS, headers=ana.headers)["ETag"]
    moved = ana.send("put", ALIAS, {"n": 2}, If_Match=created["ETag"])
    assert moved.status_code == 200
    assert moved["ETag"] != created["ETag"]
    with unchanged(refusals=1):
        stale = ana.send("put", ALIAS, {"n": 1}, If_Match=created["ETag"])
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert stale.json()["errors"][0]["field"] == "If-Match"
    # A refusal is no change: what was seen is still so.
    assert ana.client.get(ALIAS, headers=ana.headers)["ETag"] == moved["ETag"]
    with unchanged(refusals=1):
        assert ana.send("delete", ALIAS, If_Match=created["ETag"]).status_code == 412
    several = f'W/{moved["ETag"]}, "{uuid4()}" , {moved["ETag"]}'
    assert ana.send("delete", ALIAS, If_Match=several).status_code == 204


def test_a_weak_tag_never_matches(ana: Caller) -> None:
    tag = ana.send("put", ALIAS, {"n": 1})["ETag"]
    with unchanged(refusals=1):
        assert ana.send("put", ALIAS, {"n": 2}, If_Match=f"W/{tag}").status_code == 412


def test_any_state_of_something_that_exists(ana: Caller) -> None:
    with unchanged(refusals=0):
        assert ana.send("put", ALIAS, {"n": 1}, If_Match="*").status_code == 412
    assert not Alias.objects.exists()
    ana.send("put", ALIAS, {"n": 1})
    assert ana.send("put", ALIAS, {"n": 2}, If_Match="*").status_code == 200


@pytest.mark.parametrize("header", ["x", '"a', '"a" "b"', "**", "W/", '"' + "a" * 4001 + '"', '"a\u00e9"'])
def test_a_header_that_is_none(ana: Caller, header: str) -> None:
    ana.send("put", ALIAS, {"n": 1})
    with unchanged(refusals=0):
        answer = ana.send("put", ALIAS, {"n": 2}, If_Match=header)
    assert (answer.status_code, answer.json()["code"]) == (400, "if_match_invalid")


def test_a_repeat_with_the_same_key_is_answered_as_before(ana: Caller) -> None:
    tag = ana.send("put", ALIAS, {"n": 1})["ETag"]
    key = {"If_Match": tag, "Idempotency_Key": "once"}
    first = ana.send("put", ALIAS, {"n": 2}, **key)
    again = ana.send("put", ALIAS, {"n": 2}, **key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert Event.objects.filter(verb="alias.set").count() == 2


def test_two_at_once_with_the_same_tag(ana: Caller) -> None:
    """Real connections: exactly one of them changes what both saw."""
    tag = ana.send("put", ALIAS, {"n": 1})["ETag"]
    ana.send("put", "/api/v1/models/progression/aliases/other", {"n": 1})
    statuses: list[int] = []
    ready = threading.Barrier(2)

    def move(key: str) -> None:
        ready.wait()
        answer = ana.send("delete", ALIAS, If_Match=tag, Idempotency_Key=key)
        statuses.append(answer.status_code)
        connection.close()

    threads = [threading.Thread(target=move, args=(str(uuid7()),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 204 in statuses
    assert Event.objects.filter(verb="alias.removed", outcome="done").count() == 1


def test_a_place_in_the_order_of_environments(committed_cast: Cast, ana: Caller) -> None:
    """A place means nothing by itself: the tag is that of the whole order, and another's move changes it."""
    path = "/api/v1/environments/"
    new = ana.send("post", path.rstrip("/"), {"name": "pilot", "position": 2})
    assert new.status_code == 201, new.content
    seen = ana.send("get", f"{path}pilot")
    assert seen.json()["name"] == "pilot"
    moved = ana.send("patch", f"{path}pilot", {"exclusive": True}, If_Match=seen["ETag"])
    assert moved.status_code == 200, moved.content
    with unchanged(refusals=1):
        stale = ana.send("patch", f"{path}pilot", {"exclusive": False}, If_Match=seen["ETag"])
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert Caller(committed_cast, "davi").send("get", f"{path}moon").status_code == 404


def test_a_webhook(committed_cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.administrator(committed_cast)
    monkeypatch.setattr(outbound, "system_resolver", lambda host, port: ["203.0.113.7"])
    caller = Caller(committed_cast, "ada")
    made = caller.send("post", "/api/v1/webhooks", {"name": "siem", "url": "https://hooks.example/in"})
    assert made.status_code == 201, made.content
    path = made["Location"]
    seen = caller.client.get(path, headers=caller.headers)["ETag"]
    changed = caller.send("patch", path, {"name": "soc"}, If_Match=seen)
    assert changed.status_code == 200, changed.content
    for method, body in (("patch", {"name": "x"}), ("delete", None)):
        with unchanged(refusals=1):
            assert caller.send(method, path, body, If_Match=seen).status_code == 412
    assert caller.send("delete", path, If_Match=changed["ETag"]).status_code == 204


def test_how_mail_is_wanted(committed_cast: Cast) -> None:
    path, bruno = "/api/v1/me/mail", Caller(committed_cast, "bruno")
    assert "ETag" not in bruno.client.get(path, headers=bruno.headers)  # the default, and nobody chose it
    first = bruno.send("put", path, {"mode": "daily"})
    assert first.status_code == 200, first.content
    assert bruno.client.get(path, headers=bruno.headers)["ETag"] == first["ETag"]
    second = bruno.send("put", path, {"mode": "never"}, If_Match=first["ETag"])
    assert second.status_code == 200, second.content
    with unchanged(refusals=1):
        assert bruno.send("put", path, {"mode": "daily"}, If_Match=first["ETag"]).status_code == 412
    assert bruno.send("put", path, {"mode": "daily"}, If_Match=second["ETag"]).status_code == 200
